//! Rings between shards: what one envelope costs its sender and its receiver.
//!
//! `cargo bench --bench ring`; with `--test` each runs once. Both sides are on
//! one core here, so no cache line travels: `cargo bench --bench floor -- --only
//! shards` has them on two.

#![forbid(unsafe_code)]

use std::hint::black_box;

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use rtrb::RingBuffer;
use webrocket::hub::envelope::{Delivery, Receipt, Request};
use webrocket::limits::RING_ENVELOPES_MAX;
use webrocket::mesh;
use webrocket::meter::Moment;
use webrocket::model::{ChannelId, ConnId, Peer};

/// Envelopes between two flushes.
const BATCHES: [usize; 3] = [1, 64, 1024];

fn publish(frame: &Bytes) -> Request {
    let conn = ConnId {
        slot: 0,
        generation: 0,
    };
    Request::Publish {
        channel: ChannelId(1),
        receipt: Receipt::Echo(Peer { shard: 0, conn }),
        accepted: Moment::default(),
        frame: frame.clone(),
    }
}

fn deliver(frame: &Bytes) -> Delivery {
    Delivery::Frame {
        channel: ChannelId(1),
        accepted: Moment::default(),
        frame: frame.clone(),
        custom: true,
        echo_of: None,
    }
}

fn ring(criterion: &mut Criterion) {
    let frame = Bytes::from(vec![b'x'; 100]);
    let mut group = criterion.benchmark_group("ring");
    for batch in BATCHES {
        group.throughput(Throughput::Elements(batch as u64));
        group.bench_function(BenchmarkId::new("bare ring", batch), |bencher| {
            let (mut producer, mut consumer) = RingBuffer::new(RING_ENVELOPES_MAX);
            bencher.iter(|| {
                for _ in 0..batch {
                    assert!(producer.push(publish(&frame)).is_ok());
                }
                while let Ok(request) = consumer.pop() {
                    black_box(request);
                }
            });
        });
        let (mut ports, _control) = mesh::build(2).expect("ports");
        let [from, to] = &mut ports[..] else {
            unreachable!("two")
        };
        group.bench_function(BenchmarkId::new("requests of a shard", batch), |bencher| {
            bencher.iter(|| {
                for _ in 0..batch {
                    assert!(from.try_request(1, publish(&frame)).is_ok());
                }
                from.flush();
                while let Some(request) = to.take_request() {
                    black_box(request);
                }
            });
        });
        group.bench_function(
            BenchmarkId::new("deliveries to a shard", batch),
            |bencher| {
                bencher.iter(|| {
                    for _ in 0..batch {
                        from.deliver(1, deliver(&frame));
                    }
                    from.flush();
                    while let Some(delivery) = to.take_delivery() {
                        black_box(delivery);
                    }
                });
            },
        );
    }
    group.finish();
}

/// A shard looks at all its rings before it sleeps.
fn look(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("look at empty rings");
    for shards in [2, 16, 64] {
        let (mut ports, _control) = mesh::build(shards).expect("ports");
        group.bench_function(BenchmarkId::from_parameter(shards), |bencher| {
            bencher.iter(|| {
                black_box(ports[0].take_delivery().is_none());
                black_box(ports[0].take_request().is_none());
                black_box(ports[0].has_incoming())
            });
        });
    }
    group.finish();
}

criterion_group!(benches, ring, look);
criterion_main!(benches);
