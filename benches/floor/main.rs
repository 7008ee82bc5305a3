//! The floor: what the kernel takes for a request or a delivery when nothing
//! stands between it and a plain loop, and what others take beside it.
//!
//! `cargo bench --bench floor` measures 1,000 connections; `-- --connections
//! 10000 --samples 9` others. Without `--bench` (as `cargo test --benches`
//! runs it) everything is tiny and only has to work.
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
use report::Report;
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
    /// Frontends that do nothing, for the memory of each.
    idle: usize,
}

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
        [flag, channels] if *flag == broker::SERVE_FLAG => {
            return broker::serve(channels.parse().map_err(io::Error::other)?);
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
    let connections = plan.connections;
    let mut echo = Report::new("echo", "request", connections);
    let mut fanout = Report::new("fan-out", "delivery", connections);
    let mut joined = Report::new("joined", "delivery", connections);
    for _ in 0..plan.samples {
        for reactor in Reactor::ALL {
            let server = server::start(reactor, Role::Echo)?;
            echo.add(
                reactor.name(),
                load::echo(&server, connections, &plan.echo)?,
            );
        }
        let (server, _) = server::start_broker(connections)?;
        echo.add(
            "broker ping",
            load::broker_ping(&server, connections, &plan.echo)?,
        );
        echo.add(
            "broker event",
            load::broker_echo(&server, connections, &plan.echo)?,
        );
        for reactor in Reactor::ALL {
            let server = server::start(reactor, Role::Fanout)?;
            fanout.add(
                reactor.name(),
                load::fanout(&server, connections, &plan.fanout)?,
            );
        }
        let (server, place) = server::start_broker(0)?;
        let light = load::broker_fanout(&server, &place, connections, &plan.fanout)?;
        fanout.add("broker", light);
        joined.add("broker, light", light);
        let heavy = load::broker_fanout(&server, &place, connections, &plan.joined)?;
        joined.add("broker, 5000/s", heavy);
    }
    println!("{}", report::HEADING);
    print!("{echo}{fanout}{joined}");
    let (server, _) = server::start_broker(0)?;
    let bytes = load::memory(&server, plan.idle)?;
    println!(
        "memory    {:>11}  broker       {bytes:>11.0} bytes of user memory a frontend",
        plan.idle
    );
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
        idle: number(args, "--idle").unwrap_or(15_000),
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
        idle: 100,
    }
}

fn number(args: &[String], name: &str) -> Option<usize> {
    let at = args.iter().position(|arg| arg == name)?;
    args.get(at + 1)?.parse().ok()
}
