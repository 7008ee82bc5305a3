//! The floor: what the kernel takes for a request or a delivery when nothing
//! stands between it and a plain loop, and what the broker takes beside it.
//!
//! `cargo bench --bench floor` measures 1,000 connections; `-- --connections
//! 10000 --samples 9` others, `-- --quick` a fifth of everything, `-- --only echo`
//! one load: `echo`, `fan-out` (joined fan-out with it), `cork`, `flat-out`, `backend`,
//! `triggers`, `shards`, `memory`, `arrivals`, or `growth`, how a delivery's cost
//! grows to ten times the connections, which no other run measures.
//! Without `--bench` (as `cargo test --benches` runs it) everything is tiny and
//! only has to work, but for user memory, which is bounded.
//!
//! Each server is a process of its own on core 0, the load is this process on
//! core 1, and the kernel's own count of the server's CPU time is divided by the
//! operations that the load side has seen completed. Servers take turns, so
//! that a ratio compares neighbours in time; medians are printed.

#[allow(unsafe_code, reason = "a bare ring, which the driver has no room for")]
mod armed;
mod arrivals;
mod backend;
mod broker;
mod cluster;
mod crowd;
mod epoll_server;
mod flood;
mod hop;
mod load;
mod machine;
mod memory;
mod peers;
mod plan;
mod random;
mod report;
mod ring_server;
mod server;
mod shards;
mod sweep;
mod triggers;
mod visitors;

use std::io;

use broker::Shape;
use plan::Plan;
use report::{Goal, Report};
use server::{Reactor, Role};

/// Bytes differ little from one sample to the next, and take long.
const MEMORY_SAMPLES: usize = 3;

/// In the order of their rows.
const LOADS: [&str; 10] = [
    "echo", "fan-out", "cork", "flat-out", "backend", "triggers", "shards", "memory", "arrivals",
    "growth",
];

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
        [flag, shape @ ..] if *flag == broker::SERVE_FLAG => {
            let shape = shape.try_into().map_err(io::Error::other)?;
            return broker::serve(Shape::parse(shape)?);
        }
        _ => {}
    }
    let plan = if args.iter().any(|arg| arg == "--bench") {
        Plan::full(&args)
    } else {
        Plan::tiny()
    };
    run(&plan)
}

fn run(plan: &Plan) -> io::Result<()> {
    machine::pin_to_core(machine::LOAD_CORE)?;
    println!("{}", report::HEADING);
    for name in LOADS {
        if plan.wants(name) {
            let mut report = Report::default();
            let outcome = measure(name, plan, &mut report);
            // What was measured before a failure, too.
            print!("{report}");
            outcome?;
        }
    }
    Ok(())
}

fn measure(load: &str, plan: &Plan, report: &mut Report) -> io::Result<()> {
    let samples = plan.samples;
    match load {
        "echo" => echo(plan, report),
        "fan-out" => fan_out(plan, report),
        "cork" => cork(plan, report),
        "flat-out" => flood::measure(samples, &plan.flood, report),
        "backend" => backend::measure(samples, &plan.backend, report),
        "triggers" => triggers::measure(samples, plan.triggers, report),
        "shards" => shards::measure(plan, report),
        "memory" => memory::measure(samples.min(MEMORY_SAMPLES), plan.idle, report),
        "arrivals" => arrivals::measure(samples, &plan.arrivals, report),
        _ => growth(plan, report),
    }
}

fn echo(plan: &Plan, report: &mut Report) -> io::Result<()> {
    let connections = plan.connections;
    let unit = "ns CPU a request";
    for _ in 0..plan.samples {
        let mut floor = f64::NAN;
        for reactor in Reactor::ALL {
            let server = server::start(reactor, Role::Echo)?;
            let cost = load::echo(&server, connections, &plan.echo)?;
            if reactor == Reactor::Epoll {
                floor = cost;
            }
            let name = format!("echo: {}", reactor.name());
            report.compare(&name, unit, (cost, floor), None);
        }
        let (server, _) = server::start_broker(Shape::of_one(0))?;
        let cost = load::broker_ping(&server, connections, &plan.echo)?;
        report.compare(
            "echo: broker, ping",
            unit,
            (cost, floor),
            Some(Goal::AtMost(1.10)),
        );
        drop(server);
        let (server, _) = server::start_broker(Shape::of_one(connections))?;
        let cost = load::broker_echo(&server, connections, &plan.echo)?;
        report.compare(
            "echo: broker, an event to its sender alone",
            unit,
            (cost, floor),
            Some(Goal::AtMost(1.25)),
        );
    }
    Ok(())
}

