//! The codecs' share of one message, to be held against the 2.5 us that the
//! kernel takes for one delivery.
//!
//! `cargo bench --bench wire`; with `--test` each runs once.

use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use webrocket::limits::MESSAGE_BYTES_MAX;
use webrocket::model::Sid;
use webrocket::wire::deflate::{Agreement, Deflater, Inflater};
use webrocket::wire::event::{self, Message};
use webrocket::wire::frame::{Opcode, write_client_frame, write_text};
use webrocket::wire::message::Reader;
use webrocket::wire::packet::Scanner;

/// A chat message as the 2012 clients send it.
const BROADCAST: &str = r#"{"broadcast":{"channel":"lobby","event":"message","data":{"text":"The quick brown fox jumps","n":42}}}"#;

fn frames(c: &mut Criterion) {
    let mut group = c.benchmark_group("frame parse and unmask");
    for bytes in [100, 4096, 65536] {
        let mut frame = Vec::new();
        write_client_frame(&mut frame, Opcode::Text, [1, 2, 3, 4], &vec![b'x'; bytes]);
        group.throughput(Throughput::Bytes(bytes as u64));
        group.bench_function(bytes.to_string(), |b| {
            b.iter_batched_ref(
                || frame.clone(),
                |frame| {
                    let mut consumed = 0;
                    let read = Reader::default()
                        .next(frame, MESSAGE_BYTES_MAX, &mut consumed)
                        .is_ok();
                    black_box((read, consumed))
                },
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

fn events(c: &mut Criterion) {
    let mut group = c.benchmark_group("event");
    group.throughput(Throughput::Bytes(BROADCAST.len() as u64));
    group.bench_function("decode a broadcast", |b| {
        b.iter(|| event::decode(black_box(BROADCAST.as_bytes())).is_ok());
    });
    let large = BROADCAST.replace("The quick", &"The quick ".repeat(1000));
    group.throughput(Throughput::Bytes(large.len() as u64));
    group.bench_function("decode a broadcast of 10 kB", |b| {
        b.iter(|| event::decode(black_box(large.as_bytes())).is_ok());
    });
    let Ok(Message::Broadcast {
        event,
        data,
        channel,
        ..
    }) = event::decode(BROADCAST.as_bytes())
    else {
        unreachable!("a constant");
    };
    let sid = Sid::from_random([7; 16]);
    let mut out = Vec::with_capacity(512);
    group.throughput(Throughput::Elements(1));
    group.bench_function("encode a custom event", |b| {
        b.iter(|| {
            out.clear();
            event::custom(
                &mut out,
                black_box(event.raw()),
                black_box(data),
                Some(&sid),
                &channel,
            );
            out.len()
        });
    });
    group.finish();
}

fn packets(c: &mut Criterion) {
    let identity = format!("req:/app:{}:{}", "0a".repeat(20), "b".repeat(36));
    let packet =
        format!("{identity}\n\nBC\nlobby\nmessage\n{{\"text\":\"The quick brown fox\"}}\n\r\n\r\n");
    let mut group = c.benchmark_group("packet");
    group.throughput(Throughput::Bytes(packet.len() as u64));
    group.bench_function("scan a broadcast", |b| {
        b.iter(|| {
            Scanner::default()
                .next(black_box(packet.as_bytes()))
                .is_ok()
        });
    });
    group.finish();
}

/// What a shard spends once for all who compress, and for each message that came compressed.
fn deflate(c: &mut Criterion) {
    let Some(agreed) = Agreement::choose(b"permessage-deflate") else {
        unreachable!("a constant");
    };
    let mut group = c.benchmark_group("deflate");
    for bytes in [500, 2000, 10_000] {
        let item = |at: usize| {
            format!(
                r#"{{"id":{},"name":"item {at}","n":{}}},"#,
                at * 7919,
                at % 13
            )
        };
        let text: String = (0..)
            .map(item)
            .flat_map(String::into_bytes)
            .map(char::from)
            .take(bytes)
            .collect();
        let mut frame = Vec::new();
        write_text(&mut frame, &[text.as_bytes()]);
        let mut deflater = Deflater::new(agreed.params);
        let mut out = Vec::new();
        group.throughput(Throughput::Bytes(bytes as u64));
        group.bench_function(format!("deflate {bytes}"), |b| {
            b.iter(|| {
                out.clear();
                deflater.write_frame(black_box(&frame), &mut out)
            });
        });
        out.clear();
        deflater.write_message(Opcode::Text, text.as_bytes(), &mut out);
        let payload = &out[if out.len() < 128 { 2 } else { 4 }..];
        let mut inflater = Inflater::default();
        group.bench_function(format!("inflate {bytes}"), |b| {
            b.iter(|| inflater.inflate(black_box(payload), bytes).map(<[u8]>::len));
        });
    }
    group.finish();
}

criterion_group!(benches, frames, events, packets, deflate);
criterion_main!(benches);
