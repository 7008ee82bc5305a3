//! The parts of the page below its first screen.

use maud::{Markup, html};

use super::chart::{Chart, Line, Points, Scale};
use crate::host::HostManifest;
use crate::report::text::{grouped, time};
use crate::report::{Distribution, Report};

/// Percentiles of the curve's axis, which is logarithmic in what is left to 100.
const CURVE: [(f64, &str); 6] = [
    (0.0, "0 %"),
    (90.0, "90 %"),
    (99.0, "99 %"),
    (99.9, "99.9 %"),
    (99.99, "99.99 %"),
    (99.999, "99.999 %"),
];

impl Report {
    pub(super) fn latency_section(&self) -> Markup {
        let Some(latency) = &self.latency else {
            return html! {};
        };
        let lines = [("corrected", &latency.corrected), ("raw", &latency.raw)];
        let chart = Chart {
            title: "Latency by percentile: the further right, the rarer",
            x_label: "share of deliveries that were at least as fast",
            x_ticks: CURVE
                .iter()
                .map(|(at, label)| (curve_place(*at), (*label).to_owned()))
                .collect(),
            bands: Vec::new(),
            lines: lines
                .iter()
                .map(|(label, distribution)| Line {
                    label,
                    points: curve(distribution),
                })
                .collect(),
            scale: Scale::Logarithmic,
            format: time,
        };
        let joining = self.joining.iter();
        let joining =
            joining.flat_map(|it| [("connect", &it.connect), ("subscribe", &it.subscribe)]);
        html! {
            h2 { "Latency" }
            (chart.render())
            (distributions(lines.into_iter().chain(joining)))
        }
    }

    pub(super) fn time_section(&self) -> Markup {
        let series = &self.series;
        if series.at_s.len() < 2 {
            return html! {};
        }
        let per_s =
            |column: &[u64]| self.line(column.iter().map(|it| Some(*it as f64 / series.span_s)));
        let times = |column: &[Option<f64>]| self.line(column.iter().copied());
        let memory = series
            .broker_resident_bytes
            .iter()
            .map(|it| it.map(|bytes| bytes as f64));
        let plain = |value: f64| grouped(value.round() as u64);
        html! {
            h2 { "Over time" }
            (self.chart("Deliveries a second", vec![("deliveries", per_s(&series.delivered))], Scale::Linear, plain))
            (self.chart("Broadcasts a second", vec![("broadcasts", per_s(&series.sent))], Scale::Linear, plain))
            (self.chart(
                "Corrected latency of what came in each second",
                vec![("50 %", times(&series.p50_us)), ("99 %", times(&series.p99_us)), ("worst", times(&series.max_us))],
                Scale::Logarithmic,
                time,
            ))
            (self.chart(
                "Clients that are subscribed",
                vec![("clients", self.line(series.subscribed.iter().map(|it| Some(*it as f64))))],
                Scale::Linear,
                plain,
            ))
            (self.chart(
                "Processor time, in percent of one core",
                vec![("broker", times(&series.broker_cpu_percent)), ("generator", times(&series.generator_cpu_percent))],
                Scale::Linear,
                |value| format!("{value:.0} %"),
            ))
            (self.chart(
                "Memory of the broker",
                vec![("resident", self.line(memory))],
                Scale::Linear,
                |value| format!("{:.0} MiB", value / 1024.0 / 1024.0),
            ))
        }
    }

    fn line(&self, values: impl Iterator<Item = Option<f64>>) -> Points {
        let length_s = self.length_s();
        let places = self.series.at_s.iter().map(|at_s| at_s / length_s);
        places.zip(values).collect()
    }

