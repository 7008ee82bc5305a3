//! A plan as one page, for somebody who has to buy machines by it.

use maud::{Markup, html};

use super::fit::Estimate;
use super::limits::{Bound, Limit};
use super::report::{Binding, CapacityReport, Cost, Edge, TargetPlan};
use super::settings;
use super::usl::Usl;
use crate::report::{Chart, Line, Scale, grouped, hosts, page};

impl CapacityReport {
    /// The whole page.
    pub(crate) fn to_html(&self) -> String {
        let body = html! {
            (self.first_screen())
            (self.edges_section())
            (self.limits_section())
            (self.cost_section())
            (self.scaling_section())
            (self.settings_section())
            (self.runs_section())
            (hosts(&self.host.iter().map(|host| ("", host)).collect::<Vec<_>>()))
            (glossary())
        };
        page("Capacity plan", &body)
    }

    fn first_screen(&self) -> Markup {
        let holds = self.holding().next().is_some();
        let (class, mark) = match (holds, &self.stopped) {
            (true, None) => ("passed", "measured"),
            (true, Some(_)) => ("failed", "incomplete"),
            (false, _) => ("failed", "nothing holds"),
        };
        html! {
            span class={ "mark " (class) } { (mark) }
            h1 { (self.sentence()) }
            p { "What has to hold: " strong { (self.slo) } ". Every figure was measured on this machine unless it is marked "
                (extrapolated()) "." }
            @if let Some(stopped) = &self.stopped {
                ul.notes.bad { li { "Stopped before the end: " (stopped) "." } }
            }
            @if let Some(target) = &self.target { (target.note()) }
            dl.figures { @for edge in self.holding() {
                @let rate = edge.rate_per_s.unwrap_or(0.0);
                div {
                    dt { (grouped(edge.clients.into())) " clients" }
                    dd { (rate_text(rate)) " /s"
                        small { "broadcasts; safe: " (rate_text(edge.safe_rate_per_s.unwrap_or(0.0))) " /s" }
                        small { (grouped(edge.deliveries_per_s.round() as u64)) " deliveries a second" } }
                }
            } }
        }
    }

    fn holding(&self) -> impl Iterator<Item = &Edge> {
        self.edges.iter().filter(|edge| edge.rate_per_s.is_some())
    }

    /// The most clients that hold, in words.
    fn sentence(&self) -> String {
        let most = self.holding().max_by_key(|edge| edge.clients);
        let Some((edge, rate)) = most.and_then(|edge| Some((edge, edge.rate_per_s?))) else {
            return "No rate was found that holds.".to_owned();
        };
        let (clients, rate) = (grouped(edge.clients.into()), rate_text(rate));
        match (edge.is_confirmed, edge.binding) {
            (true, binding) => format!(
                "This machine carries {clients} clients with {rate} broadcasts a second; what \
                 gives first is {binding}."
            ),
            (false, Binding::None) => format!(
                "This machine carries {clients} clients with at least {rate} broadcasts a \
                 second, the most that was tried."
            ),
            (false, _) => format!(
                "{clients} clients with {rate} broadcasts a second held, but not each time."
            ),
        }
    }

    fn edges_section(&self) -> Markup {
        let has_nodes = self.edges.iter().find_map(|edge| edge.cluster);
        html! {
            h2 { "What holds" }
            (self.edges_chart())
            div.wide { table {
                thead { tr {
                    th.n { "Clients" } th.n { "Broadcasts /s" } th.n { "Deliveries /s" }
                    th.n { "Safe (70 %)" } th.n { "Fails at" } th { "Gives first" }
                    @if let Some(cluster) = has_nodes {
                        th.n { "1 of " (cluster.nodes) " nodes lost " (extrapolated()) }
                    }
                } }
                tbody { @for edge in &self.edges { tr {
                    td.n { (grouped(edge.clients.into())) }
                    @match edge.rate_per_s {
                        Some(rate) => {
                            td.n { (rate_text(rate)) @if !edge.is_confirmed { " (not confirmed)" } }
                            td.n { (grouped(edge.deliveries_per_s.round() as u64)) }
                            td.n { (rate_text(edge.safe_rate_per_s.unwrap_or(0.0))) }
                            td.n { (edge.fails_at_per_s.map_or("–".to_owned(), rate_text)) }
                        }
                        None => { td.n { "none" } td.n { "–" } td.n { "–" } td.n { "–" } }
                    }
                    td { (edge.binding) }
                    @if has_nodes.is_some() { td.n { @if let Some(cluster) = edge.cluster {
                        (grouped(cluster.clients)) " clients, " (rate_text(cluster.rate_per_s)) " /s"
                    } } }
                } } }
            } }
        }
    }

