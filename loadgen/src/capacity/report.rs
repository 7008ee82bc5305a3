//! What a planning says: as JSON, and in 80 columns.

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;
use std::thread::available_parallelism;

use serde::Serialize;
use thiserror::Error;

use super::fit::{Estimate, Fit};
use super::limits::{self, Limit};
use super::usl::Usl;
use crate::args::Mismatch;
use crate::broker::{Broker, BrokerError};
use crate::host::{HostError, HostManifest};
use crate::limits::{BUSY_PERCENT, SAFE_SHARE};
use crate::report::{Assertion, Assertions, Report, Warning};
use crate::run::RunError;

/// Version of the JSON's schema.
const SCHEMA: u32 = 1;

/// Why nothing was planned.
#[derive(Debug, Error)]
pub(crate) enum PlanError {
    /// The machine lacks something.
    #[error("{0}")]
    Host(#[from] HostError),
    /// No broker.
    #[error("{0}")]
    Broker(#[from] BrokerError),
    /// Options that don't go together.
    #[error("{0}")]
    Mismatch(#[from] Mismatch),
    /// What a plan has no use for.
    #[error("a plan has no single run to log or to assert: give --slo, and no --hlog or --assert")]
    Output,
    /// What a plan can't search with.
    #[error("a plan searches a rate, on one machine: leave --closed-loop and --agents out")]
    Way,
    /// A run failed.
    #[error("{0}")]
    Run(#[from] RunError),
    /// Not written.
    #[error("cannot write {}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Everything that is told. The field names are those of the JSON.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct CapacityReport {
    pub(super) schema: u32,
    pub(super) slo: String,
    /// Of the broker; 0 where it is another's.
    pub(super) shards: u16,
    /// By the number of clients.
    pub(super) edges: Vec<Edge>,
    /// None where too little was measured.
    pub(super) cost: Option<Cost>,
    pub(super) target: Option<TargetPlan>,
    /// Bounds on clients, the lowest first.
    pub(super) limits: Vec<Limit>,
    /// Growth over shards; none unless `--shards-list` gave three counts.
    pub(super) scaling: Option<Usl>,
    /// The machine.
    pub(super) host: Option<HostManifest>,
    /// All that was run, in order.
    pub(super) steps: Vec<Step>,
    /// Why not everything was measured.
    pub(super) stopped: Option<String>,
}

/// One run.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Step {
    pub(super) clients: u32,
    pub(super) rate_per_s: f64,
    pub(super) is_confirmation: bool,
    pub(super) holds: bool,
    pub(super) assertions: Vec<Assertion>,
    pub(super) deliveries_per_s: f64,
    /// None where the broker can't be looked at.
    pub(super) broker_cpu_percent: Option<f64>,
    pub(super) broker_resident_bytes: Option<u64>,
    /// In the kernel, both ends where they are on one machine; none where nobody looked.
    pub(super) kernel_bytes_per_client: Option<f64>,
    pub(super) delivered_bytes_per_s: f64,
    pub(super) generator_cpu_percent: f64,
    /// What was used up, or why it did not hold.
    pub(super) binding: Binding,
}

/// What gives first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Binding {
    /// The broker's shards have no time left.
    BrokerCores,
    /// The machine has none: broker and generator share it.
    SharedCores,
    /// The generator could not keep its schedule: not the broker's edge.
    Generator,
    /// Clients could not connect, or lost their connections.
    Connections,
    /// Latency or loss, with time to spare.
    Latency,
    /// Nothing did.
    None,
}

/// The most that holds for one number of clients.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Edge {
    pub(super) clients: u32,
    /// Broadcasts a second; null where not even the lowest rate holds.
    pub(super) rate_per_s: Option<f64>,
    pub(super) deliveries_per_s: f64,
    /// Run at full length, and the next step up was run and did not hold.
    pub(super) is_confirmed: bool,
    /// The next step up; null where nothing was found that does not hold.
    pub(super) fails_at_per_s: Option<f64>,
    pub(super) binding: Binding,
    /// With 30 % to spare.
    pub(super) safe_rate_per_s: Option<f64>,
    /// While it held; none where nobody can look at the broker.
    pub(super) broker_cpu_percent: Option<f64>,
    pub(super) delivered_bytes_per_s: f64,
    /// What would give if nothing else did.
    pub(super) limits: Vec<Limit>,
    /// With `--nodes`.
    pub(super) cluster: Option<Cluster>,
}

/// So many of these machines, of which one is lost, at the safe rate.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct Cluster {
    pub(super) nodes: u32,
    pub(super) surviving: u32,
    pub(super) clients: u64,
    pub(super) rate_per_s: f64,
    /// That machines don't slow each other down was not measured.
    pub(super) is_extrapolated: bool,
}

