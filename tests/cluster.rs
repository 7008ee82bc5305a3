//! The simulation of many shards in the floor bench, where its result is known.

#[path = "../benches/floor/cluster.rs"]
mod cluster;
#[path = "../benches/floor/random.rs"]
mod random;

use cluster::{Costs, Hop, Load, Place, run};
use random::Random;
use webrocket::hub::home_of_channel;
use webrocket::limits::RING_ENVELOPES_MAX;
use webrocket::model::{ShardId, VhostId};

const COSTS: Costs = Costs {
    event: Hop {
        send: 30.0,
        receive: 40.0,
    },
    frame: Hop {
        send: 12.0,
        receive: 18.0,
    },
    wake: 15_000.0,
    woken: 30_000.0,
    look: 100.0,
    delivery: 1_700.0,
};

const SUBSCRIBERS: usize = 10;

fn dealt(shards: u16) -> Place {
    let home = |index| home_of_channel(VhostId(0), &format!("channel-{index}"), shards);
    let channels = 1000 * usize::from(shards);
    Place::deal(shards, channels, SUBSCRIBERS, home, &mut Random(7))
}

/// Each channel has one subscriber on each shard.
fn even(shards: usize) -> Place {
    let channels = (0..100 * shards).map(|index| {
        let home = (index % shards) as ShardId;
        (home, (0..shards as ShardId).collect())
    });
    Place::new(shards, shards, channels)
}

fn load(shards: u16) -> Load {
    Load {
        under_way: 256 * usize::from(shards),
        events: 10_000 * usize::from(shards),
        seed: 3,
    }
}

fn skew(place: &Place, channels: usize) -> f64 {
    let loads = place.deliveries(&vec![1; channels]);
    let most = *loads.iter().max().expect("shards") as f64;
    most * loads.len() as f64 / loads.iter().sum::<u64>() as f64
}

#[test]
fn one_shard_has_its_own_throughput() {
    let costs = Costs { look: 0.0, ..COSTS };
    let outcome = run(&dealt(1), costs, load(1));
    let expected = 1e9 / costs.delivery;
    let ratio = outcome.deliveries_per_second / expected;
    assert!((ratio - 1.0).abs() < 1e-9, "{ratio}");
    assert_eq!(outcome.fullest_ring, 0, "nobody to send to");
}

#[test]
fn every_event_reaches_every_subscriber_once() {
    for shards in [1, 2, 16] {
        let place = dealt(shards);
        let load = load(shards);
        let outcome = run(&place, COSTS, load);
        assert_eq!(outcome.published.iter().sum::<u64>(), load.events as u64);
        assert_eq!(outcome.delivered, place.deliveries(&outcome.published));
        assert!(outcome.fullest_ring <= RING_ENVELOPES_MAX);
    }
}

#[test]
fn without_costs_of_hops_only_the_busiest_shard_bounds() {
    let costs = Costs {
        delivery: COSTS.delivery,
        ..Costs::default()
    };
    let adds = |place: &Place, shards: u16| {
        let outcome = run(place, costs, load(shards));
        outcome.deliveries_per_second * costs.delivery / 1e9 / f64::from(shards)
    };
    let place = dealt(16);
    let (found, expected) = (adds(&place, 16), 1.0 / skew(&place, 16_000));
    assert!((found - expected).abs() < 0.02, "{found}, not {expected}");
    let found = adds(&even(16), 16);
    assert!((0.98..=1.005).contains(&found), "{found}");
}

/// Where loads are even and nobody sleeps, all work can be added up.
#[test]
fn agrees_with_the_closed_form() {
    let costs = Costs {
        wake: 0.0,
        woken: 0.0,
        look: 0.0,
        ..COSTS
    };
    let shards = 16;
    let outcome = run(&even(shards), costs, load(16));
    let found = outcome.deliveries_per_second / shards as f64;
    let elsewhere = (shards - 1) as f64 / shards as f64;
    let both = |hop: Hop| hop.send + hop.receive;
    let hops = elsewhere * both(costs.event) + (shards - 1) as f64 * both(costs.frame);
    let deliveries = shards as f64;
    let event = deliveries * costs.delivery + hops;
    let expected = 1e9 * deliveries / event;
    let ratio = found / expected;
    assert!((0.97..=1.005).contains(&ratio), "{ratio}");
}

#[test]
fn hops_and_wakeups_cost_throughput() {
    let place = dealt(16);
    let of = |costs| run(&place, costs, load(16)).deliveries_per_second;
    let dear = |hop: Hop| Hop {
        receive: 10.0 * hop.receive,
        ..hop
    };
    let event = Costs {
        event: dear(dear(COSTS.event)),
        ..COSTS
    };
    let frame = Costs {
        frame: dear(COSTS.frame),
        ..COSTS
    };
    let looking = Costs { look: 1e6, ..COSTS };
    assert!(of(event) < 0.95 * of(COSTS));
    assert!(of(frame) < 0.95 * of(COSTS));
    assert!(of(looking) < 0.95 * of(COSTS));
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let place = dealt(16);
    let [a, b] = [0, 1].map(|_| run(&place, COSTS, load(16)));
    assert_eq!(a.delivered, b.delivered);
    assert_eq!(
        a.deliveries_per_second.to_bits(),
        b.deliveries_per_second.to_bits()
    );
}
