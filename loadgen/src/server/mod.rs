//! What the broker and the kernel beneath it have spent, looked at from outside
//! at the borders of phases.

mod kernel;
mod metrics;

pub(crate) use kernel::Kernel;
pub(crate) use metrics::{FetchError, Metrics, MetricsUrl, ShardCounters, Traffic};

use crate::process::{self, Switches, ThreadUsage};

/// Where to look.
#[derive(Clone, Debug, Default)]
pub(crate) struct Source {
    /// The broker's process on this machine.
    pub(crate) pid: Option<u32>,
    /// Its metrics.
    pub(crate) metrics: Option<MetricsUrl>,
}

/// One look. What can't be seen is missing.
#[derive(Clone, Debug, Default)]
pub(crate) struct Observation {
    pub(crate) threads: Vec<ThreadUsage>,
    pub(crate) switches: Switches,
    /// Only where the broker is on this machine.
    pub(crate) kernel: Option<Kernel>,
    pub(crate) metrics: Option<Metrics>,
}

/// A look at each border.
#[derive(Clone, Debug, Default)]
pub(crate) struct Observations {
    /// Before the first connection.
    pub(crate) before: Observation,
    /// After the last.
    pub(crate) settled: Observation,
    pub(crate) measured_from: Observation,
    pub(crate) measured_to: Observation,
    /// After the last delivery.
    pub(crate) drained: Observation,
}

impl Source {
    /// Looks. Blocks up to [`METRICS_TIMEOUT`](crate::limits::METRICS_TIMEOUT).
    pub(crate) fn observe(&self) -> Observation {
        let (threads, switches) = self
            .pid
            .and_then(|pid| process::threads(pid).ok())
            .unwrap_or_default();
        Observation {
            threads,
            switches,
            kernel: self.pid.and_then(|_| Kernel::read()),
            metrics: self.metrics.as_ref().and_then(|url| url.fetch().ok()),
        }
    }
}