/// What the broker spends, fitted to all steps, with 95 % intervals.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Cost {
    pub(super) steps: usize,
    pub(super) cpu_us_per_delivery: Option<Estimate>,
    /// Processor time a second of a client that is only there.
    pub(super) cpu_us_per_client_s: Option<Estimate>,
    pub(super) bytes_per_client: Option<Estimate>,
    pub(super) memory_at_twice_the_clients: Option<Extrapolated>,
}

/// A figure of a place that was not measured.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Extrapolated {
    pub(super) clients: u32,
    pub(super) bytes: Estimate,
    pub(super) is_extrapolated: bool,
}

/// What the machines together should carry.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Target {
    pub(super) clients: u32,
    pub(super) rate_per_s: f64,
}

/// How many machines that takes.
#[derive(Clone, Debug, Serialize)]
pub(super) struct TargetPlan {
    #[serde(flatten)]
    pub(super) target: Target,
    /// Null where no edge is confirmed.
    pub(super) machines: Option<u32>,
    /// One more, so that the rest carries it when one is lost.
    pub(super) machines_with_one_to_lose: Option<u32>,
    /// Clients of each machine at the edge that was used.
    pub(super) by_clients: Option<u32>,
}

impl Step {
    pub(super) fn new(
        report: &Report,
        assertions: Vec<Assertion>,
        shards: u16,
        is_confirmation: bool,
    ) -> Self {
        let holds = assertions.iter().all(|it| it.holds);
        Self {
            clients: report.load.clients,
            rate_per_s: report.load.rate_per_s,
            is_confirmation,
            holds,
            assertions,
            deliveries_per_s: report.deliveries.per_s,
            broker_cpu_percent: report.broker.as_ref().map(|it| it.cpu_percent),
            broker_resident_bytes: report.broker.as_ref().map(|it| it.resident_bytes),
            kernel_bytes_per_client: kernel_bytes(report),
            delivered_bytes_per_s: delivered_bytes(report),
            generator_cpu_percent: report.generator.cpu_percent,
            binding: binding(report, shards, holds),
        }
    }
}

fn kernel_bytes(report: &Report) -> Option<f64> {
    let kernel = report.broker.as_ref()?.spent.as_ref()?.kernel?;
    let bytes = kernel.slab_bytes_per_connection + kernel.tcp_bytes_per_connection;
    (bytes > 0).then_some(bytes as f64)
}

/// All that came, over all that was delivered, for those that count.
fn delivered_bytes(report: &Report) -> f64 {
    let series = &report.series;
    let (bytes, delivered) = (
        series.received_bytes.iter().sum::<u64>(),
        series.delivered.iter().sum::<u64>(),
    );
    report.deliveries.per_s * bytes as f64 / delivered.max(1) as f64
}

/// The first that explains it.
fn binding(report: &Report, shards: u16, holds: bool) -> Binding {
    if holds {
        return Binding::None;
    }
    let connections = &report.connections;
    if connections.failed + connections.lost + connections.not_tried > 0 {
        return Binding::Connections;
    }
    let cores = available_parallelism().map_or(1, usize::from);
    let shards = usize::from(shards).clamp(1, cores);
    let broker = report.broker.as_ref().map_or(0.0, |it| it.cpu_percent);
    if broker >= BUSY_PERCENT * shards as f64 {
        return Binding::BrokerCores;
    }
    let own = report.generator.cpu_percent;
    if report.broker.is_some() && broker + own >= BUSY_PERCENT * cores as f64 {
        return Binding::SharedCores;
    }
    let is_its_own = report.warnings.iter().any(|warning| {
        matches!(
            warning,
            Warning::Late { .. }
                | Warning::Busy { .. }
                | Warning::Missed { .. }
                | Warning::Lagging { .. }
        )
    });
    if is_its_own {
        Binding::Generator
    } else {
        Binding::Latency
    }
}

impl Edge {
    /// Not even the lowest rate holds.
    pub(super) fn none(clients: u32, steps: &[Step]) -> Self {
        Self {
            rate_per_s: None,
            safe_rate_per_s: None,
            ..Self::new(clients, 0.0, None, steps)
        }
    }

    /// Confirmed, and so is that `next_up` does not hold.
    pub(super) fn new(clients: u32, rate: f64, next_up: Option<f64>, steps: &[Step]) -> Self {
        let own = || steps.iter().rev().filter(|step| step.clients == clients);
        let at = own().find(|step| step.holds && step.rate_per_s == rate);
        let failed = own().find(|step| !step.holds);
        Self {
            clients,
            rate_per_s: Some(rate),
            deliveries_per_s: at.map_or(0.0, |step| step.deliveries_per_s),
            is_confirmed: next_up.is_some(),
            fails_at_per_s: next_up,
            binding: failed.map_or(Binding::None, |step| step.binding),
            safe_rate_per_s: Some(rate * SAFE_SHARE),
            broker_cpu_percent: at.and_then(|step| step.broker_cpu_percent),
            delivered_bytes_per_s: at.map_or(0.0, |step| step.delivered_bytes_per_s),
            limits: Vec::new(),
            cluster: None,
        }
    }

