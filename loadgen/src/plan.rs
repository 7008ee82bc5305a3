//! What a run does, checked, and how its clients are numbered.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use clap::ValueEnum;

use crate::limits::{CLIENTS_PER_SOURCE, SPAN_MIN, SPANS_MAX};
use crate::pace::Pace;
use crate::timeline::nanoseconds;

/// A run. Clients are numbered from 0; client `n` is subscribed to channel
/// `n % channels`, belongs to thread `n % threads` and is a publisher while
/// `n < publishers`, so that publishers and channels are spread evenly.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) clients: u32,
    pub(crate) channels: u32,
    /// The first one's number.
    pub(crate) first_channel: u32,
    /// Of each channel; none in an idle run.
    pub(crate) publishers_per_channel: u32,
    pub(crate) threads: u16,
    /// Broadcasts a second, of all publishers; the mean where they change.
    pub(crate) rate: f64,
    /// When they are due.
    pub(crate) pace: Pace,
    /// Broadcasts of each publisher that are under way at one time, instead of a
    /// pace; 0 for the open loop.
    pub(crate) in_flight: u32,
    /// Bytes of the data of a broadcast.
    pub(crate) data_bytes: usize,
    /// Of every channel.
    pub(crate) kind: ChannelKind,
    /// Clients a second that disconnect and come back, of those that do not publish.
    pub(crate) churn: f64,
    pub(crate) storm: Option<Storm>,
    pub(crate) backend: Backend,
    /// When triggers are due.
    pub(crate) trigger_pace: Pace,
    /// Further clients, numbered after the others, that hardly read.
    pub(crate) slow: Slow,
    /// Local addresses to connect from; none leaves it to us.
    pub(crate) sources: Vec<IpAddr>,
    /// Connections a second, of all threads.
    pub(crate) connect_rate: f64,
    pub(crate) warmup: Duration,
    pub(crate) duration: Duration,
    pub(crate) drain: Duration,
}

/// Who may subscribe a channel, and what members learn of each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum ChannelKind {
    /// Everybody.
    #[default]
    Public,
    /// Who is authenticated.
    Private,
    /// The same, and each is told of each.
    Presence,
}

/// Many clients lose their connections at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Storm {
    /// Since the measuring began.
    pub(crate) at: Duration,
    /// Of the clients that do not publish.
    pub(crate) percent: u32,
}

/// What backends do, and what clients want of them.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Backend {
    pub(crate) workers: u32,
    /// A second, of all clients that trigger.
    pub(crate) trigger_rate: f64,
    /// Workers answer on the client's channel.
    pub(crate) replies: bool,
    /// Broadcasts a second, on all channels in turn.
    pub(crate) rate: f64,
    /// That share the broadcasts.
    pub(crate) clients: u32,
    /// Further channels opened or closed a second.
    pub(crate) channel_churn: f64,
    /// Access tokens a second, beside those of the clients.
    pub(crate) token_rate: f64,
}

impl Backend {
    /// Whether there is any work on its side.
    pub(crate) fn works(&self) -> bool {
        self.workers > 0 || self.rate > 0.0 || self.channel_churn > 0.0 || self.token_rate > 0.0
    }
}

/// Clients that subscribe and then read too little.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Slow {
    pub(crate) clients: u32,
    /// What each reads a second, once it is subscribed.
    pub(crate) bytes_per_s: u32,
}

impl Storm {
    /// Whether it hits the `rank`-th of those that do not publish: they are spread
    /// evenly.
    pub(crate) fn hits(&self, rank: u32) -> bool {
        let before = |rank: u64| rank * u64::from(self.percent) / 100;
        before(u64::from(rank) + 1) > before(rank.into())
    }
}

impl Plan {
    /// For tests: one channel, one publisher, one thread, no time.
    #[cfg(test)]
    pub(crate) fn example(clients: u32) -> Self {
        Self {
            clients,
            channels: 1,
            first_channel: 0,
            publishers_per_channel: 1,
            threads: 1,
            rate: 1.0,
            pace: Pace::constant(1.0),
            in_flight: 0,
            data_bytes: 64,
            kind: ChannelKind::Public,
            churn: 0.0,
            storm: None,
            backend: Backend::default(),
            trigger_pace: Pace::constant(0.0),
            slow: Slow::default(),
            sources: Vec::new(),
            connect_rate: 1.0,
            warmup: Duration::ZERO,
            duration: Duration::ZERO,
            drain: Duration::ZERO,
        }
    }

