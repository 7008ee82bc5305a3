//! The summary, readable at 80 columns.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};

use super::{Distribution, Latency, Report, Verdict};

impl Display for Report {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for warning in &self.warnings {
            writeln!(f, "WARNING: {warning}")?;
        }
        for part in &self.parts {
            for warning in &part.warnings {
                writeln!(f, "WARNING: {}: {warning}", part.name)?;
            }
        }
        for (name, reason) in &self.lost_parts {
            writeln!(f, "LOST: agent {name}: {reason}; the rest is partial")?;
        }
        self.write_assertions(f)?;
        self.write_load(f)?;
        self.write_connections(f)?;
        if self.load.publishers_per_channel > 0 || self.deliveries.expected > 0 {
            self.write_deliveries(f)?;
        }
        if let Some(latency) = &self.latency {
            write_latency(f, latency)?;
        }
        if let Some(joining) = &self.joining {
            if self.latency.is_none() {
                write_heads(f, "joining")?;
            }
            write_distribution(f, "connect", &joining.connect)?;
            if let Some(token) = &joining.token {
                write_distribution(f, "token", token)?;
            }
            if let Some(authenticate) = &joining.authenticate {
                write_distribution(f, "auth", authenticate)?;
            }
            write_distribution(f, "subscribe", &joining.subscribe)?;
        }
        if let Some(triggers) = &self.triggers {
            write!(f, "{triggers}")?;
        }
        if let Some(backend) = &self.backend {
            write!(f, "{backend}")?;
        }
        if let Some(presence) = &self.presence {
            write!(f, "{presence}")?;
        }
        if let Some(comebacks) = &self.comebacks {
            write!(f, "{comebacks}")?;
        }
        if let Some(slow) = &self.slow {
            write!(f, "{slow}")?;
        }
        write_codes(f, ":error", &self.errors)?;
        write_codes(f, "closed", &self.closes)?;
        self.write_processes(f)?;
        self.write_verdict(f)
    }
}

impl Report {
    fn write_assertions(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for assertion in self.assertions.iter().filter(|it| !it.holds) {
            let text = &assertion.text;
            match assertion.measured {
                Some(value) if assertion.unit == "us" => {
                    writeln!(f, "ASSERTION FAILED: {text}; it is {}", time(value))?;
                }
                Some(value) => {
                    writeln!(
                        f,
                        "ASSERTION FAILED: {text}; it is {value}{}",
                        assertion.unit
                    )?;
                }
                None => writeln!(f, "ASSERTION FAILED: {text}; it was not measured")?,
            }
        }
        Ok(())
    }

    fn write_load(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let load = &self.load;
        write!(
            f,
            "load         {} on {}",
            counted(load.clients.into(), "client"),
            counted(load.channels.into(), "channel"),
        )?;
        match load.publishers_per_channel {
            0 => writeln!(f, ", none publishes for {:.1} s", load.measured_s),
            publishers if load.in_flight > 0 => writeln!(
                f,
                ", {} each\n             closed loop: {} under way of each, {} bytes, for {:.1} s",
                counted(publishers.into(), "publisher"),
                counted(load.in_flight.into(), "broadcast"),
                grouped(load.data_bytes as u64),
                load.measured_s,
            ),
            publishers => writeln!(
                f,
                ", {} each\n             {} broadcasts/s of {} bytes for {:.1} s",
                counted(publishers.into(), "publisher"),
                load.rate_per_s,
                grouped(load.data_bytes as u64),
                load.measured_s,
            ),
        }
    }

    fn write_connections(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let connections = &self.connections;
        writeln!(
            f,
            "connections  {} subscribed in {:.2} s ({}/s), {} failed, {} lost",
            grouped(connections.subscribed),
            connections.ramp_s,
            grouped(connections.per_s.round() as u64),
            grouped(connections.failed),
            grouped(connections.lost),
        )?;
        if connections.not_tried > 0 {
            writeln!(f, "  not tried  {}", grouped(connections.not_tried))?;
        }
        write_causes(f, "failed", &connections.failed_by_cause)?;
        write_causes(f, "lost", &connections.lost_by_cause)
    }

    fn write_deliveries(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let (broadcasts, deliveries) = (&self.broadcasts, &self.deliveries);
        writeln!(
            f,
            "broadcasts   {} sent ({:.1}/s), {} not sent",
            grouped(broadcasts.sent),
            broadcasts.per_s,
            grouped(broadcasts.unsent),
        )?;
        writeln!(
            f,
            "deliveries   {} of {} ({}/s)",
            grouped(deliveries.delivered),
            grouped(deliveries.expected),
            grouped(deliveries.per_s.round() as u64),
        )?;
        writeln!(
            f,
            "             {} lost, {} duplicated, {} reordered",
            grouped(deliveries.lost),
            grouped(deliveries.duplicated),
            grouped(deliveries.reordered),
        )?;
        if deliveries.strange > 0 {
            let strange = grouped(deliveries.strange);
            writeln!(f, "             {strange} damaged or of another channel")?;
        }
        if deliveries.foreign > 0 {
            let foreign = grouped(deliveries.foreign);
            writeln!(
                f,
                "             {foreign} of another load generator, not counted"
            )?;
        }
        Ok(())
    }

