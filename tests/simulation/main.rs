//! Several hubs under a seeded scheduler: every interleaving of messages,
//! envelopes, changes and fan-out that the seed picks, with tiny rings,
//! connections that break, slow consumers, workers that come and go, and an
//! operator who speaks on channels and to sessions.
//!
//! Each channel has a witness, subscribed from its opening on; what it receives
//! is the channel's order. Checked against it, for every other session:
//! its events are a gapless piece of that order; nothing comes after
//! `:unsubscribed`; a roster is what the order says it is; answers come in
//! the order of requests. Besides: a token works once; a trigger reaches one
//! worker or its sender is told 503; no session has more subscriptions than its
//! quota; at the end nobody is remembered.
//!
//! A failure names its seed: `WEBROCKET_SEED=n cargo test --test simulation`.
//! `WEBROCKET_SEEDS=n` runs the first n seeds.

mod check;
mod client;
mod control;
mod ports;
mod random;
mod world;

use world::World;

const SEEDS: u64 = 300;
const STEPS: usize = 1500;

fn number(name: &str) -> Option<u64> {
    std::env::var(name)
        .ok()
        .map(|text| text.parse().expect("a number"))
}

#[test]
fn every_interleaving_keeps_the_promises() {
    let seeds = match number("WEBROCKET_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("WEBROCKET_SEEDS").unwrap_or(SEEDS),
    };
    let mut totals = check::Totals::default();
    for seed in seeds.clone() {
        let result = std::panic::catch_unwind(|| {
            let mut world = World::new(seed);
            for _ in 0..STEPS {
                world.step();
            }
            world.finish()
        });
        match result {
            Ok(seen) => totals.add(&seen),
            Err(_) => panic!("failed: WEBROCKET_SEED={seed} cargo test --test simulation"),
        }
    }
    if seeds.end - seeds.start >= 100 {
        // A simulation in which nothing happens would pass as well.
        totals.assert_all_happened();
    }
}