    /// All publishers of the run.
    pub(crate) fn publishers(&self) -> u32 {
        self.publishers_per_channel * self.channels
    }

    /// All that broadcast on a channel: its publishers, and the backend where it does.
    pub(crate) fn senders_per_channel(&self) -> u32 {
        self.publishers_per_channel + u32::from(self.backend.rate > 0.0)
    }

    /// All of the run. The backend counts as one more of each channel, numbered
    /// after the publishers.
    pub(crate) fn senders(&self) -> u32 {
        self.senders_per_channel() * self.channels
    }

    /// The first so many clients trigger in turn: all, unless some come and go.
    pub(crate) fn triggerers(&self) -> u32 {
        let all_stay = self.churn == 0.0 && self.storm.is_none();
        match self.backend.trigger_rate > 0.0 {
            true if all_stay => self.clients,
            true => self.publishers(),
            false => 0,
        }
    }

    /// Of a thread.
    pub(crate) fn triggerers_of(&self, thread: u16) -> Vec<u32> {
        let own = u32::from(thread)..self.triggerers();
        own.step_by(self.threads.into()).collect()
    }

    /// The name of a channel of the run.
    pub(crate) fn channel_name(&self, channel: u32) -> String {
        let kind = match self.kind {
            ChannelKind::Public => "",
            ChannelKind::Private => "private-",
            ChannelKind::Presence => "presence-",
        };
        format!("{kind}load-{}", self.first_channel + channel)
    }

    /// Whether clients need an access token.
    pub(crate) fn authenticates(&self) -> bool {
        self.kind != ChannelKind::Public || self.backend.trigger_rate > 0.0
    }

    /// The option that asks for what only a backend can give.
    pub(crate) fn needs_backend(&self) -> Option<&'static str> {
        if self.backend.trigger_rate > 0.0 {
            return Some("--trigger-rate");
        }
        if self.backend.works() {
            return Some("--workers, --backend-rate, --channel-churn or --token-rate");
        }
        self.authenticates().then_some("--channel-kind")
    }

    /// Members of the largest channel that are told of each other; none but on
    /// presence channels.
    pub(crate) fn members(&self) -> u32 {
        match self.kind {
            ChannelKind::Presence => self.population().div_ceil(self.channels),
            ChannelKind::Public | ChannelKind::Private => 0,
        }
    }

    /// All clients of the run, the slow ones among them.
    pub(crate) fn population(&self) -> u32 {
        self.clients + self.slow.clients
    }

    /// Whether the client is one of those that hardly read.
    pub(crate) fn is_slow(&self, client: u32) -> bool {
        client >= self.clients
    }

    /// Those that do not publish: they may disconnect and come back.
    pub(crate) fn listeners(&self) -> u32 {
        self.clients - self.publishers()
    }

    /// The numbers of a thread's clients that do not publish, counted from 0.
    pub(crate) fn listeners_of(&self, thread: u16) -> Vec<u32> {
        let publishers = self.publishers();
        let own = self
            .clients_of(thread)
            .filter(|&number| !self.is_slow(number));
        own.filter_map(|number| number.checked_sub(publishers))
            .collect()
    }

    /// How long a span of the series is: a second, unless the run is long.
    pub(crate) fn span_ns(&self) -> u64 {
        let ramp = Duration::from_secs_f64(f64::from(self.population()) / self.connect_rate);
        let whole = ramp + self.warmup + self.duration + self.drain;
        let seconds = whole.as_secs().div_ceil(SPANS_MAX as u64);
        nanoseconds(SPAN_MIN.max(Duration::from_secs(seconds)))
    }

    /// The local address of a client: in turn those that were given; otherwise,
    /// where loopback has too few ports for all, each 25,000 take another address
    /// of 127.0.0.0/8.
    pub(crate) fn source(&self, client: u32, to: SocketAddr) -> Option<IpAddr> {
        if !self.sources.is_empty() {
            return self
                .sources
                .get(client as usize % self.sources.len())
                .copied();
        }
        if self.population() <= CLIENTS_PER_SOURCE || !has_many_sources(to) {
            return None;
        }
        let source = u32::from(Ipv4Addr::new(127, 1, 0, 1)) + client / CLIENTS_PER_SOURCE;
        Some(Ipv4Addr::from(source).into())
    }

    /// The most clients that share a local address.
    pub(crate) fn clients_of_a_source(&self, to: SocketAddr) -> u32 {
        match self.sources.len() as u32 {
            0 if has_many_sources(to) => self.population().min(CLIENTS_PER_SOURCE),
            0 => self.population(),
            sources => self.population().div_ceil(sources),
        }
    }

    /// The numbers of a thread's clients.
    pub(crate) fn clients_of(&self, thread: u16) -> impl Iterator<Item = u32> + use<> {
        (u32::from(thread)..self.population()).step_by(self.threads.into())
    }

    /// The numbers of a thread's publishers.
    pub(crate) fn publishers_of(&self, thread: u16) -> Vec<u32> {
        (u32::from(thread)..self.publishers())
            .step_by(self.threads.into())
            .collect()
    }
}

