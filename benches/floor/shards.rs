//! What a second shard costs: the time that it adds to an event, and CPU.

use std::io::{self, Read, Write};
use std::time::Instant;

use webrocket::hub::home_of_channel;
use webrocket::model::VhostId;

use crate::broker::{self, Shape};
use crate::flood::{self, SUBSCRIBERS_EACH};
use crate::load::{self, FRAME_BYTES, FanoutLoad};
use crate::peers::open;
use crate::plan::Plan;
use crate::report::{Goal, Report, median};
use crate::{hop, server};

pub(crate) struct ShardsLoad {
    /// Events of each connection to each home, and bare wake-ups.
    pub(crate) rounds: usize,
    /// Envelopes through a ring.
    pub(crate) envelopes: usize,
}

/// Frontends that are asked how long an event takes.
const ASKED: usize = 8;

/// The bench's one vhost is the first of its node.
const VHOST: VhostId = VhostId(0);

const HOP: &str = "shards: ring hop, batched, both sides";
const SMALL_CHANNELS_ON_ONE: &str = "shards: 1,000 channels of 10, flat out, one shard";

/// Names to choose from: some home is on either shard.
const CHANNELS: usize = 16;

pub(crate) fn measure(plan: &Plan, report: &mut Report) -> io::Result<()> {
    let load = &plan.shards;
    let [_, (_, joined), _] = &plan.joined;
    for _ in 0..plan.samples {
        let wake_up = hop::wake_up(load.rounds)?;
        report.add(
            "shards: a bare eventfd wake-up of the other core",
            "ns",
            wake_up,
            None,
        );
        let added = added_latency(load.rounds)?;
        report.compare(
            "shards: what a hop to another shard adds; against that",
            "ns",
            (added, wake_up),
            Some(Goal::AtMost(1.25)),
        );
        let hop = hop::batched(load.envelopes)?;
        report.add(HOP, "ns CPU an envelope", hop, Some(Goal::AtMost(100.0)));
        for (name, load) in [("light", &plan.fanout), ("5,000 events a second", joined)] {
            let costs = [1, 2].map(|shards| cost(shards, plan.connections, load));
            let [one, two] = costs;
            compare(name, [one?, two?], report);
        }
        let rates = [1, 2].map(|shards| flood::many_channels(shards, &plan.flood));
        let [one, two] = rates;
        let costs = [1e9 / one?, 1e9 / two?];
        report.add(SMALL_CHANNELS_ON_ONE, "ns CPU a delivery", costs[0], None);
        compare("1,000 channels of 10, flat out", costs, report);
    }
    by_calculation(report);
    Ok(())
}

fn compare(name: &str, [one, two]: [f64; 2], report: &mut Report) {
    report.compare(
        &format!("shards: {name}, two on one core; against one"),
        "ns CPU a delivery",
        (two, one),
        Some(Goal::AtMost(1.0 / 0.9)),
    );
}

/// Of a broker with so many shards, all on the server's core: what they cost
/// beyond one is their own, and no other core's cache helps them.
fn cost(shards: u16, connections: usize, load: &FanoutLoad) -> io::Result<f64> {
    let (server, place) = server::start_broker(Shape {
        shards,
        ..Shape::of_one(0)
    })?;
    Ok(load::broker_fanout(&server, &place, connections, load)?.cpu_ns)
}

/// What a hop adds to the time of an event that comes back to its sender, in
/// nanoseconds: with its channel at home on the other shard it goes there and
/// back. The kernel deals the connection to a shard; the home that answers
/// sooner is its own.
fn added_latency(rounds: usize) -> io::Result<f64> {
    let (server, place) = server::start_broker(Shape {
        shards: 2,
        spread: true,
        ..Shape::of_one(CHANNELS)
    })?;
    let homes = [0, 1].map(|shard| {
        let is_home =
            |&index: &usize| home_of_channel(VHOST, &broker::own_channel(index), 2) == shard;
        (0..CHANNELS).find(is_home).unwrap_or(0)
    });
    let mut added = Vec::new();
    for _ in 0..ASKED {
        let mut medians = [0.0; 2];
        let [first, second] = homes.map(|index| broker::subscribe(&broker::own_channel(index)));
        let mut stream = open(place.frontends, &[broker::upgrade(), first, second])?;
        for (median_ns, index) in medians.iter_mut().zip(homes) {
            let event = broker::own_event(index, FRAME_BYTES);
            *median_ns = round_trip(&mut stream, &event, rounds)?;
        }
        added.push((medians[0] - medians[1]).abs() / 2.0);
    }
    drop(server);
    Ok(median(&added))
}

/// Of an event of this connection's own to a channel where it alone subscribes,
/// while nothing else happens.
fn round_trip(stream: &mut std::net::TcpStream, event: &[u8], rounds: usize) -> io::Result<f64> {
    let mut answer = [0; FRAME_BYTES];
    let mut times = Vec::with_capacity(rounds);
    for _ in 0..rounds {
        let started = Instant::now();
        stream.write_all(event)?;
        stream.read_exact(&mut answer)?;
        times.push(started.elapsed().as_nanos() as f64);
    }
    Ok(median(&times))
}

/// What each shard of many adds, from the costs of this run: no machine here has
/// as many cores. The channels are small, so nearly each delivery is a hop of its
/// own: with large ones hops are a thousandth of the work.
fn by_calculation(report: &mut Report) {
    let (Some(hop), Some(delivery)) = (report.median(HOP), report.median(SMALL_CHANNELS_ON_ONE))
    else {
        return;
    };
    for shards in [16, 64] {
        let (count, subscribers) = (f64::from(shards), SUBSCRIBERS_EACH as f64);
        let elsewhere = (count - 1.0) / count;
        // Dealt out at random, some subscribers share a shard and an envelope.
        let reached = count * (1.0 - elsewhere.powf(subscribers));
        // One hop to the home shard, and one to each that is reached.
        let hops = elsewhere * (1.0 + reached) * hop;
        let deliveries = subscribers * delivery;
        report.add(
            &format!(
                "shards: what each of {shards} adds, channels of {SUBSCRIBERS_EACH}, calculated"
            ),
            "of one's throughput",
            deliveries / (deliveries + hops),
            Some(Goal::AtLeast(0.9)),
        );
    }
}