/// What a joined delivery may cost of a light one, by events a second.
const JOINED_GOALS: [f64; 3] = [0.25, 0.13, 0.08];

/// As long as the receivers keep up, in milliseconds.
const P99_GOAL: f64 = 20.0;

/// At a light load, and with frames joined.
fn fan_out(plan: &Plan, report: &mut Report) -> io::Result<()> {
    let connections = plan.connections;
    let unit = "ns CPU a delivery";
    for _ in 0..plan.samples {
        let mut floor = f64::NAN;
        for reactor in Reactor::ALL {
            let server = server::start(reactor, Role::Fanout)?;
            let cost = load::fanout(&server, connections, &plan.fanout)?;
            if reactor == Reactor::Epoll {
                floor = cost;
            }
            let name = format!("fan-out, light: {}", reactor.name());
            report.compare(&name, unit, (cost, floor), None);
        }
        let (server, place) = server::start_broker(Shape::of_one(0))?;
        let light = load::broker_fanout(&server, &place, connections, &plan.fanout)?;
        report.compare(
            "fan-out, light: broker",
            unit,
            (light.cpu_ns, floor),
            Some(Goal::AtMost(1.05)),
        );
        for ((rate, joined), goal) in plan.joined.iter().zip(JOINED_GOALS) {
            let joined = load::broker_fanout(&server, &place, connections, joined)?;
            report.compare(
                &format!("fan-out, {rate} events a second: broker"),
                unit,
                (joined.cpu_ns, floor),
                Some(Goal::AtMost(goal)),
            );
            report.add(
                &format!("fan-out, {rate} events a second: p99 of the latency"),
                "ms",
                joined.p99_ms,
                Some(Goal::AtMost(P99_GOAL)),
            );
        }
    }
    Ok(())
}

/// The same light load, by turns without a cork and with short and long ones.
fn cork(plan: &Plan, report: &mut Report) -> io::Result<()> {
    for _ in 0..plan.samples {
        let mut without = f64::NAN;
        for cork_ms in [0, 10, 50] {
            let shape = Shape {
                cork_ms,
                ..Shape::of_one(0)
            };
            let (server, place) = server::start_broker(shape)?;
            let load = &plan.corked;
            let cost = load::broker_fanout(&server, &place, plan.connections, load)?.cpu_ns;
            if cork_ms == 0 {
                without = cost;
            }
            let name = format!("cork of {cork_ms} ms, 200 events a second; against none");
            report.compare(&name, "ns CPU a delivery", (cost, without), None);
        }
    }
    Ok(())
}

/// What a delivery costs with ten times the connections, over what it costs with
/// these: the kernel's own growth, and the broker's.
fn growth(plan: &Plan, report: &mut Report) -> io::Result<()> {
    let few = plan.connections;
    let many = 10 * few;
    let unit = "times the CPU";
    for _ in 0..plan.samples {
        let (mut floor, mut broker) = ([0.0; 2], [0.0; 2]);
        for (at, connections) in [few, many].into_iter().enumerate() {
            let load = plan.fanout.spread_over(few, connections);
            let server = server::start(Reactor::Epoll, Role::Fanout)?;
            floor[at] = load::fanout(&server, connections, &load)?;
            drop(server);
            let (server, place) = server::start_broker(Shape::of_one(0))?;
            broker[at] = load::broker_fanout(&server, &place, connections, &load)?.cpu_ns;
        }
        let [floor, broker] = [floor, broker].map(|[few, many]| many / few);
        let from = format!("growth, {few} to {many} connections");
        report.add(&format!("{from}: epoll loop"), unit, floor, None);
        let goal = Some(Goal::AtMost(1.10));
        report.compare(&format!("{from}: broker"), unit, (broker, floor), goal);
    }
    Ok(())
}
