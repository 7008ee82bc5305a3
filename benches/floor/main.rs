//! The floor: what the kernel takes for a request or a delivery when nothing
//! stands between it and a plain loop, and what others take beside it.
//!
//! `cargo bench --bench floor` measures 1,000 connections; `-- --connections
//! 10000 --samples 9` others, `-- --only echo` (or `fan-out`, `memory`) one load;
//! `-- --only growth` how a delivery's cost grows to ten times the connections;
//! `-- --only cork` what it costs where events wait for each other.
//! Without `--bench` (as `cargo test --benches` runs it) everything is tiny and
//! only has to work.
//!
//! Each server is a process of its own on core 0, the load is this process on
//! core 1, and the kernel's own count of the server's CPU time is divided by the
//! operations that the load side has seen completed. Servers take turns, so
//! that a ratio compares neighbours in time; medians are printed.

#![forbid(unsafe_code)]

mod broker;
mod epoll_server;
mod load;
mod machine;
mod peers;
mod report;
mod ring_server;
mod server;

use std::io;
use std::time::Duration;

use load::{EchoLoad, FanoutLoad};
use report::{Growth, Report};
use server::{Reactor, Role};

/// How much to measure.
struct Plan {
    connections: usize,
    samples: usize,
    echo: EchoLoad,
    /// One frame a turn: the server is idle between them.
    fanout: FanoutLoad,
    /// 5,000 events a second, five every millisecond.
    joined: FanoutLoad,
    /// 200 events a second, without a cork and with one.
    corked: FanoutLoad,
    /// Frontends that do nothing, for the memory of each.
    idle: usize,
    /// The name of the one load to measure; all where there is none.
    only: Option<String>,
}

/// Channels that idle frontends spread over, beside all in one.
const IDLE_CHANNELS: usize = 100;

/// Connections below which nothing takes long.
const FEW: usize = 100;

fn main() -> io::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    machine::raise_descriptor_limit()?;
    match args
        .iter()
        .map(String::as_str)
        .collect::<Vec<_>>()
        .as_slice()
    {
        [flag, reactor, role] if *flag == server::SERVE_FLAG => {
            return server::serve(Reactor::parse(reactor)?, Role::parse(role)?);
        }
        [flag, channels, cork_ms] if *flag == broker::SERVE_FLAG => {
            let cork_ms = cork_ms.parse().map_err(io::Error::other)?;
            return broker::serve(channels.parse().map_err(io::Error::other)?, cork_ms);
        }
        _ => {}
    }
    let plan = if args.iter().any(|arg| arg == "--bench") {
        full(&args)
    } else {
        tiny()
    };
    run(&plan)
}

fn run(plan: &Plan) -> io::Result<()> {
    machine::pin_to_core(machine::LOAD_CORE)?;
    let wanted = |load| plan.only.as_deref().is_none_or(|only| only == load);
    println!("{}", report::HEADING);
    if wanted("echo") {
        print!("{}", echo(plan)?);
    }
    if wanted("fan-out") {
        let (fanout, joined) = fan_out(plan)?;
        print!("{fanout}{joined}");
    }
    if wanted("memory") {
        memory(plan)?;
    }
    if plan.only.as_deref() == Some("cork") || plan.connections < FEW {
        print!("{}", cork(plan)?);
    }
    // Takes as long as all others together.
    if plan.only.as_deref() == Some("growth") || plan.connections < FEW {
        print!("{}", growth(plan)?);
    }
    Ok(())
}

fn echo(plan: &Plan) -> io::Result<Report> {
    let connections = plan.connections;
    let mut report = Report::new("echo", "request", connections);
    for _ in 0..plan.samples {
        for reactor in Reactor::ALL {
            let server = server::start(reactor, Role::Echo)?;
            let cost = load::echo(&server, connections, &plan.echo)?;
            report.add(reactor.name(), cost);
        }
        let (server, _) = server::start_broker(0)?;
        let cost = load::broker_ping(&server, connections, &plan.echo)?;
        report.add("broker ping", cost);
        drop(server);
        let (server, _) = server::start_broker(connections)?;
        let cost = load::broker_echo(&server, connections, &plan.echo)?;
        report.add("broker event", cost);
    }
    Ok(report)
}

