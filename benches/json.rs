//! What it takes to find channel, event and data in a frontend's message: our
//! scanner, and what it could be instead.
//!
//! `cargo bench --bench json`; with `--test` each runs once. All of them give
//! the data as the bytes that came, to be spliced into the outgoing frame; simd-json
//! keeps none of those, so its data is written anew. Ours checks more: names that
//! are there twice, members that have no place there, depth.

#![forbid(unsafe_code)]

use std::borrow::Cow;
use std::hint::black_box;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use serde::Deserialize;
use serde_json::value::RawValue;
use simd_json::prelude::{ValueAsScalar, ValueObjectAccess, Writable};
use sonic_rs::{JsonValueTrait, LazyValue};
use webrocket::wire::event::{self, Message};

#[derive(Deserialize)]
struct Outer<'a> {
    #[serde(borrow)]
    broadcast: Broadcast<'a>,
}

#[derive(Deserialize)]
struct Broadcast<'a> {
    #[serde(borrow)]
    channel: Cow<'a, str>,
    #[serde(borrow)]
    event: Cow<'a, str>,
    #[serde(borrow)]
    data: &'a RawValue,
}

/// Bytes of channel, event and data: what each of them has to find.
type Found = (usize, usize, usize);

fn ours(message: &[u8]) -> Option<Found> {
    let Ok(Message::Broadcast {
        channel,
        event,
        data,
        ..
    }) = event::decode(message)
    else {
        return None;
    };
    // Without quotes and braces.
    Some((channel.len(), event.raw().len() - 2, data.as_str().len()))
}

fn serde(message: &[u8]) -> Option<Found> {
    let found: Outer<'_> = serde_json::from_slice(message).ok()?;
    let Broadcast {
        channel,
        event,
        data,
    } = found.broadcast;
    Some((channel.len(), event.len(), data.get().len() - 2))
}

/// As far as it is needed, each value looked up by its path.
fn sonic(message: &[u8]) -> Option<Found> {
    let of = |name| sonic_rs::get(message, ["broadcast", name]).ok();
    let (channel, event, data) = (of("channel")?, of("event")?, of("data")?);
    Some((
        channel.as_str()?.len(),
        event.as_str()?.len(),
        data.as_raw_str().len() - 2,
    ))
}

/// The whole message in one pass, and all of it checked.
fn sonic_serde(message: &[u8]) -> Option<Found> {
    #[derive(Deserialize)]
    struct Lazy<'a> {
        #[serde(borrow)]
        channel: Cow<'a, str>,
        #[serde(borrow)]
        event: Cow<'a, str>,
        #[serde(borrow)]
        data: LazyValue<'a>,
    }
    #[derive(Deserialize)]
    struct Whole<'a> {
        #[serde(borrow)]
        broadcast: Lazy<'a>,
    }
    let found: Whole<'_> = sonic_rs::from_slice(message).ok()?;
    let Lazy {
        channel,
        event,
        data,
    } = found.broadcast;
    Some((channel.len(), event.len(), data.as_raw_str().len() - 2))
}

/// Takes the bytes apart where they are.
fn simd(message: &mut [u8]) -> Option<Found> {
    let found = simd_json::to_borrowed_value(message).ok()?;
    let broadcast = found.get("broadcast")?;
    let of = |name| broadcast.get(name)?.as_str();
    let data = broadcast.get("data")?.encode();
    Some((of("channel")?.len(), of("event")?.len(), data.len() - 2))
}

fn json(criterion: &mut Criterion) {
    for (name, text) in [
        ("100 bytes", "The quick brown fox jumps".to_owned()),
        ("1 kB", "The quick brown fox jumps ".repeat(37)),
        ("10 kB", "The quick brown fox jumps ".repeat(400)),
    ] {
        let message = format!(
            r#"{{"broadcast":{{"channel":"lobby","event":"message","data":{{"text":"{text}","n":42}}}}}}"#
        );
        let message = message.as_bytes();
        let found = ours(message);
        assert!(found.is_some(), "a broadcast");
        let mut group = criterion.benchmark_group("json");
        group.throughput(Throughput::Bytes(message.len() as u64));
        for (parser, find) in [
            ("ours", ours as fn(&[u8]) -> Option<Found>),
            ("serde_json, raw value", serde),
            ("sonic-rs, by path", sonic),
            ("sonic-rs, lazy value", sonic_serde),
        ] {
            assert_eq!(find(message), found, "{parser}");
            group.bench_function(BenchmarkId::new(parser, name), |bencher| {
                bencher.iter(|| find(black_box(message)));
            });
        }
        assert_eq!(simd(&mut message.to_vec()), found, "simd-json");
        group.bench_function(BenchmarkId::new("simd-json, value", name), |bencher| {
            bencher.iter_batched_ref(
                || message.to_vec(),
                |message| simd(message),
                BatchSize::SmallInput,
            );
        });
        group.finish();
    }
}

criterion_group!(benches, json);
criterion_main!(benches);
