//! A node of more shards than this machine has cores, simulated: what each does
//! in a turn takes the time that was measured, on a core of its own.
//!
//! Events never wait for a clock: whenever one has reached all its subscribers,
//! a subscriber of some channel publishes the next. It goes to the channel's home
//! shard and from there to each shard with subscribers, as in the broker. What a
//! turn sends arrives at its end; a shard with nothing to do sleeps, and whoever
//! sends to it wakes it. What is not modelled: caches and memory that all cores
//! share, and rings that are full ([`Outcome::fullest_ring`] tells whether any was).

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::ops::Range;

use webrocket::limits::{ENVELOPES_PER_TURN_MAX, READS_PER_TURN_MAX};
use webrocket::model::ShardId;

use super::random::Random;

/// What things take on the core that does them, in nanoseconds of CPU.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Costs {
    /// An event on its way to its channel's home.
    pub(crate) event: Hop,
    /// A frame on its way from there.
    pub(crate) frame: Hop,
    /// Waking a shard that sleeps, for the one that does.
    pub(crate) wake: f64,
    /// Being woken.
    pub(crate) woken: f64,
    /// A look at all rings, of which none holds anything.
    pub(crate) look: f64,
    /// An event that reaches a subscriber, with its share of reading the event.
    pub(crate) delivery: f64,
}

/// From one shard to another, with its share of the envelope that it travels in.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Hop {
    pub(crate) send: f64,
    pub(crate) receive: f64,
}

/// Channels with the shards that their subscribers are on.
pub(crate) struct Place {
    shards: usize,
    subscribers: usize,
    channels: Vec<Channel>,
    /// Shards with how many subscribers each has, of one channel after the other.
    reached: Vec<(ShardId, u32)>,
}

struct Channel {
    home: ShardId,
    reached: Range<usize>,
}

#[derive(Clone, Copy)]
pub(crate) struct Load {
    /// Events on their way at any time.
    pub(crate) under_way: usize,
    /// Events published in all.
    pub(crate) events: usize,
    pub(crate) seed: u64,
}

#[derive(Debug)]
pub(crate) struct Outcome {
    /// A second, after the first and before the last of it.
    pub(crate) deliveries_per_second: f64,
    /// To the subscribers on each shard.
    pub(crate) delivered: Vec<u64>,
    /// On each channel.
    pub(crate) published: Vec<u64>,
    /// Most envelopes at once from one shard to another.
    pub(crate) fullest_ring: usize,
}

impl Place {
    /// Each channel is at home where `home` says, and so many subscribers of it
    /// are where chance puts them, as the kernel deals connections to listeners.
    pub(crate) fn deal(
        shards: u16,
        channels: usize,
        subscribers: usize,
        home: impl Fn(usize) -> ShardId,
        random: &mut Random,
    ) -> Self {
        let shards = usize::from(shards);
        let channels = (0..channels).map(|index| {
            let on = (0..subscribers).map(|_| random.below(shards) as ShardId);
            (home(index), on.collect())
        });
        Self::new(shards, subscribers, channels)
    }

    /// Of channels with their homes and the shard of each subscriber.
    pub(crate) fn new(
        shards: usize,
        subscribers: usize,
        channels: impl Iterator<Item = (ShardId, Vec<ShardId>)>,
    ) -> Self {
        let mut reached: Vec<(ShardId, u32)> = Vec::new();
        let channels = channels.map(|(home, mut on)| {
            assert_eq!(on.len(), subscribers, "as many on each channel");
            on.sort_unstable();
            let start = reached.len();
            let groups = on.chunk_by(|a, b| a == b);
            reached.extend(groups.map(|group| (group[0], group.len() as u32)));
            Channel {
                home,
                reached: start..reached.len(),
            }
        });
        Self {
            shards,
            subscribers,
            channels: channels.collect(),
            reached,
        }
    }

    fn reached(&self, channel: u32) -> &[(ShardId, u32)] {
        &self.reached[self.channels[channel as usize].reached.clone()]
    }

    /// The shard of some subscriber of the channel.
    fn publisher(&self, channel: u32, random: &mut Random) -> ShardId {
        let mut at = random.below(self.subscribers) as u32;
        for &(shard, count) in self.reached(channel) {
            if at < count {
                return shard;
            }
            at -= count;
        }
        unreachable!("fewer subscribers than counted")
    }

    /// What so many events on each channel make, by shard.
    #[allow(dead_code, reason = "tests/cluster.rs counts with it")]
    pub(crate) fn deliveries(&self, published: &[u64]) -> Vec<u64> {
        let mut deliveries = vec![0; self.shards];
        for (channel, events) in published.iter().enumerate() {
            for &(shard, count) in self.reached(channel as u32) {
                deliveries[usize::from(shard)] += u64::from(count) * events;
            }
        }
        deliveries
    }
}

