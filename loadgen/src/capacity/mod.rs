//! `loadgen plan`: how much a machine carries, and what gives first.
//!
//! For each number of clients the highest rate is searched that holds the SLO;
//! what was found is run once more at full length, and so is the next step up.

mod fit;
mod html;
mod limits;
mod report;
mod search;
mod settings;
mod text;
mod usl;

pub(crate) use report::PlanError;

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::thread::available_parallelism;
use std::time::{Duration, Instant, SystemTime};

use clap::{Args, value_parser};
use webrocket::limits::SHARDS_MAX;

use crate::args::{Options, Phase, Rate};
use crate::broker::Broker;
use crate::host::{self, About, HostManifest};
use crate::limits::{
    CLIENTS_MAX, CLIENTS_PER_SOURCE, CONFIRMATIONS_MAX, EDGE_RESOLUTION, NEXT_STEP_UP, RATE_FIRST,
    RATE_LEAST, SHARD_TRIALS,
};
use crate::plan::Plan;
use crate::report::{Assertions, Report};
use crate::run;
use report::{CapacityReport, Edge, Step, Target};
use search::Search;
use usl::{Point, Usl};

/// What to plan for. Clients, channels, rate and durations of the options of a
/// run are the planner's own.
#[derive(Debug, Args)]
pub(crate) struct PlanRole {
    /// What must hold: terms as for --assert
    #[arg(long, value_name = "TERMS", default_value = "p99<50ms,loss=0")]
    pub(crate) slo: Assertions,

    /// Numbers of clients to try
    #[arg(
        long,
        value_name = "N,N",
        value_delimiter = ',',
        default_value = "1000,2000,5000"
    )]
    #[arg(value_parser = value_parser!(u32).range(1..=i64::from(CLIENTS_MAX)))]
    pub(crate) connections: Vec<u32>,

    /// Clients of each channel
    #[arg(long, value_name = "N", default_value_t = 100)]
    #[arg(value_parser = value_parser!(u32).range(1..))]
    pub(crate) clients_per_channel: u32,

    /// Broadcasts a second past which nothing is tried
    #[arg(long, value_name = "N", default_value = "1000000")]
    pub(crate) rate_max: Rate,

    /// Length of one step of the search; a confirmation takes --duration
    #[arg(long, value_name = "TIME", default_value = "3s")]
    pub(crate) step_duration: Phase,

    /// Start nothing new after this long
    #[arg(long, value_name = "TIME", default_value = "10m")]
    pub(crate) time_limit: Phase,

    /// Clients that the machines together should carry
    #[arg(long, value_name = "N", requires = "target_rate")]
    pub(crate) target_clients: Option<u32>,

    /// Broadcasts a second that they should carry
    #[arg(long, value_name = "N", requires = "target_clients")]
    pub(crate) target_rate: Option<Rate>,

    /// Tell what N such machines carry at the safe rate with one lost
    #[arg(long, value_name = "N")]
    #[arg(value_parser = value_parser!(u32).range(2..=1_000_000))]
    pub(crate) nodes: Option<u32>,

    /// Numbers of shards to search with; three or more show how shards add up
    #[arg(
        long,
        value_name = "N,N,N",
        value_delimiter = ',',
        requires = "self_host"
    )]
    #[arg(value_parser = value_parser!(u16).range(1..=SHARDS_MAX as i64))]
    pub(crate) shards_list: Vec<u16>,

    /// Write suggested settings here
    #[arg(long, value_name = "FILE")]
    pub(crate) settings: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) options: Options,
}

impl PlanRole {
    /// Searches, confirms and tells.
    ///
    /// # Errors
    /// Nothing can be measured. What was measured before is told all the same.
    pub(crate) fn run(&self) -> Result<CapacityReport, PlanError> {
        let output = &self.options.output;
        if output.hlog.is_some() || !output.assertions.is_empty() {
            return Err(PlanError::Output);
        }
        let load = &self.options.load;
        if load.closed_loop.is_some() || !self.options.fleet.agents.is_empty() {
            return Err(PlanError::Way);
        }
        let started = SystemTime::now();
        let descriptors = host::raise_descriptor_limit()?;
        let most = self.connections.iter().copied().max().unwrap_or(1);
        let place = &self.options.place;
        if place.self_host {
            let shards = Some(place.shards_for(most));
            let plan = self.plan(most, RATE_FIRST, Duration::ZERO)?;
            host::Preflight::look(&plan, crate::LOOPBACK, shards, descriptors).pass()?;
        }
        let broker = Broker::at(place, most)?.watched(&self.options.watch)?;
        broker.suit(&self.plan(most, RATE_FIRST, Duration::ZERO)?)?;
        let mut planner = Planner {
            role: self,
            broker: &broker,
            began: Instant::now(),
            steps: Vec::new(),
            stopped: None,
        };
        let edges = planner.edges();
        let Planner { steps, stopped, .. } = planner;
        let target = self.target_clients.zip(self.target_rate);
        let target = target.map(|(clients, rate)| Target {
            clients,
            rate_per_s: rate.0,
        });
        let mut report = CapacityReport::new(&self.slo, &broker, edges, steps, target, stopped);
        let sources = self.sources(most, broker.websocket);
        let bytes = report.bytes_per_client();
        report.limits = limits::on_clients(most, broker.shards(), sources, bytes);
        if let Some(nodes) = self.nodes {
            report.take_nodes(nodes);
        }
        report.host = Some(HostManifest::here(About {
            started,
            to: broker.websocket,
            broker_version: None,
        }));
        drop(broker);
        if report.stopped.is_none() {
            self.scale(&mut report)?;
        }
        if let Some(path) = &output.html {
            fs::write(path, report.to_html()).map_err(|source| PlanError::File {
                path: path.clone(),
                source,
            })?;
        }
        if let Some(path) = &self.settings {
            let text = settings::suggest(&report);
            fs::write(path, text).map_err(|source| PlanError::File {
                path: path.clone(),
                source,
            })?;
        }
        Ok(report)
    }