    fn chart(
        &self,
        title: &str,
        lines: Vec<(&str, Points)>,
        scale: Scale,
        format: fn(f64) -> String,
    ) -> Markup {
        let length_s = self.length_s();
        let ticks = (0..=4).map(|at| f64::from(at) / 4.0);
        let bands = self.phases.iter().filter(|phase| phase.name == "measure");
        let chart = Chart {
            title,
            x_label: "seconds since the start; shaded: what is measured",
            x_ticks: ticks
                .map(|at| (at, format!("{:.0} s", at * length_s)))
                .collect(),
            bands: bands
                .map(|phase| {
                    let end_s = phase.start_s + phase.length_s;
                    (
                        phase.start_s / length_s,
                        end_s / length_s,
                        phase.name.clone(),
                    )
                })
                .collect(),
            lines: lines
                .into_iter()
                .map(|(label, points)| Line { label, points })
                .collect(),
            scale,
            format,
        };
        chart.render()
    }

    fn length_s(&self) -> f64 {
        let spans = self
            .series
            .at_s
            .last()
            .map_or(0.0, |last| last + self.series.span_s);
        spans.max(self.series.span_s)
    }

    pub(super) fn broker_section(&self) -> Markup {
        let generator = &self.generator;
        let spent = self.broker.as_ref().and_then(|it| it.spent.as_ref());
        let shards = spent.map_or(&[][..], |it| &it.shards);
        html! {
            h2 { "Who spent what" }
            p {
                "The generator used " (format!("{:.0}", generator.cpu_percent)) " % of a core, its busiest thread "
                (format!("{:.0}", generator.busiest_thread_cpu_percent)) " %; it sent late by "
                (time(generator.late_p99_us)) " (99 %), missed " (grouped(generator.missed_ticks))
                " ticks, and read late by " (time(generator.receive_lag_p99_us)) " (99 %)."
                @if let Some(us) = generator.cpu_us_per_delivery {
                    " A delivery received cost it " (format!("{us:.2} us")) "."
                }
            }
            @if let Some((user, system)) = spent.and_then(|it| it.user_us_per_delivery.zip(it.system_us_per_delivery)) {
                p {
                    "Of the broker's CPU for each delivery " (format!("{user:.2} us")) " were its own and "
                    (format!("{system:.2} us")) " the kernel's."
                    @if let Some(kernel) = spent.and_then(|it| it.kernel) {
                        " The kernel's memory grew by " (kernel.slab_bytes_per_connection)
                        " bytes for each connection" @if kernel.both_ends { ", both ends together" } "."
                    }
                }
            }
            @if shards.len() > 1 {
                div.wide { table {
                    thead { tr { th { "Shard" } th.n { "CPU" } th.n { "Connections" } th.n { "Deliveries" } } }
                    tbody { @for (number, shard) in shards.iter().enumerate() { tr {
                        td { (number) }
                        td.n { (shard.cpu_percent.map_or("–".to_owned(), |it| format!("{it:.0} %"))) }
                        td.n { (shard.connections.map_or("–".to_owned(), grouped)) }
                        td.n { (shard.deliveries.map_or("–".to_owned(), grouped)) }
                    } } }
                } }
            }
        }
    }

    pub(super) fn fault_section(&self) -> Markup {
        let connections = &self.connections;
        let returns = self.comebacks.iter().flat_map(|it| &it.refused_by_cause);
        let kinds = self.backend.iter().flat_map(|it| {
            [&it.broadcasts, &it.channels, &it.tokens]
                .into_iter()
                .flatten()
        });
        let requests = kinds.flat_map(|it| &it.refused_by_cause);
        let workers = self
            .triggers
            .iter()
            .flat_map(|it| &it.disconnected_by_cause);
        let others: Vec<_> = returns.chain(requests).chain(workers).collect();
        let causes = || {
            let connections = connections
                .failed_by_cause
                .iter()
                .chain(&connections.lost_by_cause);
            connections.chain(others.iter().copied())
        };
        let codes = || {
            let errors = self.errors.iter().map(|it| ("the broker's :error", it));
            errors.chain(self.closes.iter().map(|it| ("closed with", it)))
        };
        if causes().next().is_none() && codes().next().is_none() {
            return html! {};
        }
        html! {
            h2 { "What went wrong" }
            div.wide { table {
                thead { tr { th { "What" } th.n { "How often" } } }
                tbody {
                    @for (cause, count) in causes() { tr { td { (cause) } td.n { (grouped(*count)) } } }
                    @for (kind, (code, count)) in codes() {
                        tr { td { (kind) " " (code) } td.n { (grouped(*count)) } }
                    }
                }
            } }
        }
    }

