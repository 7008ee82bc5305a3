//! How much of each load is measured.

use std::time::Duration;

use crate::arrivals::ArrivalsLoad;
use crate::backend::BackendLoad;
use crate::flood::FloodLoad;
use crate::load::{EchoLoad, FanoutLoad};
use crate::shards::ShardsLoad;

pub(crate) struct Plan {
    pub(crate) connections: usize,
    pub(crate) samples: usize,
    pub(crate) echo: EchoLoad,
    /// One frame a turn: the server is idle between them.
    pub(crate) fanout: FanoutLoad,
    /// By events a second; some come every millisecond.
    pub(crate) joined: [(usize, FanoutLoad); 3],
    /// 200 events a second, without a cork and with one.
    pub(crate) corked: FanoutLoad,
    pub(crate) flood: FloodLoad,
    pub(crate) backend: BackendLoad,
    pub(crate) triggers: usize,
    pub(crate) shards: ShardsLoad,
    /// Frontends that do nothing, for the memory of each.
    pub(crate) idle: usize,
    pub(crate) arrivals: ArrivalsLoad,
    /// The name of the one load to measure; all where there is none.
    only: Option<String>,
    /// Takes as long as all others together.
    grows: bool,
}

/// Events a second of joined fan-out.
const RATES: [usize; 3] = [2_000, 5_000, 10_000];

const MILLISECOND: Duration = Duration::from_millis(1);

impl Plan {
    /// As these arguments say.
    pub(crate) fn full(args: &[String]) -> Self {
        let connections = number(args, "--connections").unwrap_or(1000).max(1);
        // A short run does a fifth of everything, in fewer samples.
        let quick = args.iter().any(|arg| arg == "--quick");
        let of = |count: usize| if quick { count / 5 } else { count };
        Self {
            connections,
            samples: number(args, "--samples").unwrap_or(if quick { 3 } else { 7 }),
            echo: EchoLoad {
                requests_per_connection: (of(200_000) / connections).max(5),
            },
            fanout: FanoutLoad {
                rounds: (of(200_000) / connections).max(20),
                burst: 1,
                // About three times what the floor needs.
                pace: Duration::from_micros(10 * connections as u64),
            },
            joined: joined(of(1_000)),
            corked: corked(of(400)),
            flood: FloodLoad {
                subscribers: 1_000,
                channels: 1_000,
                deliveries: number(args, "--deliveries").unwrap_or(of(10_000_000)),
            },
            backend: BackendLoad {
                kept: of(500_000),
                connecting: of(10_000),
            },
            triggers: of(500_000),
            shards: ShardsLoad {
                rounds: of(5_000),
                envelopes: of(2_000_000),
                simulated: 4_000,
            },
            idle: number(args, "--idle").unwrap_or(of(100_000)),
            arrivals: ArrivalsLoad {
                upgrades: of(10_000),
                clients: of(20_000),
            },
            only: value(args, "--only").map(ToOwned::to_owned),
            grows: false,
        }
    }

    /// Everything once, as little of it as shows that it works. Memory alone is
    /// measured, for it is bounded.
    pub(crate) fn tiny() -> Self {
        Self {
            connections: 10,
            samples: 1,
            echo: EchoLoad {
                requests_per_connection: 10,
            },
            fanout: FanoutLoad {
                rounds: 10,
                burst: 1,
                pace: MILLISECOND,
            },
            joined: joined(10),
            corked: corked(10),
            flood: FloodLoad {
                subscribers: 10,
                channels: 10,
                deliveries: 1_000,
            },
            backend: BackendLoad {
                kept: 1_000,
                connecting: 100,
            },
            triggers: 1_000,
            shards: ShardsLoad {
                rounds: 50,
                envelopes: 10_000,
                simulated: 200,
            },
            idle: 4_000,
            arrivals: ArrivalsLoad {
                upgrades: 100,
                clients: 200,
            },
            only: None,
            grows: true,
        }
    }

    pub(crate) fn wants(&self, load: &str) -> bool {
        match self.only.as_deref() {
            Some(only) => only == load,
            None => load != "growth" || self.grows,
        }
    }
}

fn joined(rounds: usize) -> [(usize, FanoutLoad); 3] {
    RATES.map(|rate| {
        let load = FanoutLoad {
            rounds,
            burst: rate / 1000,
            pace: MILLISECOND,
        };
        (rate, load)
    })
}

fn corked(rounds: usize) -> FanoutLoad {
    FanoutLoad {
        rounds,
        burst: 1,
        pace: 5 * MILLISECOND,
    }
}

fn number(args: &[String], name: &str) -> Option<usize> {
    value(args, name)?.parse().ok()
}

fn value<'a>(args: &'a [String], name: &str) -> Option<&'a str> {
    let at = args.iter().position(|arg| arg == name)?;
    args.get(at + 1).map(String::as_str)
}
