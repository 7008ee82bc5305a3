//! What the load is, and which of its options go together.

use std::net::IpAddr;

use clap::{Args, ValueEnum, value_parser};
use thiserror::Error;

use super::{Phase, Rate};
use crate::host;
use crate::limits::{
    BACKEND_CLIENTS_MAX, CLIENTS_MAX, DATA_BYTES_MAX, IN_FLIGHT_MAX, PRESENCE_PAIRS_MAX,
    THREADS_MAX, TRIGGERS_MAX, WORKERS_MAX,
};
use crate::pace::Pace;
use crate::payload::DATA_BYTES_MIN;
use crate::plan::{Backend, ChannelKind, Plan, Slow, Storm};

/// What the load is.
#[derive(Clone, Debug, PartialEq, Args)]
#[command(next_help_heading = "Load")]
pub(crate) struct Load {
    /// Clients, spread evenly over the channels
    #[arg(long, value_name = "N", default_value_t = 1000)]
    #[arg(value_parser = value_parser!(u32).range(1..=i64::from(CLIENTS_MAX)))]
    pub(crate) clients: u32,

    /// Channels, named load-0 and so on; they must exist, but with --backend or --self-host
    #[arg(long, value_name = "N", default_value_t = 1)]
    #[arg(value_parser = value_parser!(u32).range(1..=i64::from(CLIENTS_MAX)))]
    pub(crate) channels: u32,

    /// The first channel's number: agents have channels of their own
    #[arg(long, value_name = "N", default_value_t = 0, hide = true)]
    #[arg(value_parser = value_parser!(u32).range(0..=i64::from(CLIENTS_MAX)))]
    pub(crate) first_channel: u32,

    /// To private and presence channels each client brings an access token
    #[arg(long, value_name = "KIND", value_enum, default_value_t)]
    pub(crate) channel_kind: ChannelKind,

    /// Broadcasts a second, of all publishers
    #[arg(long, value_name = "N", default_value = "100")]
    pub(crate) rate: Rate,

    /// Closed loop: N broadcasts of each publisher under way, at whatever rate
    #[arg(long, value_name = "N", conflicts_with_all = ["rate", "idle"])]
    #[arg(value_parser = value_parser!(u32).range(1..=i64::from(IN_FLIGHT_MAX)))]
    pub(crate) closed_loop: Option<u32>,

    /// Clients of each channel that broadcast, in turn
    #[arg(long, value_name = "N", default_value_t = 1)]
    #[arg(value_parser = value_parser!(u32).range(1..=i64::from(CLIENTS_MAX)))]
    pub(crate) publishers: u32,

    /// Bytes of the data of each broadcast
    #[arg(long, value_name = "BYTES", default_value_t = 100)]
    #[arg(value_parser = value_parser!(u32).range(DATA_BYTES_MIN as i64..=DATA_BYTES_MAX as i64))]
    pub(crate) size: u32,

    /// Workers that take what clients trigger
    #[arg(help_heading = "Backends")]
    #[arg(long, value_name = "N", default_value_t = 0)]
    #[arg(value_parser = value_parser!(u32).range(0..=i64::from(WORKERS_MAX)))]
    pub(crate) workers: u32,

    /// Triggers a second, of all clients in turn
    #[arg(help_heading = "Backends")]
    #[arg(long, value_name = "N")]
    pub(crate) trigger_rate: Option<Rate>,

    /// Workers answer each trigger with a broadcast on the client's channel
    #[arg(help_heading = "Backends")]
    #[arg(long, requires = "trigger_rate")]
    pub(crate) replies: bool,

    /// Broadcasts a second of Kosmonaut clients, on all channels in turn
    #[arg(help_heading = "Backends")]
    #[arg(long, value_name = "N")]
    pub(crate) backend_rate: Option<Rate>,

    /// Connections that share the --backend-rate
    #[arg(help_heading = "Backends")]
    #[arg(long, value_name = "N", default_value_t = 1)]
    #[arg(value_parser = value_parser!(u32).range(1..=i64::from(BACKEND_CLIENTS_MAX)))]
    pub(crate) backend_clients: u32,

    /// Further channels opened and closed a second, by turns
    #[arg(help_heading = "Backends")]
    #[arg(long, value_name = "N")]
    pub(crate) channel_churn: Option<Rate>,

    /// Access tokens asked for a second, beside those that clients need
    #[arg(help_heading = "Backends")]
    #[arg(long, value_name = "N")]
    pub(crate) token_rate: Option<Rate>,

    /// Clients a second that disconnect and come back; publishers stay
    #[arg(help_heading = "Coming and going")]
    #[arg(long, value_name = "N")]
    pub(crate) churn: Option<Rate>,

    /// Reset clients this long into the measuring; publishers stay
    #[arg(help_heading = "Coming and going")]
    #[arg(long, value_name = "TIME")]
    pub(crate) storm: Option<Phase>,