/// When so many deliveries had been made.
type Mark = (Time, u64);

/// Picoseconds: times add up to the same sum in any order.
type Time = u64;

fn time(ns: f64) -> Time {
    (ns * 1000.0).round() as Time
}

#[derive(Clone, Copy)]
enum Envelope {
    Request { event: u32 },
    Delivery { event: u32, count: u32 },
}

#[derive(Default)]
struct Shard {
    /// Events that its connections publish.
    published: VecDeque<u32>,
    requests: VecDeque<(ShardId, u32)>,
    deliveries: VecDeque<(ShardId, u32, u32)>,
    /// What the turn sends, and the events that it delivers with how often.
    sent: Vec<(ShardId, Envelope)>,
    delivered: Vec<(u32, u32)>,
    asleep: bool,
}

struct Event {
    channel: u32,
    /// Deliveries that are still to come.
    missing: u32,
}

struct Cluster<'a> {
    place: &'a Place,
    costs: Costs,
    load: Load,
    random: Random,
    shards: Vec<Shard>,
    /// Turns by their ends.
    turns: BinaryHeap<Reverse<(Time, ShardId)>>,
    /// Those under way; the places of others are taken anew.
    events: Vec<Event>,
    spare: Vec<u32>,
    /// Envelopes in each ring.
    rings: Vec<usize>,
    started: usize,
    completed: usize,
    /// When the saturated part began and ended, and the deliveries in it.
    window: [Mark; 2],
    outcome: Outcome,
}

/// Lets so many events happen.
pub(crate) fn run(place: &Place, costs: Costs, load: Load) -> Outcome {
    assert!(4 * load.under_way <= load.events, "hardly ever saturated");
    let mut cluster = Cluster {
        place,
        costs,
        load,
        random: Random(load.seed),
        shards: (0..place.shards).map(|_| Shard::default()).collect(),
        turns: BinaryHeap::new(),
        events: Vec::new(),
        spare: Vec::new(),
        rings: vec![0; place.shards * place.shards],
        started: 0,
        completed: 0,
        window: [Mark::default(); 2],
        outcome: Outcome {
            deliveries_per_second: f64::NAN,
            delivered: vec![0; place.shards],
            published: vec![0; place.channels.len()],
            fullest_ring: 0,
        },
    };
    for shard in &mut cluster.shards {
        shard.asleep = true;
    }
    for _ in 0..load.under_way.min(load.events) {
        cluster.publish(0);
    }
    while let Some(Reverse((now, shard))) = cluster.turns.pop() {
        cluster.end_turn(now, shard);
    }
    let [(began, before), (ended, after)] = cluster.window;
    let (deliveries, elapsed) = (after - before, ended - began);
    cluster.outcome.deliveries_per_second = deliveries as f64 * 1e12 / elapsed as f64;
    assert_eq!(cluster.completed, load.events, "an event got lost");
    cluster.outcome
}

