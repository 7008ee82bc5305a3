//! What clients and the backend did besides broadcasting.

use maud::{Markup, html};

use super::sections::distributions;
use crate::report::text::{grouped, time};
use crate::report::{Distribution, Report};

/// A count, its name, and whether it should be 0.
type Row = (&'static str, u64, bool);

impl Report {
    pub(super) fn roles_section(&self) -> Markup {
        let (rows, times) = (self.role_rows(), self.role_times());
        if rows.is_empty() && times.is_empty() {
            return html! {};
        }
        html! {
            h2 { "What else was done" }
            div.wide { table { tbody { @for (name, count, should_be_none) in rows { tr {
                th scope="row" { (name) }
                td.n { (grouped(count)) @if should_be_none && count > 0 { " (should be none)" } }
            } } } } }
            @if let Some(seconds) = self.recovered_s() {
                p { "After the storm all were back within " (time(seconds * 1e6)) "." }
            }
            @if !times.is_empty() { (distributions(times.into_iter())) }
        }
    }

    fn recovered_s(&self) -> Option<f64> {
        self.comebacks.as_ref()?.storm.as_ref()?.recovered_s
    }

    fn role_rows(&self) -> Vec<Row> {
        let mut rows: Vec<Row> = Vec::new();
        if let Some(triggers) = &self.triggers {
            rows.extend([
                ("Triggers sent", triggers.sent, false),
                ("Triggers taken by workers", triggers.taken, false),
                ("Triggers missing", triggers.missing, true),
                ("Triggers duplicated", triggers.duplicated, true),
            ]);
            if let Some(replies) = &triggers.replies {
                rows.extend([
                    ("Replies received", replies.received, false),
                    ("Replies missing", replies.missing, true),
                ]);
            }
        }
        if let Some(backend) = &self.backend {
            let kinds = [
                ("Backend broadcasts done", &backend.broadcasts),
                ("Channels opened and closed", &backend.channels),
                ("Access tokens handed out", &backend.tokens),
            ];
            let kinds = kinds.into_iter();
            rows.extend(kinds.filter_map(|(name, it)| Some((name, it.as_ref()?.done, false))));
        }
        if let Some(presence) = &self.presence {
            rows.push(("Members seen", presence.seen, false));
            rows.extend(
                presence
                    .missing
                    .map(|count| ("Members missing", count, true)),
            );
            rows.push(("Members seen twice", presence.doubled, true));
        }
        if let Some(comebacks) = &self.comebacks {
            let hit = comebacks.storm.as_ref().map(|storm| storm.hit);
            rows.extend([
                ("Disconnected on purpose", comebacks.churned, false),
                ("Reset by the storm", hit.unwrap_or(0), false),
                ("Came back", comebacks.back, false),
                ("Never came back", comebacks.missing, true),
            ]);
        }
        if let Some(slow) = &self.slow {
            let ended = slow.ended_by_cause.values().sum();
            rows.extend([
                ("Slow clients", slow.subscribed, false),
                ("Slow clients that the broker parted with", ended, false),
            ]);
        }
        rows
    }

    fn role_times(&self) -> Vec<(&'static str, &Distribution)> {
        let triggers = self.triggers.as_ref();
        let replies = triggers.and_then(|it| it.replies.as_ref());
        let backend = self.backend.as_ref();
        let joining = self.joining.as_ref();
        let times = [
            (
                "trigger to worker",
                triggers.and_then(|it| it.time.as_ref()),
            ),
            ("trigger to reply", replies.and_then(|it| it.time.as_ref())),
            (
                "backend broadcast",
                backend.and_then(|it| it.broadcasts.as_ref()?.time.as_ref()),
            ),
            (
                "channel request",
                backend.and_then(|it| it.channels.as_ref()?.time.as_ref()),
            ),
            (
                "token request",
                backend.and_then(|it| it.tokens.as_ref()?.time.as_ref()),
            ),
            (
                "token of a client",
                joining.and_then(|it| it.token.as_ref()),
            ),
            (
                "authenticate",
                joining.and_then(|it| it.authenticate.as_ref()),
            ),
            (
                "coming back",
                self.comebacks.as_ref().and_then(|it| it.time.as_ref()),
            ),
        ];
        let times = times.into_iter();
        times
            .filter_map(|(name, time)| Some((name, time?)))
            .collect()
    }
}