    /// Percent of the clients that --storm hits
    #[arg(help_heading = "Coming and going")]
    #[arg(long, value_name = "N", default_value_t = 100, requires = "storm")]
    #[arg(value_parser = value_parser!(u32).range(1..=100))]
    pub(crate) storm_percent: u32,

    /// Further clients that subscribe and then do not read
    #[arg(help_heading = "Coming and going")]
    #[arg(long, value_name = "N", default_value_t = 0)]
    #[arg(value_parser = value_parser!(u32).range(0..=i64::from(CLIENTS_MAX)))]
    pub(crate) slow_clients: u32,

    /// What each of the --slow-clients reads a second
    #[arg(help_heading = "Coming and going")]
    #[arg(
        long,
        value_name = "BYTES",
        default_value_t = 0,
        requires = "slow_clients"
    )]
    pub(crate) slow_bytes_per_s: u32,

    /// Local addresses to connect from, in turn; each has its own ports
    #[arg(long, value_name = "IP,IP", value_delimiter = ',')]
    pub(crate) source_ips: Vec<IpAddr>,

    /// Connections a second
    #[arg(long, value_name = "N", default_value = "2000")]
    pub(crate) connect_rate: Rate,

    /// Broadcast for this long before measuring
    #[arg(long, value_name = "TIME", default_value = "2s")]
    pub(crate) warmup: Phase,

    /// Measure for this long
    #[arg(long, value_name = "TIME", default_value = "10s")]
    pub(crate) duration: Phase,

    /// Wait for late deliveries for this long
    #[arg(long, value_name = "TIME", default_value = "2s")]
    pub(crate) drain: Phase,

    /// Threads that the clients are spread over; unless told as --shards
    #[arg(long, value_name = "N")]
    #[arg(value_parser = value_parser!(u16).range(1..=i64::from(THREADS_MAX)))]
    pub(crate) threads: Option<u16>,

    /// Broadcast nothing; stay connected
    #[arg(long)]
    pub(crate) idle: bool,
}

/// Options that don't go together.
#[derive(Debug, PartialEq, Error)]
pub(crate) enum Mismatch {
    /// A channel without enough clients.
    #[error(
        "{channels} channels with {publishers} publishers each need {needed} clients: give \
         --clients {needed} or more"
    )]
    TooFewClients {
        /// Asked for.
        channels: u32,
        /// Asked for, of each channel.
        publishers: u32,
        /// Their product.
        needed: u64,
    },
    /// A thread without a client.
    #[error("{threads} threads and only {clients} clients: give --threads {clients} or fewer")]
    TooFewForThreads {
        /// Asked for.
        threads: u16,
        /// Asked for.
        clients: u32,
    },
    /// Nobody is left to disconnect.
    #[error("all {clients} clients publish: --churn and --storm hit only those that do not")]
    NobodyToLeave {
        /// Asked for.
        clients: u32,
    },
    /// After the end.
    #[error("the storm would come after the measuring: give a --storm below --duration")]
    StormTooLate,
    /// Each takes a bit.
    #[error("more than {TRIGGERS_MAX} triggers: lower --trigger-rate or --duration")]
    TooManyTriggers,
    /// Those that come and go don't.
    #[error("nobody triggers: with --churn or --storm only publishers do, and there are none")]
    NobodyToTrigger,
    /// Each member is told of each.
    #[error(
        "{members} members of each presence channel are told of each other, which is too much: \
         give --channels {channels} or more"
    )]
    TooManyMembers {
        /// Asked for.
        members: u32,
        /// That would do.
        channels: u64,
    },
    /// Numbers of clients have 24 bits.
    #[error("more than {CLIENTS_MAX} clients, with the slow ones")]
    TooManyClients,
    /// A sequence has 32 bits.
    #[error("more than 4 billion broadcasts of one publisher: lower --rate or --duration")]
    TooMany,
}

impl Load {
    /// As on the command line.
    pub(crate) fn to_options(&self) -> Vec<String> {
        let mut options = vec![
            format!("--clients={}", self.clients),
            format!("--channels={}", self.channels),
            format!("--first-channel={}", self.first_channel),
            format!("--publishers={}", self.publishers),
            format!("--size={}", self.size),
            format!("--connect-rate={}", self.connect_rate.0),
            format!("--warmup={}", self.warmup),
            format!("--duration={}", self.duration),
            format!("--drain={}", self.drain),
            format!("--workers={}", self.workers),
            format!("--backend-clients={}", self.backend_clients),
            format!("--slow-clients={}", self.slow_clients),
        ];
        let kind = self.channel_kind.to_possible_value();
        let kind = kind.map(|kind| format!("--channel-kind={}", kind.get_name()));
        options.extend(kind);
        let rates = [
            ("trigger-rate", self.trigger_rate),
            ("backend-rate", self.backend_rate),
            ("channel-churn", self.channel_churn),
            ("token-rate", self.token_rate),
            ("churn", self.churn),
        ];
        let rates = rates
            .into_iter()
            .filter_map(|(name, rate)| Some((name, rate?.0)));
        options.extend(rates.map(|(name, rate)| format!("--{name}={rate}")));
        match self.closed_loop {
            Some(in_flight) => options.push(format!("--closed-loop={in_flight}")),
            None => options.push(format!("--rate={}", self.rate.0)),
        }
        if let Some(at) = self.storm {
            options.push(format!("--storm={at}"));
            options.push(format!("--storm-percent={}", self.storm_percent));
        }
        if self.slow_clients > 0 {
            options.push(format!("--slow-bytes-per-s={}", self.slow_bytes_per_s));
        }
        options.extend(self.threads.map(|threads| format!("--threads={threads}")));
        let sources = self.source_ips.iter();
        options.extend(sources.map(|source| format!("--source-ips={source}")));
        let flags = [("--idle", self.idle), ("--replies", self.replies)];
        let flags = flags.into_iter().filter(|(_, is_set)| *is_set);
        options.extend(flags.map(|(flag, _)| flag.to_owned()));
        options
    }

