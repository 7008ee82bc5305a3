//! How far the node's limits are, in plain words.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Paragraph, Widget, Wrap};

use super::figures::{PERCENT_COLUMNS, UNKNOWN, bar, percent};
use super::lines::with_note;
use super::palette::Palette;
use super::tables::used_of;
use crate::cli::monitor::model::Model;
use crate::control::stats::Headroom;

/// The limit that binds first, and the next.
pub(super) fn binding(model: &Model, palette: Palette, area: Rect, buffer: &mut Buffer) {
    let stats = model.picture().stats.iter();
    let mut limits = stats
        .flat_map(|stats| &stats.headroom)
        .map(|limit| (plain_name(&limit.limit), used_share(limit)));
    let mut spans = vec![Span::styled("Binds first  ", palette.label())];
    match limits.next() {
        Some((name, share)) => {
            let used = format!(", {} used", percent(share));
            spans.push(Span::styled(name.to_owned(), palette.figure()));
            spans.push(Span::styled(used, palette.used(share)));
        }
        None => spans.push(Span::raw(UNKNOWN)),
    }
    let next = limits.next();
    let next = next.map(|(name, share)| format!("; then {name}, {}", percent(share)));
    let note = Span::styled(next.unwrap_or_default(), palette.note());
    with_note(spans, note, area.width).render(area, buffer);
}

/// Every limit with what it counts and what happens at it.
pub(super) fn all(model: &Model, palette: Palette, area: Rect, buffer: &mut Buffer) {
    let limits = model
        .picture()
        .stats
        .iter()
        .flat_map(|stats| &stats.headroom);
    let mut lines = Vec::new();
    for limit in limits.skip(model.scroll) {
        let share = used_share(limit);
        let name = plain_name(&limit.limit);
        let (bar, percent) = (bar(share, BAR_COLUMNS), percent(share));
        let used = format!("{bar} {percent:>PERCENT_COLUMNS$}");
        lines.push(Line::from(vec![
            Span::styled(format!("{name:<NAME_COLUMNS$} "), palette.figure()),
            Span::styled(used, palette.used(share)),
            Span::raw(format!("  {}", used_of(limit))),
        ]));
        lines.push(Line::raw(format!("  {}", limit.source)));
        if let Some(consequence) = consequence(&limit.limit) {
            lines.push(Line::raw(format!("  at the limit {consequence}")));
        }
    }
    if lines.is_empty() {
        lines.push(Line::styled("the node tells no limits", palette.note()));
    }
    Paragraph::new(lines)
        .wrap(Wrap { trim: false })
        .render(area, buffer);
}

/// Columns of a limit's name: the longest of [`plain_name`].
const NAME_COLUMNS: usize = 27;

const BAR_COLUMNS: usize = 14;

/// How much of a limit is used, 0 to 1 and beyond; where there is nothing, all of it.
pub(super) fn used_share(limit: &Headroom) -> f64 {
    if limit.max > 0.0 {
        limit.used / limit.max
    } else {
        1.0
    }
}

/// The limit as a person would name it.
pub(super) fn plain_name(limit: &str) -> &str {
    match limit {
        "descriptors" => "file descriptors",
        "core time" => "core of the busiest shard",
        "outboxes" => "fullest outbox",
        "connections" => "connections allowed",
        "ports" => "ports of peers on this host",
        other => other,
    }
}

/// What happens when it is reached; none for a limit of a later node.
fn consequence(limit: &str) -> Option<&'static str> {
    Some(match limit {
        "descriptors" => "new connections wait until others close",
        "memory" => "the kernel ends the node",
        "core time" => "everything on that shard takes longer",
        "outboxes" => "its slow consumer is evicted",
        "outbox memory" => "the slowest consumers are evicted",
        "unfinished memory" => "the largest half-sent messages are refused",
        "connections" => "new connections are refused",
        "ports" => "they cannot connect any more",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_limit_has_a_name_that_fits_and_a_consequence() {
        for limit in [
            "descriptors",
            "memory",
            "core time",
            "outboxes",
            "outbox memory",
            "unfinished memory",
            "connections",
            "ports",
        ] {
            assert!(plain_name(limit).len() <= NAME_COLUMNS, "{limit}");
            assert!(consequence(limit).is_some(), "{limit}");
        }
        // One of a later node is shown as it is named.
        assert_eq!(plain_name("disk"), "disk");
        assert_eq!(consequence("disk"), None);
    }

    #[test]
    fn a_limit_of_nothing_is_used_up() {
        let share = |used, max| {
            used_share(&Headroom {
                used,
                max,
                ..Headroom::default()
            })
        };
        assert_eq!(share(0.0, 0.0), 1.0);
        assert_eq!(share(1.0, 4.0), 0.25);
        assert_eq!(share(5.0, 4.0), 1.25);
    }
}