    pub(super) fn host_section(&self) -> Markup {
        let own = self.host.iter().map(|host| ("", host));
        let parts = self.parts.iter();
        let parts = parts.filter_map(|part| Some((part.name.as_str(), part.host.as_ref()?)));
        hosts(&own.chain(parts).collect::<Vec<_>>())
    }
}

/// Machines by their names, which may be empty.
pub(crate) fn hosts(hosts: &[(&str, &HostManifest)]) -> Markup {
    if hosts.is_empty() {
        return html! {};
    }
    html! {
        h2 { "Where this was measured" }
        @for (name, group) in hosts.iter().flat_map(|(name, host)| {
            host.groups.iter().map(move |group| (name, group))
        }) {
            details {
                summary { @if !name.is_empty() { (name) ": " } (group.title) }
                div.wide { table { tbody { @for row in &group.rows {
                    tr { th scope="row" { (row.name) } td { (row.value) } }
                } } } }
            }
        }
    }
}

pub(super) fn distributions<'a>(rows: impl Iterator<Item = (&'a str, &'a Distribution)>) -> Markup {
    let at = [
        ("50 %", 50.0),
        ("90 %", 90.0),
        ("99 %", 99.0),
        ("99.9 %", 99.9),
    ];
    html! {
        div.wide { table {
            thead { tr {
                th { "Time" }
                @for (label, _) in at { th.n { (label) } }
                th.n { "worst" }
                th.n { "count" }
            } }
            tbody { @for (label, distribution) in rows { tr {
                th scope="row" { (label) }
                @for (_, percentile) in at { td.n { (time(distribution.at_us(percentile))) } }
                td.n { (time(distribution.max_us())) }
                td.n { (grouped(distribution.histogram().len())) }
            } } }
        } }
    }
}

/// From 0 to the last of [`CURVE`], ten points a decade.
fn curve(distribution: &Distribution) -> Points {
    (0..=50)
        .map(|step| {
            let percentile = 100.0 - 100.0 / 10_f64.powf(f64::from(step) / 10.0);
            (f64::from(step) / 50.0, Some(distribution.at_us(percentile)))
        })
        .collect()
}

fn curve_place(percentile: f64) -> f64 {
    (100.0 / (100.0 - percentile)).log10() / 5.0
}

/// What the words on the page mean.
pub(super) fn glossary() -> Markup {
    let words = [
        (
            "corrected",
            "From the moment at which a broadcast was due, whether the generator or the broker was late: what a user would have waited.",
        ),
        (
            "raw",
            "From the moment at which it was really sent. Far below corrected means that the sending was late.",
        ),
        (
            "99 %",
            "Of a hundred deliveries, ninety-nine were at least as fast.",
        ),
        (
            "broadcast, delivery",
            "One broadcast to a channel becomes one delivery to each of its clients.",
        ),
        (
            "lost",
            "Expected and never come, counted exactly for each client and sender.",
        ),
        (
            "missed tick",
            "A broadcast that left more than a millisecond after its time: the generator did not keep its schedule.",
        ),
        (
            "connect, subscribe",
            "From the start of a connection to the broker's greeting, and from there to its subscription.",
        ),
        (
            "shard",
            "One of the broker's threads; each owns its connections.",
        ),
    ];
    html! {
        h2 { "How to read this page" }
        dl { @for (word, meaning) in words { dt { (word) } dd { (meaning) } } }
    }
}