    /// The run that they ask for.
    ///
    /// # Errors
    /// Which options don't go together.
    pub(crate) fn plan(&self) -> Result<Plan, Mismatch> {
        let publishers_per_channel = if self.idle { 0 } else { self.publishers };
        let needed = u64::from(self.channels) * u64::from(publishers_per_channel.max(1));
        if needed > self.clients.into() {
            return Err(Mismatch::TooFewClients {
                channels: self.channels,
                publishers: publishers_per_channel,
                needed,
            });
        }
        let leaves = self.churn.is_some() || self.storm.is_some();
        let publishers = u64::from(self.channels) * u64::from(publishers_per_channel);
        if leaves && publishers >= self.clients.into() {
            return Err(Mismatch::NobodyToLeave {
                clients: self.clients,
            });
        }
        if self.storm.is_some_and(|at| at.0 >= self.duration.0) {
            return Err(Mismatch::StormTooLate);
        }
        let population = self.clients.saturating_add(self.slow_clients);
        if population > CLIENTS_MAX {
            return Err(Mismatch::TooManyClients);
        }
        let threads = self.threads.unwrap_or_else(|| host::threads(population));
        if u32::from(threads) > self.clients {
            return Err(Mismatch::TooFewForThreads {
                threads,
                clients: self.clients,
            });
        }
        let sending = self.warmup.0 + self.duration.0;
        let is_paced = self.closed_loop.is_none();
        if is_paced && sending.as_secs_f64() * self.rate.0 / needed as f64 > f64::from(u32::MAX - 1)
        {
            return Err(Mismatch::TooMany);
        }
        let rate = |rate: Option<Rate>| rate.map_or(0.0, |rate| rate.0);
        let triggers = sending.as_secs_f64() * rate(self.trigger_rate);
        if triggers > TRIGGERS_MAX as f64 {
            return Err(Mismatch::TooManyTriggers);
        }
        if sending.as_secs_f64() * rate(self.backend_rate) / f64::from(self.channels)
            > f64::from(u32::MAX - 1)
        {
            return Err(Mismatch::TooMany);
        }
        let plan = Plan {
            clients: self.clients,
            channels: self.channels,
            first_channel: self.first_channel,
            publishers_per_channel,
            threads,
            rate: if is_paced { self.rate.0 } else { 0.0 },
            pace: Pace::constant(self.rate.0),
            in_flight: self.closed_loop.unwrap_or(0),
            data_bytes: self.size as usize,
            kind: self.channel_kind,
            trigger_pace: Pace::constant(rate(self.trigger_rate)),
            backend: Backend {
                workers: self.workers,
                trigger_rate: rate(self.trigger_rate),
                replies: self.replies,
                rate: rate(self.backend_rate),
                clients: self.backend_clients,
                channel_churn: rate(self.channel_churn),
                token_rate: rate(self.token_rate),
            },
            churn: rate(self.churn),
            storm: self.storm.map(|at| Storm {
                at: at.0,
                percent: self.storm_percent,
            }),
            slow: Slow {
                clients: self.slow_clients,
                bytes_per_s: self.slow_bytes_per_s,
            },
            sources: self.source_ips.clone(),
            connect_rate: self.connect_rate.0,
            warmup: self.warmup.0,
            duration: self.duration.0,
            drain: self.drain.0,
        };
        if plan.backend.trigger_rate > 0.0 && plan.triggerers() == 0 {
            return Err(Mismatch::NobodyToTrigger);
        }
        let members = u64::from(plan.members());
        if members * u64::from(population) > PRESENCE_PAIRS_MAX {
            let pairs = u64::from(population) * u64::from(population);
            return Err(Mismatch::TooManyMembers {
                members: plan.members(),
                channels: pairs.div_ceil(PRESENCE_PAIRS_MAX),
            });
        }
        Ok(plan)
    }
}
