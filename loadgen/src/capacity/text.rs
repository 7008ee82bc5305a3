//! A plan in 80 columns.

use std::fmt::{self, Display, Formatter};

use super::fit::Estimate;
use super::limits::{Bound, Limit};
use super::report::{Binding, CapacityReport, Cluster, Cost, Target, TargetPlan};
use super::usl::Usl;

impl Display for Binding {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BrokerCores => "the broker's cores",
            Self::SharedCores => "cores (shared)",
            Self::Generator => "the generator",
            Self::Connections => "connections",
            Self::Latency => "latency",
            Self::None => "nothing found",
        })
    }
}

impl Display for CapacityReport {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "What holds {}, measured on this machine", self.slo)?;
        writeln!(
            f,
            "{:>9} {:>13} {:>13} {:>12}  {:<20}",
            "clients", "broadcasts/s", "deliveries/s", "safe (70 %)", "gives first"
        )?;
        for edge in &self.edges {
            let Some((rate, safe)) = edge.rate_per_s.zip(edge.safe_rate_per_s) else {
                writeln!(
                    f,
                    "{:>9} not even the lowest rate holds: {}",
                    edge.clients, edge.binding
                )?;
                continue;
            };
            let mark = if edge.is_confirmed {
                ""
            } else {
                " (not confirmed)"
            };
            writeln!(
                f,
                "{:>9} {rate:>13.1} {:>13.0} {safe:>12.1}  {}{mark}",
                edge.clients, edge.deliveries_per_s, edge.binding
            )?;
        }
        for edge in &self.edges {
            for limit in &edge.limits {
                writeln!(f, "  {} clients: {limit}", edge.clients)?;
            }
            if let Some(cluster) = &edge.cluster {
                writeln!(f, "  {cluster}")?;
            }
        }
        if !self.limits.is_empty() {
            writeln!(
                f,
                "Bounds on clients, computed (EXTRAPOLATED), the lowest first:"
            )?;
        }
        for limit in &self.limits {
            writeln!(f, "  {limit}")?;
        }
        if let Some(cost) = &self.cost {
            cost.fmt(f)?;
        }
        match &self.scaling {
            Some(scaling) => scaling.fmt(f)?,
            None => writeln!(
                f,
                "Growth over shards was not fitted: it takes --shards-list with three counts\nwhose edges are confirmed"
            )?,
        }
        if let Some(target) = &self.target {
            target.fmt(f)?;
        }
        if let Some(stopped) = &self.stopped {
            writeln!(f, "STOPPED before the end: {stopped}")?;
        }
        Ok(())
    }
}

impl Display for Cost {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "The broker, fitted to {} runs, with 95 % intervals:",
            self.steps
        )?;
        for (estimate, unit) in [
            (self.cpu_us_per_delivery, "us of CPU a delivery"),
            (self.cpu_us_per_client_s, "us of CPU a second and client"),
            (self.bytes_per_client, "bytes of memory a client"),
        ] {
            match estimate {
                Some(Estimate { value, low, high }) => {
                    writeln!(f, "  {value:.2} ({low:.2} to {high:.2}) {unit}")?;
                }
                None => writeln!(f, "  too few different runs to tell the {unit}")?,
            }
        }
        if let Some(far) = &self.memory_at_twice_the_clients {
            let mib = |bytes: f64| bytes / 1024.0 / 1024.0;
            let Estimate { value, low, high } = far.bytes;
            writeln!(
                f,
                "  {:.0} ({:.0} to {:.0}) MiB with {} clients, EXTRAPOLATED",
                mib(value),
                mib(low),
                mib(high),
                far.clients
            )?;
        }
        Ok(())
    }
}

impl Display for Limit {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let how = &self.how;
        match self.bound {
            Bound::Clients(clients) => {
                writeln!(f, "{:<12} {clients:>10} clients", self.name)?;
                write!(f, "               {how}")
            }
            Bound::RatePerS(rate) => {
                writeln!(f, "{} allow {rate:.1}/s, EXTRAPOLATED", self.name)?;
                write!(f, "               {how}")
            }
        }
    }
}

impl Display for Cluster {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} nodes, {} surviving: {} clients, {:.1} broadcasts/s, EXTRAPOLATED",
            self.nodes, self.surviving, self.clients, self.rate_per_s
        )
    }
}

impl Display for Usl {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "Growth over shards (Universal Scalability Law), with 95 % intervals:"
        )?;
        for (name, estimate, digits) in [
            ("lambda", self.lambda, 0),
            ("sigma", self.sigma, 6),
            ("kappa", self.kappa, 6),
        ] {
            let Estimate { value, low, high } = estimate;
            writeln!(
                f,
                "  {name:<7} {value:.digits$} ({low:.digits$} to {high:.digits$})"
            )?;
        }
        if let Some(peak) = self.peak_shards {
            writeln!(f, "  more than {peak:.0} shards carry less, EXTRAPOLATED")?;
        }
        for prediction in &self.predictions {
            let Estimate { value, low, high } = prediction.deliveries_per_s;
            writeln!(
                f,
                "  {} shards: {value:.0} ({low:.0} to {high:.0}) deliveries/s, EXTRAPOLATED",
                prediction.shards
            )?;
        }
        if self.is_past_cores {
            writeln!(
                f,
                "  there were more shards than cores: this is how they share them, not how\n  \
                 cores add up"
            )?;
        }
        Ok(())
    }
}

impl Display for TargetPlan {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Target {
            clients,
            rate_per_s,
        } = self.target;
        write!(
            f,
            "{clients} clients with {rate_per_s} broadcasts/s in all: "
        )?;
        match self.machines.zip(self.machines_with_one_to_lose) {
            Some((machines, more)) => writeln!(
                f,
                "{machines} of these machines at their\nsafe rate, {more} so that one may be lost"
            ),
            None => writeln!(f, "no edge is confirmed"),
        }
    }
}
