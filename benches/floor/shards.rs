//! What a second shard costs: the time that it adds to an event, and CPU.

use std::io::{self, Read, Write};
use std::time::Instant;

use webrocket::hub::home_of_channel;
use webrocket::limits::RING_ENVELOPES_MAX;
use webrocket::model::VhostId;

use crate::broker::{self, Shape};
use crate::cluster::{self, Costs, Load, Place};
use crate::flood::{self, SUBSCRIBERS_EACH};
use crate::hop::Cargo;
use crate::load::{self, FRAME_BYTES, FanoutLoad};
use crate::peers::open;
use crate::plan::Plan;
use crate::random::Random;
use crate::report::{Goal, Report, median};
use crate::{hop, server};

pub(crate) struct ShardsLoad {
    /// Events of each connection to each home, and bare wake-ups.
    pub(crate) rounds: usize,
    /// Envelopes through a ring.
    pub(crate) envelopes: usize,
    /// Events for each shard of a simulated node.
    pub(crate) simulated: usize,
}

/// Frontends that are asked how long an event takes.
const ASKED: usize = 8;

/// The bench's one vhost is the first of its node.
const VHOST: VhostId = VhostId(0);

const SMALL_CHANNELS_ON_ONE: &str = "shards: 1,000 channels of 10, flat out, one shard";

/// For each simulated shard.
const SMALL_CHANNELS: usize = 1000;
const LARGE_CHANNELS: usize = 16;

/// Of each large channel, over all shards.
const LARGE_SUBSCRIBERS: usize = 1000;

/// A simulated shard's events for each that is under way: so many that what the
/// busiest shard lags behind is in its queue long before the end.
const SIMULATED_FOR_EACH_UNDER_WAY: usize = 40;

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
        let unit = "ns CPU an envelope";
        for (name, cargo) in [
            ("an event's hop to its home", Cargo::Events),
            ("a small frame's hop from its home", Cargo::Frames),
        ] {
            let hop = hop::batched(cargo, load.envelopes)?;
            let name = format!("shards: {name}, batched, both sides");
            report.add(&name, "ns CPU", hop, Some(Goal::AtMost(100.0)));
        }
        let [together, one_by_one] = hop::releases(load.envelopes)?;
        let name = "shards: bursts of 3,072, frames let go together; against one by one";
        report.compare(name, unit, (together, one_by_one), None);
        let by_shards = |load: &FanoutLoad| {
            let [one, two] = [1, 2].map(|shards| cost(shards, plan.connections, load));
            Ok::<_, io::Error>([one?, two?])
        };
        let light = by_shards(&plan.fanout)?;
        compare("light", light, report);
        compare("5,000 events a second", by_shards(joined)?, report);
        let rates = [1, 2].map(|shards| flood::many_channels(shards, &plan.flood));
        let [one, two] = rates;
        let costs = [1e9 / one?, 1e9 / two?];
        let large = 1e9 / flood::one_channel(&plan.flood)?;
        report.add(SMALL_CHANNELS_ON_ONE, "ns CPU a delivery", costs[0], None);
        compare("1,000 channels of 10, flat out", costs, report);
        simulate(load, [light[0], costs[0], large], report)?;
    }
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

/// Many shards, simulated with what things cost in this run: no machine here has
/// as many cores.
fn simulate(
    load: &ShardsLoad,
    [light, small, large]: [f64; 3],
    report: &mut Report,
) -> io::Result<()> {
    let events = hop::parts(Cargo::Events, load.envelopes)?;
    let frames = hop::parts(Cargo::Frames, load.envelopes)?;
    for (name, hop) in [("an event", events.hop), ("a small frame", frames.hop)] {
        let name = format!("shards: {name}'s hop while nobody sleeps, both sides");
        report.add(&name, "ns CPU", hop.send + hop.receive, None);
    }
    let name = "shards: ending a sleep of a shard, both sides";
    report.add(name, "ns CPU", events.wake + events.woken, None);
    for (how, subscribers, channels, delivery) in [
        ("a send each", SUBSCRIBERS_EACH, SMALL_CHANNELS, light),
        ("joined", SUBSCRIBERS_EACH, SMALL_CHANNELS, small),
        ("joined", LARGE_SUBSCRIBERS, LARGE_CHANNELS, large),
    ] {
        let throughput = |shards: u16| {
            let costs = Costs {
                event: events.hop,
                frame: frames.hop,
                wake: events.wake,
                woken: events.woken,
                look: hop::look(shards, load.rounds)?,
                delivery,
            };
            let home = |index| home_of_channel(VHOST, &broker::own_channel(index), shards);
            let count = channels * usize::from(shards);
            let place = Place::deal(shards, count, subscribers, home, &mut Random(1));
            let outcome = cluster::run(
                &place,
                costs,
                Load {
                    under_way: load.simulated / SIMULATED_FOR_EACH_UNDER_WAY * usize::from(shards),
                    events: load.simulated * usize::from(shards),
                    seed: 1,
                },
            );
            if outcome.fullest_ring > RING_ENVELOPES_MAX {
                return Err(io::Error::other("more in a ring than it holds"));
            }
            Ok(outcome.deliveries_per_second / f64::from(shards))
        };
        let one = throughput(1)?;
        for shards in [16, 64] {
            report.add(
                &format!(
                    "shards: what each of {shards} adds, channels of {subscribers}, {how}, simulated"
                ),
                "of one's throughput",
                throughput(shards)? / one,
                Some(Goal::AtLeast(0.9)),
            );
        }
    }
    Ok(())
}