    fn edges_chart(&self) -> Markup {
        let edges: Vec<&Edge> = self.holding().collect();
        let most = edges.iter().map(|edge| edge.clients).max().unwrap_or(1);
        let at = |clients: u32| f64::from(clients) / f64::from(most.max(1));
        let line = |of: fn(&Edge) -> Option<f64>| {
            let points = edges.iter().map(|edge| (at(edge.clients), of(edge)));
            points.collect()
        };
        let chart = Chart {
            title: "Highest broadcasts a second that hold, by clients",
            x_label: "clients",
            x_ticks: edges
                .iter()
                .map(|edge| (at(edge.clients), grouped(edge.clients.into())))
                .collect(),
            bands: Vec::new(),
            lines: vec![
                Line {
                    label: "holds",
                    points: line(|edge| edge.rate_per_s),
                },
                Line {
                    label: "safe, with 30 % to spare",
                    points: line(|edge| edge.safe_rate_per_s),
                },
                Line {
                    label: "does not hold",
                    points: line(|edge| edge.fails_at_per_s),
                },
            ],
            scale: Scale::Logarithmic,
            format: rate_text,
        };
        chart.render()
    }

    fn limits_section(&self) -> Markup {
        let on_rates = self.edges.iter().flat_map(|edge| {
            let clients = edge.clients;
            edge.limits.iter().map(move |limit| (Some(clients), limit))
        });
        let limits: Vec<(Option<u32>, &Limit)> = on_rates
            .chain(self.limits.iter().map(|limit| (None, limit)))
            .collect();
        if limits.is_empty() {
            return html! {};
        }
        html! {
            h2 { "What would give next" }
            p { "What each limit would allow if nothing else gave before it. All of these are computed: " (extrapolated()) "." }
            div.wide { table {
                thead { tr { th { "Limit" } th.n { "Allows" } th { "How" } } }
                tbody { @for (clients, limit) in limits { tr {
                    th scope="row" { (limit.name) @if let Some(clients) = clients { ", " (grouped(clients.into())) " clients" } }
                    td.n { @match limit.bound {
                        Bound::Clients(clients) => { (grouped(clients)) " clients" }
                        Bound::RatePerS(rate) => { (rate_text(rate)) " broadcasts /s" }
                    } }
                    td { (limit.how) }
                } } }
            } }
        }
    }

    fn cost_section(&self) -> Markup {
        let Some(cost) = &self.cost else {
            return html! {};
        };
        html! {
            h2 { "What the broker spends" }
            p { "Fitted to " (cost.steps) " runs by least squares, each with the interval that holds it with 95 % confidence." }
            (cost.table())
        }
    }

    fn scaling_section(&self) -> Markup {
        html! {
            h2 { "Growth over shards" }
            @match &self.scaling {
                Some(scaling) => (scaling.section()),
                None => p { "Not fitted: it takes " code { "--shards-list" } " with three counts of shards whose edges are confirmed." }
            }
        }
    }

    fn settings_section(&self) -> Markup {
        html! {
            h2 { "Suggested settings" }
            p { "For " code { "webrocket serve --config" } "; what belongs to the system is in its comments." }
            div.wide { pre { (settings::suggest(self)) } }
        }
    }

    fn runs_section(&self) -> Markup {
        html! {
            h2 { "Every run" }
            details {
                summary { (self.steps.len()) " runs, in their order" }
                div.wide { table {
                    thead { tr {
                        th.n { "Clients" } th.n { "Broadcasts /s" } th.n { "Deliveries /s" }
                        th.n { "Broker CPU" } th { "Holds" } th { "Why not" }
                    } }
                    tbody { @for step in &self.steps { tr {
                        td.n { (grouped(step.clients.into())) }
                        td.n { (rate_text(step.rate_per_s)) }
                        td.n { (grouped(step.deliveries_per_s.round() as u64)) }
                        td.n { (step.broker_cpu_percent.map_or("–".to_owned(), |it| format!("{it:.0} %"))) }
                        td { (if step.holds { "yes" } else { "no" }) @if step.is_confirmation { ", full length" } }
                        td { @if !step.holds { (step.binding) } }
                    } } }
                } }
            }
        }
    }
}

