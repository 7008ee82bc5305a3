use clap::Args;

use super::Place;
use crate::host;
use crate::server::MetricsUrl;

/// How the broker is looked at, and the machine before.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Server")]
pub(crate) struct Watch {
    /// The broker is this process on this machine: tell what it spends
    #[arg(long, value_name = "PID", conflicts_with = "self_host")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) server_pid: Option<u32>,

    /// The broker's metrics: http://host:port/metrics
    #[arg(long, value_name = "URL", conflicts_with = "self_host")]
    pub(crate) metrics_url: Option<MetricsUrl>,

    /// Tell whether this machine can give what is asked, and end
    #[arg(long)]
    pub(crate) preflight: bool,
}

impl Place {
    /// Shards of a broker of our own for so many clients.
    pub(crate) fn shards_for(&self, clients: u32) -> u16 {
        self.shards.unwrap_or_else(|| host::shards(clients))
    }
}