impl Cluster<'_> {
    /// Some subscriber of some channel publishes.
    fn publish(&mut self, now: Time) {
        let channel = self.random.below(self.place.channels.len()) as u32;
        let at = self.place.publisher(channel, &mut self.random);
        let event = Event {
            channel,
            missing: self.place.subscribers as u32,
        };
        let key = self.spare.pop().unwrap_or(self.events.len() as u32);
        match self.events.get_mut(key as usize) {
            Some(place) => *place = event,
            None => self.events.push(event),
        }
        self.started += 1;
        self.outcome.published[channel as usize] += 1;
        self.shards[usize::from(at)].published.push_back(key);
        self.wake(now, at);
    }

    /// Tells whether the shard slept.
    fn wake(&mut self, now: Time, shard: ShardId) -> bool {
        let slept = std::mem::take(&mut self.shards[usize::from(shard)].asleep);
        if slept {
            // Its first turn finds nothing but what woke it.
            self.turns
                .push(Reverse((now + time(self.costs.woken), shard)));
        }
        slept
    }

    /// What the turn has made reaches others, and the next one begins.
    fn end_turn(&mut self, mut now: Time, shard: ShardId) {
        let index = usize::from(shard);
        let mut sent = std::mem::take(&mut self.shards[index].sent);
        for (to, envelope) in sent.drain(..) {
            let ring = &mut self.rings[index * self.place.shards + usize::from(to)];
            *ring += 1;
            self.outcome.fullest_ring = self.outcome.fullest_ring.max(*ring);
            let target = &mut self.shards[usize::from(to)];
            match envelope {
                Envelope::Request { event } => target.requests.push_back((shard, event)),
                Envelope::Delivery { event, count } => {
                    target.deliveries.push_back((shard, event, count));
                }
            }
            if self.wake(now, to) {
                now += time(self.costs.wake);
            }
        }
        self.shards[index].sent = sent;
        let mut delivered = std::mem::take(&mut self.shards[index].delivered);
        for (event, count) in delivered.drain(..) {
            self.outcome.delivered[index] += u64::from(count);
            let missing = &mut self.events[event as usize].missing;
            *missing = missing.checked_sub(count).expect("delivered once");
            if *missing == 0 {
                self.complete(now, event);
            }
        }
        self.shards[index].delivered = delivered;
        self.note(now);
        let taken = self.take_in(shard);
        if taken == 0 {
            self.shards[index].asleep = true;
        } else {
            self.turns.push(Reverse((now + taken, shard)));
        }
    }

    /// Marks the turns with which the saturated part begins and ends.
    fn note(&mut self, now: Time) {
        let deliveries = || self.outcome.delivered.iter().sum();
        let warm = self.load.events / 5;
        let [began, ended] = &mut self.window;
        if *began == Mark::default() && self.completed >= warm {
            *began = (now, deliveries());
        } else if *ended == Mark::default() && self.completed >= self.load.events - warm {
            *ended = (now, deliveries());
        }
    }

    fn complete(&mut self, now: Time, event: u32) {
        self.spare.push(event);
        self.completed += 1;
        if self.started < self.load.events {
            self.publish(now);
        }
    }

    /// A turn over what waits; tells how long it takes. None where nothing waits.
    fn take_in(&mut self, shard: ShardId) -> Time {
        let mut work = Work {
            place: self.place,
            events: &self.events,
            rings: &mut self.rings,
            shard,
            reached: 0,
            handled: 0,
        };
        let it = &mut self.shards[usize::from(shard)];
        let mut ns = self.costs.look;
        let count = it.deliveries.len().min(ENVELOPES_PER_TURN_MAX);
        let mut taken = count;
        ns += count as f64 * self.costs.frame.receive;
        for (from, event, count) in it.deliveries.drain(..count) {
            work.take(from);
            work.deliver(event, count, &mut it.delivered);
        }
        let count = it.requests.len().min(ENVELOPES_PER_TURN_MAX);
        taken += count;
        ns += count as f64 * self.costs.event.receive;
        for (from, event) in it.requests.drain(..count) {
            work.take(from);
            work.spread(event, &mut it.sent, &mut it.delivered);
        }
        let count = it.published.len().min(READS_PER_TURN_MAX);
        for event in it.published.drain(..count) {
            work.handled += 1;
            let home = work.place.channels[work.channel(event)].home;
            if home == shard {
                work.spread(event, &mut it.sent, &mut it.delivered);
            } else {
                it.sent.push((home, Envelope::Request { event }));
            }
        }
        if taken + work.handled == 0 {
            return 0;
        }
        for (_, envelope) in &it.sent {
            ns += match envelope {
                Envelope::Request { .. } => self.costs.event.send,
                Envelope::Delivery { .. } => self.costs.frame.send,
            };
        }
        ns += work.reached as f64 * self.costs.delivery;
        // A turn that costs nothing comes to an end, too.
        time(ns).max(1)
    }
}

/// What one turn does.
struct Work<'a> {
    place: &'a Place,
    events: &'a [Event],
    rings: &'a mut [usize],
    shard: ShardId,
    /// Subscribers of this shard.
    reached: u64,
    /// Events of this shard's connections.
    handled: usize,
}

impl Work<'_> {
    fn channel(&self, event: u32) -> usize {
        self.events[event as usize].channel as usize
    }

    fn take(&mut self, from: ShardId) {
        self.rings[usize::from(from) * self.place.shards + usize::from(self.shard)] -= 1;
    }

    fn deliver(&mut self, event: u32, count: u32, delivered: &mut Vec<(u32, u32)>) {
        self.reached += u64::from(count);
        delivered.push((event, count));
    }

    /// At its home the event goes to every shard with subscribers.
    fn spread(
        &mut self,
        event: u32,
        sent: &mut Vec<(ShardId, Envelope)>,
        delivered: &mut Vec<(u32, u32)>,
    ) {
        let place = self.place;
        for &(shard, count) in place.reached(self.channel(event) as u32) {
            if shard == self.shard {
                self.deliver(event, count, delivered);
            } else {
                sent.push((shard, Envelope::Delivery { event, count }));
            }
        }
    }
}