impl Cost {
    fn table(&self) -> Markup {
        let rows = [
            ("CPU of a delivery", self.cpu_us_per_delivery, "us"),
            (
                "CPU of a client that is only there",
                self.cpu_us_per_client_s,
                "us a second",
            ),
            ("Memory of a client", self.bytes_per_client, "bytes"),
        ];
        html! {
            div.wide { table {
                thead { tr { th { "Cost" } th.n { "Estimate" } th.n { "At least" } th.n { "At most" } th { "Unit" } } }
                tbody {
                    @for (name, estimate, unit) in rows { tr {
                        th scope="row" { (name) }
                        @match estimate {
                            Some(it) => { (cells(it, 2)) }
                            None => { td.n { "too few runs" } td.n { "–" } td.n { "–" } }
                        }
                        td { (unit) }
                    } }
                    @if let Some(far) = &self.memory_at_twice_the_clients { tr {
                        th scope="row" { "Memory with " (grouped(far.clients.into())) " clients " (extrapolated()) }
                        @let mib = |value: f64| value / 1024.0 / 1024.0;
                        (cells(Estimate { value: mib(far.bytes.value), low: mib(far.bytes.low), high: mib(far.bytes.high) }, 0))
                        td { "MiB" }
                    } }
                }
            } }
        }
    }
}

impl Usl {
    fn section(&self) -> Markup {
        let parameters = [
            ("lambda: deliveries a second of one shard", self.lambda, 0),
            ("sigma: share that waits for what is shared", self.sigma, 6),
            ("kappa: share that goes into agreeing", self.kappa, 6),
        ];
        html! {
            p { "The Universal Scalability Law, fitted to " (self.points.len()) " searches." }
            @if self.is_past_cores {
                ul.notes { li { "There were more shards than cores: this shows how shards share cores, not how cores add up." } }
            }
            div.wide { table {
                thead { tr { th { "Figure" } th.n { "Estimate" } th.n { "At least" } th.n { "At most" } } }
                tbody {
                    @for (name, estimate, digits) in parameters {
                        tr { th scope="row" { (name) } (cells(estimate, digits)) }
                    }
                    @for prediction in &self.predictions { tr {
                        th scope="row" { "Deliveries a second of " (prediction.shards) " shards " (extrapolated()) }
                        (cells(prediction.deliveries_per_s, 0))
                    } }
                    @if let Some(peak) = self.peak_shards { tr {
                        th scope="row" { "Shards past which more carry less " (extrapolated()) }
                        td.n { (format!("{peak:.0}")) } td.n { "–" } td.n { "–" }
                    } }
                }
            } }
        }
    }
}

impl TargetPlan {
    fn note(&self) -> Markup {
        let (clients, rate) = (self.target.clients, self.target.rate_per_s);
        let class = if self.machines.is_some() {
            "good"
        } else {
            "bad"
        };
        html! {
            ul class={ "notes " (class) } { li {
                (grouped(clients.into())) " clients with " (rate_text(rate)) " broadcasts a second in all: "
                @match self.machines.zip(self.machines_with_one_to_lose) {
                    Some((machines, more)) => {
                        strong { (machines) " of these machines" } " at their safe rate, "
                        strong { (more) } " so that one may be lost " (extrapolated()) "."
                    }
                    None => { "no rate is confirmed, so there is no number to give." }
                }
            } }
        }
    }
}

fn cells(estimate: Estimate, digits: usize) -> Markup {
    let text = |value: f64| match value.is_finite() {
        true => format!("{value:.digits$}"),
        false => "no bound".to_owned(),
    };
    html! {
        td.n { (text(estimate.value)) } td.n { (text(estimate.low)) } td.n { (text(estimate.high)) }
    }
}

/// For whatever was not measured.
fn extrapolated() -> Markup {
    html! { em { "EXTRAPOLATED" } }
}

fn rate_text(rate: f64) -> String {
    match rate {
        ..10.0 => format!("{rate:.1}"),
        _ => grouped(rate.round() as u64),
    }
}

fn glossary() -> Markup {
    html! {
        h2 { "How to read this" }
        dl {
            dt { "Broadcast, delivery" }
            dd { "One client sends a broadcast; each subscriber of its channel gets a delivery." }
            dt { "Holds" }
            dd { "A run of full length met what has to hold, and the next step up, 25 % more, was run and did not." }
            dt { "Safe" }
            dd { "70 % of that: the rest is for what nobody foresaw." }
            dt { "Gives first" }
            dd { "What was used up when the next step failed. \"cores (shared)\" means that the load generator ran on the same machine and took its part of them." }
        }
    }
}
