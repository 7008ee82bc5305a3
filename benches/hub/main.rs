//! A shard's own share of a message, without sockets and clocks: session, codec
//! and hub.
//!
//! `cargo bench --bench hub`; with `--test` each runs once. With `--instructions
//! WORK SUBSCRIBERS TURNS` it only does that work so often, for callgrind to count:
//! the difference between two runs is free of what they begin with.

#![forbid(unsafe_code)]

mod desk;
mod sink;

use std::env;
use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group};
use desk::{Desk, Work};

fn hub(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("hub");
    for (name, work, subscribers, handed) in [
        ("ping", Work::Ping, 1, 1),
        ("event to its sender alone", Work::Event, 1, 1),
        ("event to 1,000", Work::Event, 1000, 1000),
        ("BC to nobody", Work::Broadcast, 0, 1),
        ("BC to 1,000", Work::Broadcast, 1000, 1001),
    ] {
        let mut desk = Desk::new(work, subscribers);
        assert_eq!(desk.turn(work), handed, "{name}");
        group.throughput(Throughput::Elements(handed as u64));
        group.bench_function(name, |bencher| bencher.iter(|| black_box(desk.turn(work))));
    }
    group.finish();
}

criterion_group!(benches, hub);

fn main() {
    let args: Vec<String> = env::args().skip(1).collect();
    let Some(at) = args.iter().position(|arg| arg == "--instructions") else {
        benches();
        Criterion::default().configure_from_args().final_summary();
        return;
    };
    let [work, subscribers, turns] = &args[at + 1..] else {
        panic!("--instructions WORK SUBSCRIBERS TURNS");
    };
    let work = Work::parse(work).expect("ping, event or BC");
    let mut desk = Desk::new(work, subscribers.parse().expect("a number"));
    for _ in 0..turns.parse().expect("a number") {
        black_box(desk.turn(work));
    }
}
