//! As many deliveries as one core makes: publishers never wait for a clock, only
//! for what is under way.

use std::io;

use crate::broker::{self, Shape};
use crate::load::FRAME_BYTES;
use crate::peers::{Peers, Speaker};
use crate::random::Random;
use crate::report::{Goal, Report};
use crate::server::{self, Server};

pub(crate) struct FloodLoad {
    /// Subscribers of the one channel.
    pub(crate) subscribers: usize,
    /// Channels of [`SUBSCRIBERS_EACH`] instead.
    pub(crate) channels: usize,
    pub(crate) deliveries: usize,
}

/// Subscribers of each of many channels.
pub(crate) const SUBSCRIBERS_EACH: usize = 10;

/// Events of a channel under way: what a subscriber's socket holds with ease.
const EVENTS_UNDER_WAY: usize = 512;

/// Deliveries a second aimed at, over one channel. Many are to keep 80 % of that.
const DELIVERIES_AIM: f64 = 1e7;

/// Of one write.
const EVENTS_AT_ONCE: usize = 16;

pub(crate) fn measure(samples: usize, load: &FloodLoad, report: &mut Report) -> io::Result<()> {
    for _ in 0..samples {
        let one = one_channel(load)?;
        let name = format!("flat out: 1 channel of {} subscribers", load.subscribers);
        let unit = "deliveries a CPU second";
        report.add(&name, unit, one, Some(Goal::AtLeast(DELIVERIES_AIM)));
        let many = many_channels(1, load)?;
        let name = format!(
            "flat out: {} channels of {SUBSCRIBERS_EACH}, random frontends publish",
            load.channels
        );
        report.add(&name, unit, many, Some(Goal::AtLeast(0.8 * DELIVERIES_AIM)));
    }
    Ok(())
}

/// A backend broadcasts to all.
pub(crate) fn one_channel(load: &FloodLoad) -> io::Result<f64> {
    let (server, place) = server::start_broker(Shape::of_one(0))?;
    let all = load.subscribers * FRAME_BYTES;
    let mut peers = Peers::connect(server.addr, load.subscribers, |_| {
        broker::introduction("room")
    })?
    .sweep();
    let (stream, event) = place.publisher(FRAME_BYTES)?;
    let mut publisher = Speaker::from(stream);
    let events = event.repeat(EVENTS_AT_ONCE);
    per_cpu_second(&server, load.deliveries, |deliveries| {
        // Whole events, so that nothing is left for the next round.
        let rounds = deliveries.div_ceil(load.subscribers * EVENTS_AT_ONCE);
        peers.flood(
            rounds * EVENTS_AT_ONCE * all,
            EVENTS_UNDER_WAY * all,
            |_| {
                publisher.say(&events)?;
                Ok(EVENTS_AT_ONCE * all)
            },
        )?;
        Ok(rounds * EVENTS_AT_ONCE * load.subscribers)
    })
}

/// Each event comes from some subscriber of its channel; on so many shards, all
/// on the server's core.
pub(crate) fn many_channels(shards: u16, load: &FloodLoad) -> io::Result<f64> {
    let (server, _) = server::start_broker(Shape {
        shards,
        ..Shape::of_one(load.channels)
    })?;
    let connections = load.channels * SUBSCRIBERS_EACH;
    let channel = |place| place % load.channels;
    let mut peers = Peers::connect(server.addr, connections, |place| {
        broker::introduction(&broker::own_channel(channel(place)))
    })?
    .sweep();
    let events: Vec<_> = (0..load.channels)
        .map(|index| broker::own_event(index, FRAME_BYTES).repeat(EVENTS_AT_ONCE))
        .collect();
    let mut random = Random(1);
    let each = SUBSCRIBERS_EACH * FRAME_BYTES;
    per_cpu_second(&server, load.deliveries, |deliveries| {
        let count = deliveries.div_ceil(SUBSCRIBERS_EACH * EVENTS_AT_ONCE);
        let window = EVENTS_UNDER_WAY * load.channels * each;
        peers.flood(count * EVENTS_AT_ONCE * each, window, |sockets| {
            let place = random.below(connections);
            sockets.send(place, &events[channel(place)])?;
            Ok(EVENTS_AT_ONCE * each)
        })?;
        Ok(count * EVENTS_AT_ONCE * SUBSCRIBERS_EACH)
    })
}

/// How many operations the server does for each second of its CPU time. `run`
/// does about so many and tells how many it were; a tenth of it comes before.
pub(crate) fn per_cpu_second(
    server: &Server,
    operations: usize,
    mut run: impl FnMut(usize) -> io::Result<usize>,
) -> io::Result<f64> {
    run(operations.div_ceil(10))?;
    let before = server.cpu_ns()?;
    let done = run(operations)?;
    let spent = server.cpu_ns()? - before;
    Ok(done as f64 * 1e9 / spent as f64)
}