/// At a light load, and with frames joined.
fn fan_out(plan: &Plan) -> io::Result<(Report, Report)> {
    let connections = plan.connections;
    let mut fanout = Report::new("fan-out", "delivery", connections);
    let mut joined = Report::new("joined", "delivery", connections);
    for _ in 0..plan.samples {
        for reactor in Reactor::ALL {
            let server = server::start(reactor, Role::Fanout)?;
            let cost = load::fanout(&server, connections, &plan.fanout)?;
            fanout.add(reactor.name(), cost);
        }
        let (server, place) = server::start_broker(0)?;
        let light = load::broker_fanout(&server, &place, connections, &plan.fanout)?;
        fanout.add("broker", light);
        joined.add("broker, light", light);
        let heavy = load::broker_fanout(&server, &place, connections, &plan.joined)?;
        joined.add("broker, 5000/s", heavy);
    }
    Ok((fanout, joined))
}

/// The same load, by turns without a cork and with short and long ones.
fn cork(plan: &Plan) -> io::Result<Report> {
    let mut report = Report::new("cork", "delivery", plan.connections);
    for _ in 0..plan.samples {
        for (name, cork_ms) in [("none, 200/s", 0), ("10 ms", 10), ("50 ms", 50)] {
            let (server, place) = server::start_corked_broker(0, cork_ms)?;
            let cost = load::broker_fanout(&server, &place, plan.connections, &plan.corked)?;
            report.add(name, cost);
        }
    }
    Ok(report)
}

/// What a delivery costs with ten times the connections, over what it costs with
/// these: the kernel's own growth, and the broker's.
fn growth(plan: &Plan) -> io::Result<Growth> {
    let few = plan.connections;
    let many = 10 * few;
    let mut growth = Growth::new(few, many);
    for _ in 0..plan.samples {
        let (mut floor, mut broker) = ([0.0; 2], [0.0; 2]);
        for (at, connections) in [few, many].into_iter().enumerate() {
            let load = plan.fanout.spread_over(few, connections);
            let server = server::start(Reactor::Epoll, Role::Fanout)?;
            floor[at] = load::fanout(&server, connections, &load)?;
            drop(server);
            let (server, place) = server::start_broker(0)?;
            broker[at] = load::broker_fanout(&server, &place, connections, &load)?;
        }
        growth.add(floor[1] / floor[0], broker[1] / broker[0]);
    }
    Ok(growth)
}

fn memory(plan: &Plan) -> io::Result<()> {
    for channels in [1, IDLE_CHANNELS] {
        let (server, _) = server::start_broker(channels)?;
        let bytes = load::memory(&server, plan.idle, channels)?;
        println!(
            "memory    {:>11}  broker       {bytes:>11.0} bytes of user memory a frontend, channels: {channels}",
            plan.idle
        );
    }
    Ok(())
}

fn full(args: &[String]) -> Plan {
    let connections = number(args, "--connections").unwrap_or(1000);
    Plan {
        connections,
        samples: number(args, "--samples").unwrap_or(7),
        echo: EchoLoad {
            requests_per_connection: (200_000 / connections.max(1)).max(5),
        },
        fanout: FanoutLoad {
            rounds: (200_000 / connections.max(1)).max(20),
            burst: 1,
            // About three times what the floor needs.
            pace: Duration::from_micros(10 * connections as u64),
        },
        joined: FanoutLoad {
            rounds: 500,
            burst: 5,
            pace: Duration::from_millis(1),
        },
        corked: FanoutLoad {
            rounds: 400,
            burst: 1,
            pace: Duration::from_millis(5),
        },
        idle: number(args, "--idle").unwrap_or(15_000),
        only: value(args, "--only").map(ToOwned::to_owned),
    }
}

fn tiny() -> Plan {
    Plan {
        connections: 10,
        samples: 1,
        echo: EchoLoad {
            requests_per_connection: 10,
        },
        fanout: FanoutLoad {
            rounds: 10,
            burst: 1,
            pace: Duration::from_millis(1),
        },
        joined: FanoutLoad {
            rounds: 10,
            burst: 5,
            pace: Duration::from_millis(1),
        },
        corked: FanoutLoad {
            rounds: 10,
            burst: 1,
            pace: Duration::from_millis(5),
        },
        idle: 100,
        only: None,
    }
}

fn number(args: &[String], name: &str) -> Option<usize> {
    value(args, name)?.parse().ok()
}

fn value<'a>(args: &'a [String], name: &str) -> Option<&'a str> {
    let at = args.iter().position(|arg| arg == name)?;
    args.get(at + 1).map(String::as_str)
}
