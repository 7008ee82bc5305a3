//! The report as one page that needs nothing else: no network, no scripts.

mod chart;
mod roles;
mod sections;

pub(crate) use chart::{Chart, Line, Scale};
pub(crate) use sections::hosts;

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::text::{grouped, time};
use super::{Report, Verdict};

const STYLE: &str = include_str!("style.css");

/// A page of its own: no network, no scripts.
pub(crate) fn page(title: &str, body: &Markup) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta http-equiv="Content-Security-Policy"
                    content="default-src 'none'; style-src 'unsafe-inline'";
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body { main { (body) } }
        }
    };
    page.into_string()
}

impl Report {
    /// The whole page.
    pub(crate) fn to_html(&self) -> String {
        let body = html! {
            (self.first_screen())
            (self.latency_section())
            (self.time_section())
            (self.roles_section())
            (self.broker_section())
            (self.fault_section())
            (self.host_section())
            (sections::glossary())
        };
        page(&format!("Load test: {}", self.mark()), &body)
    }

    fn first_screen(&self) -> Markup {
        let class = if self.verdict == Verdict::Passed {
            "passed"
        } else {
            "failed"
        };
        html! {
            span class={ "mark " (class) } { (self.mark()) }
            h1 { (self.sentence()) }
            @if !self.warnings.is_empty() {
                ul.notes { @for warning in &self.warnings { li { "Note: " (warning) "." } } }
            }
            @if !self.lost_parts.is_empty() {
                ul.notes.bad { @for (name, reason) in &self.lost_parts {
                    li { "Agent " (name) " was lost: " (reason) "." }
                } }
            }
            @for part in self.parts.iter().filter(|part| !part.warnings.is_empty()) {
                ul.notes { @for warning in &part.warnings {
                    li { "Note: " (part.name) ": " (warning) "." }
                } }
            }
            @if !self.assertions.is_empty() {
                @let class = if self.assertions.iter().all(|it| it.holds) { "good" } else { "bad" };
                ul class={ "notes " (class) } {
                    @for it in &self.assertions {
                        li {
                            (if it.holds { "holds: " } else { "does not hold: " }) (it.text)
                            @match it.measured {
                                Some(value) => { " (measured: " (measured(value, &it.unit)) ")" }
                                None => { " (not measured)" }
                            }
                        }
                    }
                }
            }
            dl.figures { @for (name, value, note) in self.figures() {
                div { dt { (name) } dd { (value) small { (note) } } }
            } }
        }
    }

    fn mark(&self) -> &'static str {
        match self.verdict {
            Verdict::Passed => "passed",
            Verdict::Failed if self.interrupted => "interrupted",
            Verdict::Failed => "failed",
            Verdict::NotConnected => "not connected",
        }
    }

    /// What happened, for somebody who has never seen such a report.
    fn sentence(&self) -> String {
        let connections = &self.connections;
        let clients = grouped(self.load.clients.into());
        if self.verdict == Verdict::NotConnected {
            return format!("None of {clients} clients could connect.");
        }
        let away = self.comebacks.as_ref().map_or(0, |it| it.missing);
        let missing = connections.failed + connections.lost + connections.not_tried + away;
        let mut sentence = match missing {
            0 if self.comebacks.is_some() => {
                format!("All {clients} clients connected, and those that left came back")
            }
            0 => format!("All {clients} clients connected and stayed"),
            missing => format!(
                "{} of {clients} clients were missing or lost",
                grouped(missing)
            ),
        };
        let deliveries = &self.deliveries;
        if deliveries.expected > 0 {
            let (expected, lost) = (grouped(deliveries.expected), deliveries.lost);
            let faults = lost + deliveries.duplicated + deliveries.reordered + deliveries.strange;
            sentence += &match (faults, lost) {
                (0, _) => format!("; every one of {expected} deliveries came once and in order"),
                (_, 0) => format!(
                    "; all {expected} deliveries came, {} of them not as they should",
                    grouped(faults)
                ),
                (_, lost) => format!("; {} of {expected} deliveries never came", grouped(lost)),
            };
        }
        if let Some(latency) = &self.latency {
            sentence += &format!(", 99 % within {}", time(latency.corrected.at_us(99.0)));
        }
        if let Some(at_s) = self.broker_gone_s {
            sentence += &format!("; the broker went away {at_s:.1} s after the start");
        }
        sentence + "."
    }

    fn figures(&self) -> Vec<(&'static str, String, String)> {
        let connections = &self.connections;
        let mut figures = vec![(
            "Clients",
            grouped(connections.subscribed),
            format!("joined in {:.1} s", connections.ramp_s),
        )];
        if self.deliveries.expected > 0 {
            figures.push((
                "Deliveries a second",
                grouped(self.deliveries.per_s.round() as u64),
                format!("of {:.1} broadcasts a second", self.broadcasts.per_s),
            ));
            let share = 100.0 * self.deliveries.lost as f64 / self.deliveries.expected as f64;
            figures.push((
                "Lost",
                grouped(self.deliveries.lost),
                format!("{share:.4} %"),
            ));
        }
        if let Some(latency) = &self.latency {
            figures.push((
                "Latency, 99 %",
                time(latency.corrected.at_us(99.0)),
                format!("half within {}", time(latency.corrected.at_us(50.0))),
            ));
        }
        if let Some(broker) = &self.broker {
            let cpu = format!("{:.0} % of a core in all", broker.cpu_percent);
            match broker.cpu_us_per_delivery {
                Some(us) => figures.push(("Broker CPU a delivery", format!("{us:.2} us"), cpu)),
                None => figures.push(("Broker CPU", format!("{:.0} %", broker.cpu_percent), cpu)),
            }
            if let Some(bytes) = broker.resident_bytes_per_client {
                let whole = format!(
                    "{:.0} MiB in all",
                    broker.resident_bytes as f64 / 1024.0 / 1024.0
                );
                figures.push((
                    "Broker memory a client",
                    format!("{} B", grouped(bytes)),
                    whole,
                ));
            }
        }
        figures
    }
}

fn measured(value: f64, unit: &str) -> String {
    match unit {
        "us" => time(value),
        "%" => format!("{value:.1} %"),
        _ => format!("{value:.4}")
            .trim_end_matches('0')
            .trim_end_matches('.')
            .to_owned(),
    }
}

#[cfg(test)]
mod tests;