    /// It came out otherwise each time.
    pub(super) fn unconfirmed(clients: u32, rate: f64, steps: &[Step]) -> Self {
        Self {
            is_confirmed: false,
            ..Self::new(clients, rate, None, steps)
        }
    }
}

impl CapacityReport {
    pub(super) fn new(
        slo: &Assertions,
        broker: &Broker,
        edges: Vec<Edge>,
        steps: Vec<Step>,
        target: Option<Target>,
        stopped: Option<String>,
    ) -> Self {
        let mut edges = edges;
        for edge in &mut edges {
            edge.limits = limits::on_rate(edge, broker.shards(), broker.websocket.ip());
        }
        Self {
            limits: Vec::new(),
            scaling: None,
            host: None,
            schema: SCHEMA,
            slo: slo.to_string(),
            shards: broker.shards(),
            cost: Cost::of(&steps),
            target: target.map(|target| TargetPlan::new(target, &edges)),
            edges,
            steps,
            stopped,
        }
    }

    /// What each number of clients is with so many machines of which one is lost.
    pub(super) fn take_nodes(&mut self, nodes: u32) {
        for edge in &mut self.edges {
            let surviving = nodes.saturating_sub(1);
            edge.cluster = edge.safe_rate_per_s.map(|safe| Cluster {
                nodes,
                surviving,
                clients: u64::from(edge.clients) * u64::from(surviving),
                rate_per_s: safe * f64::from(surviving),
                is_extrapolated: true,
            });
        }
    }

    /// User and kernel memory of a client, where both were measured.
    pub(super) fn bytes_per_client(&self) -> Option<f64> {
        let user = self.cost.as_ref()?.bytes_per_client?.value.max(0.0);
        let kernel = self
            .steps
            .iter()
            .filter_map(|it| it.kernel_bytes_per_client);
        Some(user + kernel.reduce(f64::max)?)
    }

    /// 0 where every number of clients has a rate that holds.
    pub(crate) fn exit_code(&self) -> ExitCode {
        let all = !self.edges.is_empty() && self.edges.iter().all(|it| it.rate_per_s.is_some());
        ExitCode::from(u8::from(self.stopped.is_some() || !all))
    }
}

impl Cost {
    fn of(steps: &[Step]) -> Option<Self> {
        let seen: Vec<(&Step, f64, u64)> = steps
            .iter()
            .filter_map(|step| Some((step, step.broker_cpu_percent?, step.broker_resident_bytes?)))
            .collect();
        if seen.is_empty() {
            return None;
        }
        let cpu_x: Vec<Vec<f64>> = seen
            .iter()
            .map(|(step, ..)| vec![1.0, f64::from(step.clients), step.deliveries_per_s])
            .collect();
        let cpu_y: Vec<f64> = seen.iter().map(|(_, cpu, _)| cpu * 1e4).collect();
        let cpu = Fit::of(&cpu_x, &cpu_y);
        let memory_x: Vec<Vec<f64>> = cpu_x.iter().map(|row| row[..2].to_vec()).collect();
        let memory_y: Vec<f64> = seen.iter().map(|(.., bytes)| *bytes as f64).collect();
        let memory = Fit::of(&memory_x, &memory_y);
        let most = seen
            .iter()
            .map(|(step, ..)| step.clients)
            .max()
            .unwrap_or(0);
        let twice = most.saturating_mul(2);
        Some(Self {
            steps: seen.len(),
            cpu_us_per_delivery: cpu.as_ref().map(|fit| fit.coefficient(2)),
            cpu_us_per_client_s: cpu.as_ref().map(|fit| fit.coefficient(1)),
            bytes_per_client: memory.as_ref().map(|fit| fit.coefficient(1)),
            memory_at_twice_the_clients: memory.map(|fit| Extrapolated {
                clients: twice,
                bytes: fit.predict(&[1.0, f64::from(twice)]),
                is_extrapolated: true,
            }),
        })
    }
}

impl TargetPlan {
    /// The fewest machines over all confirmed edges, each at its safe rate.
    pub(super) fn new(target: Target, edges: &[Edge]) -> Self {
        let fewest = edges
            .iter()
            .filter(|edge| edge.is_confirmed)
            .filter_map(|edge| {
                let by_clients = f64::from(target.clients) / f64::from(edge.clients);
                let by_rate = target.rate_per_s / edge.safe_rate_per_s?;
                let machines = by_clients.max(by_rate).ceil().max(1.0) as u32;
                Some((machines, edge.clients))
            })
            .min();
        Self {
            target,
            machines: fewest.map(|(machines, _)| machines),
            machines_with_one_to_lose: fewest.map(|(machines, _)| machines.saturating_add(1)),
            by_clients: fewest.map(|(_, clients)| clients),
        }
    }
}

#[cfg(test)]
pub(super) mod tests;