    /// Addresses that clients come from, which have their own ports each.
    fn sources(&self, most: u32, to: SocketAddr) -> usize {
        match self.options.load.source_ips.len() {
            0 if to.ip().is_loopback() => most.div_ceil(CLIENTS_PER_SOURCE) as usize,
            0 => 1,
            sources => sources,
        }
    }

    /// Searches anew with each shard count, and fits the law that they follow.
    fn scale(&self, report: &mut CapacityReport) -> Result<(), PlanError> {
        let clients = self.connections.iter().copied().min().unwrap_or(1);
        let mut points = Vec::new();
        for _ in 0..SHARD_TRIALS {
            for &shards in &self.shards_list {
                let broker = Broker::start(shards)?;
                eprintln!("shards   {shards}");
                let mut planner = Planner {
                    role: self,
                    broker: &broker,
                    began: Instant::now(),
                    steps: Vec::new(),
                    stopped: None,
                };
                let edge = planner.edge(clients, RATE_FIRST);
                report.stopped = report.stopped.take().or(planner.stopped);
                // A rate that was never seen to fail is no edge.
                points.extend(edge.filter(|it| it.is_confirmed).map(|edge| Point {
                    shards,
                    deliveries_per_s: edge.deliveries_per_s,
                }));
                if report.stopped.is_some() {
                    return Ok(());
                }
            }
        }
        let cores = available_parallelism().map_or(1, usize::from);
        report.scaling = Usl::of(&points, cores);
        Ok(())
    }

    fn plan(&self, clients: u32, rate: f64, duration: Duration) -> Result<Plan, PlanError> {
        let mut load = self.options.load.clone();
        load.clients = clients;
        load.channels = clients.div_ceil(self.clients_per_channel);
        load.publishers = 1;
        load.idle = false;
        load.rate = Rate(rate);
        load.warmup = Phase(Duration::from_secs(1));
        load.duration = Phase(duration);
        load.drain = Phase(Duration::from_secs(1));
        Ok(load.plan()?)
    }
}

/// A planning under way.
struct Planner<'a> {
    role: &'a PlanRole,
    broker: &'a Broker,
    began: Instant,
    steps: Vec<Step>,
    /// Why there is no more.
    stopped: Option<String>,
}

impl Planner<'_> {
    fn edges(&mut self) -> Vec<Edge> {
        let mut connections = self.role.connections.clone();
        connections.sort_unstable();
        connections.dedup();
        let mut edges = Vec::new();
        let mut first = RATE_FIRST;
        for clients in connections {
            let Some(edge) = self.edge(clients, first) else {
                break;
            };
            // More clients carry less: begin where fewer came to their end.
            first = edge.rate_per_s.unwrap_or(first) / 2.0;
            edges.push(edge);
        }
        edges
    }

    /// None once the planning is stopped.
    fn edge(&mut self, clients: u32, first: f64) -> Option<Edge> {
        let most = self.role.rate_max.0;
        let least = RATE_LEAST.min(most);
        let mut search = Search::new(first, least, most, EDGE_RESOLUTION);
        while let Some(rate) = search.next() {
            let holds = self.step(clients, rate, false)?;
            search.handle_outcome(holds);
        }
        let Some(mut rate) = search.held() else {
            return Some(Edge::none(clients, &self.steps));
        };
        let is_open = search.is_open();
        for _ in 0..CONFIRMATIONS_MAX {
            if !self.step(clients, rate, true)? {
                rate /= EDGE_RESOLUTION;
                continue;
            }
            if is_open {
                return Some(Edge::new(clients, rate, None, &self.steps));
            }
            let next_up = rate * NEXT_STEP_UP;
            if !self.step(clients, next_up, true)? {
                return Some(Edge::new(clients, rate, Some(next_up), &self.steps));
            }
            rate = next_up;
        }
        Some(Edge::unconfirmed(clients, rate, &self.steps))
    }

    /// Whether the SLO holds; none where nothing more can be measured.
    fn step(&mut self, clients: u32, rate: f64, is_confirmation: bool) -> Option<bool> {
        if self.began.elapsed() >= self.role.time_limit.0 {
            self.stopped = Some("the time limit was reached (--time-limit)".to_owned());
            return None;
        }
        let duration = match is_confirmation {
            true => self.role.options.load.duration.0,
            false => self.role.step_duration.0,
        };
        let part = if is_confirmation { "confirm" } else { "try" };
        eprintln!("{part:<8} {clients} clients, {rate:.1} broadcasts/s");
        let measured = self
            .role
            .plan(clients, rate, duration)
            .and_then(|plan| Ok(run::run(plan, self.broker, None)?));
        let report: Report = match measured {
            Ok(report) => report,
            Err(error) => {
                self.stopped = Some(error.to_string());
                return None;
            }
        };
        if report.interrupted {
            self.stopped = Some("interrupted".to_owned());
            return None;
        }
        let assertions = self.role.slo.check(&report);
        let step = Step::new(&report, assertions, self.broker.shards(), is_confirmation);
        let holds = step.holds;
        eprintln!("         {}", if holds { "holds" } else { "does not hold" });
        self.steps.push(step);
        Some(holds)
    }
}