    fn write_processes(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let generator = &self.generator;
        writeln!(
            f,
            "generator    CPU {:.0} %, busiest thread {:.0} %{}",
            generator.cpu_percent,
            generator.busiest_thread_cpu_percent,
            memory(generator.resident_bytes_per_client),
        )?;
        if self.broadcasts.sent > 0 {
            writeln!(
                f,
                "             sends late by {} (p99), {} (worst)",
                time(generator.late_p99_us),
                time(generator.late_max_us),
            )?;
        }
        let Some(broker) = &self.broker else {
            return Ok(());
        };
        write!(f, "broker       CPU {:.0} %", broker.cpu_percent)?;
        if let Some(us) = broker.cpu_us_per_delivery {
            write!(f, ", {us:.2} us per delivery")?;
        }
        writeln!(f, "{}", memory(broker.resident_bytes_per_client))?;
        broker
            .spent
            .as_ref()
            .map_or(Ok(()), |spent| write!(f, "{spent}"))
    }

    fn write_verdict(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let verdict = match self.verdict {
            Verdict::Passed if self.deliveries.expected == 0 => "PASSED: all stayed connected",
            Verdict::Passed => "PASSED: every delivery once and in order",
            Verdict::Failed if self.interrupted => "INTERRUPTED: a partial report",
            Verdict::Failed => "FAILED: see above",
            Verdict::NotConnected => "FAILED: no client could connect",
        };
        match self.broker_gone_s {
            Some(at_s) => writeln!(
                f,
                "FAILED: the broker went away {at_s:.1} s after the start; the rest is partial"
            )?,
            None => writeln!(f, "{verdict}")?,
        }
        let refused = self.connections.failed_by_cause.keys();
        if refused
            .into_iter()
            .any(|cause| cause.ends_with(":error 454"))
        {
            writeln!(
                f,
                "The channels don't exist: open them with --backend wr://TOKEN@host:port/vhost"
            )?;
        }
        Ok(())
    }
}

fn write_latency(f: &mut Formatter<'_>, latency: &Latency) -> fmt::Result {
    write_heads(f, "latency")?;
    for (label, distribution) in [("corrected", &latency.corrected), ("raw", &latency.raw)] {
        write_distribution(f, label, distribution)?;
    }
    Ok(())
}

pub(super) fn write_heads(f: &mut Formatter<'_>, title: &str) -> fmt::Result {
    let heads = ["p50", "p90", "p99", "p99.9", "max"].map(|head| format!("{head:>11}"));
    writeln!(f, "{title:<13}{}", heads.concat())
}

pub(super) fn write_distribution(
    f: &mut Formatter<'_>,
    label: &str,
    distribution: &Distribution,
) -> fmt::Result {
    let [p50, p90, p99, p99_9] = [50.0, 90.0, 99.0, 99.9].map(|at| distribution.at_us(at));
    let times = [p50, p90, p99, p99_9, distribution.max_us()].map(|us| format!("{:>11}", time(us)));
    writeln!(f, "  {label:<11}{}", times.concat())
}

fn write_codes(f: &mut Formatter<'_>, label: &str, codes: &BTreeMap<u16, u64>) -> fmt::Result {
    for (code, &count) in codes {
        writeln!(f, "{label:<12} {code}: {}", grouped(count))?;
    }
    Ok(())
}

pub(super) fn write_causes(
    f: &mut Formatter<'_>,
    label: &str,
    causes: &BTreeMap<String, u64>,
) -> fmt::Result {
    for (cause, &count) in causes {
        writeln!(f, "  {label:<11}{}: {cause}", grouped(count))?;
    }
    Ok(())
}

fn memory(bytes_per_client: Option<u64>) -> String {
    bytes_per_client.map_or_else(String::new, |bytes| {
        format!(", {} bytes of memory per client", grouped(bytes))
    })
}

/// A time that is readable whatever its size.
pub(super) fn time(us: f64) -> String {
    if us < 999.5 {
        format!("{us:.0} us")
    } else if us < 999_500.0 {
        format!("{:.2} ms", us / 1e3)
    } else {
        format!("{:.2} s", us / 1e6)
    }
}

fn counted(count: u64, noun: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{} {noun}{plural}", grouped(count))
}

/// Digits in groups of three.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.char_indices() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_in_groups() {
        for (number, text) in [
            (0, "0"),
            (999, "999"),
            (1000, "1,000"),
            (12_345_678, "12,345,678"),
        ] {
            assert_eq!(grouped(number), text);
        }
    }

    #[test]
    fn times_of_every_size() {
        for (us, text) in [
            (0.0, "0 us"),
            (999.4, "999 us"),
            (999.5, "1.00 ms"),
            (12_345.0, "12.35 ms"),
            (999_500.0, "1.00 s"),
            (60e6, "60.00 s"),
        ] {
            assert_eq!(time(us), text);
        }
    }
}