/// Whether this machine has more than one address towards `to`.
fn has_many_sources(to: SocketAddr) -> bool {
    matches!(to.ip(), IpAddr::V4(ip) if ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(clients: u32, threads: u16) -> Plan {
        Plan {
            channels: 3,
            publishers_per_channel: 2,
            threads,
            ..Plan::example(clients)
        }
    }

    #[test]
    fn every_client_and_publisher_has_one_thread() {
        for threads in 1..5 {
            let plan = plan(10, threads);
            let mut clients: Vec<u32> = (0..threads)
                .flat_map(|thread| plan.clients_of(thread))
                .collect();
            clients.sort_unstable();
            assert_eq!(clients, (0..10).collect::<Vec<_>>());
            let mut publishers: Vec<u32> = (0..threads)
                .flat_map(|thread| plan.publishers_of(thread))
                .collect();
            publishers.sort_unstable();
            assert_eq!(publishers, (0..6).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_storm_hits_as_many_as_it_says_and_spreads_them() {
        for percent in [1, 33, 50, 99, 100] {
            let storm = Storm {
                at: Duration::ZERO,
                percent,
            };
            let hit: Vec<u32> = (0..1000).filter(|&rank| storm.hits(rank)).collect();
            assert_eq!(hit.len() as u32, 10 * percent);
            assert_eq!(
                hit.iter().filter(|&&rank| rank < 100).count() as u32,
                percent
            );
        }
    }

    #[test]
    fn who_does_not_publish_is_numbered_from_0() {
        let mut plan = plan(10, 2);
        plan.slow.clients = 3;
        let mut listeners: Vec<u32> = (0..2).flat_map(|it| plan.listeners_of(it)).collect();
        listeners.sort_unstable();
        assert_eq!(listeners, [0, 1, 2, 3]);
        assert_eq!(plan.listeners(), 4);
        assert_eq!((0..2).flat_map(|it| plan.clients_of(it)).count(), 13);
    }

    #[test]
    fn sources_are_spread_past_the_bound_on_loopback_only() {
        let loopback = SocketAddr::from(([127, 0, 0, 1], 8080));
        let other = SocketAddr::from(([192, 0, 2, 1], 8080));
        let source = |client, clients, to| Plan::example(clients).source(client, to);
        assert_eq!(source(24_999, CLIENTS_PER_SOURCE, loopback), None);
        let many = CLIENTS_PER_SOURCE + 1;
        let first = Some(IpAddr::from([127, 1, 0, 1]));
        assert_eq!(source(0, many, loopback), first);
        assert_eq!(source(24_999, many, loopback), first);
        assert_eq!(
            source(25_000, many, loopback),
            Some(IpAddr::from([127, 1, 0, 2]))
        );
        assert_eq!(source(0, many, other), None);
    }

    #[test]
    fn given_sources_are_taken_in_turn() {
        let other = SocketAddr::from(([192, 0, 2, 1], 8080));
        let sources = [[192, 0, 2, 7], [192, 0, 2, 8]].map(IpAddr::from);
        let plan = Plan {
            sources: sources.to_vec(),
            ..Plan::example(5)
        };
        let taken: Vec<_> = (0..5)
            .filter_map(|client| plan.source(client, other))
            .collect();
        assert_eq!(taken, [0, 1, 0, 1, 0].map(|at: usize| sources[at]));
        assert_eq!(plan.clients_of_a_source(other), 3);
        assert_eq!(Plan::example(5).clients_of_a_source(other), 5);
    }
}
