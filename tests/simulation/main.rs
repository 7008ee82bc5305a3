//! Several hubs under a seeded scheduler: every interleaving of messages,
//! envelopes, changes and fan-out that the seed picks, with tiny rings and with
//! everything that may go wrong beside it: connections that break, slow
//! consumers, wake-ups that are late or lost, workers that come, go, expire and
//! are replaced, channels closed amid a fan-out, a vhost deleted under load,
//! tokens whose time is over, quotas replaced, an operator, and a drain.
//!
//! Each channel has a witness, subscribed from its opening on; what it receives
//! is the channel's order. docs/testing.md tells what is checked against it.
//!
//! `WEBROCKET_SEED=n` runs one seed, `WEBROCKET_SEEDS=n` the first n.

mod seeds;
mod world;

use seeds::{Plan, run};
use world::{Choices, World};

#[test]
fn every_interleaving_keeps_the_promises() {
    let plan = Plan::from(|name| std::env::var(name).ok());
    let totals = run(&plan, |seed| {
        let mut world = World::new(Choices::seeded(seed));
        for _ in 0..plan.steps {
            world.step();
        }
        if let Some(path) = &plan.record {
            std::fs::write(path, world.choices()).expect("written");
        }
        world.finish()
    });
    let count = plan.seeds.end - plan.seeds.start;
    match count {
        1 => println!("seed {}: {totals}", plan.seeds.start),
        _ => println!("{count} seeds: {totals}"),
    }
    if count >= 100 {
        totals.assert_all_happened();
    }
}

#[test]
fn a_recorded_world_happens_again_from_its_bytes() {
    for seed in 0..10 {
        let mut world = World::new(Choices::seeded(seed));
        for _ in 0..300 {
            world.step();
        }
        let choices = world.choices().to_vec();
        let seen = world.finish().to_string();
        let mut again = World::new(Choices::given(&choices));
        let mut steps = 0;
        while again.step() {
            steps += 1;
        }
        assert_eq!(steps, 300);
        assert_eq!(again.finish().to_string(), seen);
    }
}
