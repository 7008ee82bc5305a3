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

mod epoll_server;
mod load;
mod machine;
mod peers;
mod report;
mod ring_server;
mod server;

use std::io;

use load::{EchoLoad, FanoutLoad};
use report::Report;
use server::{Reactor, Role};

/// How much to measure.
struct Plan {
    connections: usize,
    samples: usize,
    echo: EchoLoad,
    fanout: FanoutLoad,
}

fn main() -> io::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    machine::raise_descriptor_limit()?;
    if let [flag, reactor, role] = args.as_slice()
        && flag == server::SERVE_FLAG
    {
        return server::serve(Reactor::parse(reactor)?, Role::parse(role)?);
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
    let mut echo = Report::new("echo", "request", plan.connections);
    let mut fanout = Report::new("fan-out", "delivery", plan.connections);
    for _ in 0..plan.samples {
        for reactor in Reactor::ALL {
            let server = server::start(reactor, Role::Echo)?;
            echo.add(
                reactor.name(),
                load::echo(&server, plan.connections, &plan.echo)?,
            );
        }
        for reactor in Reactor::ALL {
            let server = server::start(reactor, Role::Fanout)?;
            fanout.add(
                reactor.name(),
                load::fanout(&server, plan.connections, &plan.fanout)?,
            );
        }
    }
    println!("{}", report::HEADING);
    print!("{echo}{fanout}");
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
            // About three times what the floor needs: one frame a turn.
            pace: std::time::Duration::from_micros(10 * connections as u64),
        },
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
            pace: std::time::Duration::from_millis(1),
        },
    }
}

fn number(args: &[String], name: &str) -> Option<usize> {
    let at = args.iter().position(|arg| arg == name)?;
    args.get(at + 1)?.parse().ok()
}
