//! All that is no table: the title, the totals, the curve, latency, the keys.

use std::time::Instant;

use ratatui::buffer::Buffer;
use ratatui::layout::{Alignment, Constraint, Layout, Rect};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Paragraph, Sparkline, Widget, Wrap};

use super::figures::{UNKNOWN, age, bound, bytes, count, rate, uptime};
use super::palette::Palette;
use crate::cli::monitor::model::{Link, Model, View};
use crate::cli::monitor::rates::ShardRates;

/// Which node this is, and whether it answers.
pub(super) fn title(
    model: &Model,
    now: Instant,
    palette: Palette,
    area: Rect,
    buffer: &mut Buffer,
) {
    let (name, up) = match &model.picture().stats {
        Some(stats) => (
            format!("WebRocket {} on {}", stats.version, stats.node),
            format!(", up {}", uptime(stats.uptime_ms)),
        ),
        None => (format!("WebRocket on {}", model.addr), String::new()),
    };
    let columns = |text: &str| text.chars().count();
    let fits = |node: &str, state: &str| columns(node) + columns(state) < usize::from(area.width);
    // Narrow: the state counts for more than the uptime, and that for more than
    // the address.
    let mut node = format!("{name}{up}");
    let mut state = state(model, now, true);
    if !fits(&node, &state) {
        state = self::state(model, now, false);
    }
    if !fits(&node, &state) {
        node = name;
    }
    Line::raw(node).render(area, buffer);
    let style = match model.link {
        Link::Down { .. } => palette.alarm(),
        Link::Waiting | Link::Up => palette.label(),
    };
    let width = u16::try_from(columns(&state) + 1).unwrap_or(u16::MAX);
    let [_, right] =
        Layout::horizontal([Constraint::Fill(1), Constraint::Length(width)]).areas(area);
    Line::styled(format!(" {state}"), style).render(right, buffer);
    buffer.set_style(area, palette.edge());
}

/// What is between the monitor and the node; the address where there is room.
fn state(model: &Model, now: Instant, with_address: bool) -> String {
    let link = match &model.link {
        Link::Waiting => "connecting".into(),
        Link::Up if model.picture().restarted => "connected, the node began anew".into(),
        Link::Up if with_address => format!("connected to {}", model.addr),
        Link::Up => "connected".into(),
        Link::Down { since, reason } => {
            let silent = age(now.saturating_duration_since(*since));
            format!("NO ANSWER for {silent}: {reason}")
        }
    };
    if model.is_paused() {
        format!("PAUSED, {link}")
    } else {
        link
    }
}

/// Sums over all shards.
pub(super) fn totals(model: &Model, palette: Palette, area: Rect, buffer: &mut Buffer) {
    let picture = model.picture();
    let Some(stats) = &picture.stats else {
        return;
    };
    let rates = picture.rates.as_ref().map(|rates| &rates.total);
    let known = |text: fn(&ShardRates) -> String| rates.map_or(UNKNOWN.to_owned(), text);
    let frontends = stats.shards.iter().map(|shard| shard.frontends).sum();
    let backends = stats.shards.iter().map(|shard| shard.backends).sum();
    let figures: [(&str, String); TOTALS] = [
        ("Frontends", count(frontends)),
        ("Backends", count(backends)),
        (
            "Broadcasts",
            known(|rates| format!("{}/s", rate(rates.broadcasts))),
        ),
        (
            "Deliveries",
            known(|rates| format!("{}/s", rate(rates.deliveries))),
        ),
        (
            "Triggers",
            known(|rates| format!("{}/s", rate(rates.triggers))),
        ),
        (
            "Frames/send",
            known(|rates| rates.joined().map_or(UNKNOWN.into(), rate)),
        ),
        ("In", known(|rates| format!("{}/s", bytes(rates.received)))),
        ("Out", known(|rates| format!("{}/s", bytes(rates.sent)))),
    ];
    let per_row = totals_per_row(area.width);
    let lines: Vec<Line> = figures
        .chunks(per_row)
        .map(|row| {
            let cells = row.iter().flat_map(|(label, figure)| {
                let used = label.chars().count() + 1 + figure.chars().count();
                let rest = (TOTAL_COLUMNS as usize).saturating_sub(used).max(1);
                [
                    Span::styled(format!("{label} "), palette.label()),
                    Span::styled(figure.clone(), palette.figure()),
                    Span::raw(" ".repeat(rest)),
                ]
            });
            Line::from_iter(cells)
        })
        .collect();
    Paragraph::new(lines).render(area, buffer);
}

/// Rows that the totals take.
pub(super) fn totals_rows(columns: u16) -> u16 {
    TOTALS.div_ceil(totals_per_row(columns)) as u16
}

/// As many as there is room for, in rows of the same length.
fn totals_per_row(columns: u16) -> usize {
    let fit = usize::from(columns / TOTAL_COLUMNS).clamp(1, TOTALS);
    TOTALS.div_ceil(TOTALS.div_ceil(fit))
}

/// Figures in the totals.
const TOTALS: usize = 8;

/// Columns of one of them: `Deliveries 1.23M/s` and a gap.
const TOTAL_COLUMNS: u16 = 20;

/// Deliveries a second, interval by interval, the latest at the right.
pub(super) fn curve(model: &Model, palette: Palette, area: Rect, buffer: &mut Buffer) {
    let [left, right] =
        Layout::horizontal([Constraint::Length(TOTAL_COLUMNS), Constraint::Fill(1)]).areas(area);
    let samples = &model.picture().deliveries;
    let columns = usize::from(right.width);
    let seen = || {
        samples
            .iter()
            .skip(samples.len().saturating_sub(columns))
            .copied()
    };
    let peak = seen().flatten().max().unwrap_or(0);
    let labels = vec![
        Line::styled("Deliveries/s", palette.label()),
        Line::styled(format!("peak {}", count(peak)), palette.note()),
    ];
    Paragraph::new(labels).render(left, buffer);
    let absent = std::iter::repeat_n(None, columns.saturating_sub(samples.len()));
    Sparkline::default()
        .data(absent.chain(seen()))
        // Without any the scale is as good as another.
        .max(peak.max(1))
        .style(palette.curve())
        .render(right, buffer);
}

/// Percentiles of the last interval.
pub(super) fn latency(model: &Model, palette: Palette, area: Rect, buffer: &mut Buffer) {
    let latency = model.picture().rates.as_ref().map(|rates| &rates.latency);
    let gap = if area.width < FULL_COLUMNS { " " } else { "  " };
    let mut spans = vec![Span::styled("Latency", palette.label())];
    for (name, share) in PERCENTILES {
        let text = bound(latency.and_then(|latency| latency.percentile(share)));
        spans.push(Span::styled(format!("{gap}{name} "), palette.label()));
        spans.push(Span::styled(text, palette.figure()));
    }
    let note = Span::styled(format!("{gap}bucket bounds"), palette.note());
    with_note(spans, note, area.width).render(area, buffer);
}

/// As they are named, and the share of broadcasts done by then.
const PERCENTILES: [(&str, f64); 4] = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("max", 1.0)];

/// Connections that do not keep up.
pub(super) fn slow(model: &Model, palette: Palette, area: Rect, buffer: &mut Buffer) {
    let picture = model.picture();
    let Some(stats) = &picture.stats else {
        return;
    };
    let queued: u64 = stats.shards.iter().map(|shard| shard.outbox_bytes).sum();
    let evicted = stats.shards.iter().map(|shard| shard.evicted).sum();
    let evicting = picture.rates.as_ref().map(|rates| rates.total.evicted);
    let rate = evicting.map_or(UNKNOWN.into(), rate);
    let style = if evicting.is_some_and(|evicting| evicting > 0.0) {
        palette.alarm()
    } else {
        palette.figure()
    };
    let spans = vec![
        Span::styled("Slow consumers  queued ", palette.label()),
        Span::styled(bytes(queued as f64), palette.figure()),
        Span::styled("  evicted ", palette.label()),
        Span::styled(format!("{rate}/s"), style),
    ];
    let note = format!("  {} since start", count(evicted));
    let note = Span::styled(note, palette.note());
    with_note(spans, note, area.width).render(area, buffer);
}

/// A line and what is said beside it, where there is room for all of that.
pub(super) fn with_note<'a>(spans: Vec<Span<'a>>, note: Span<'a>, columns: u16) -> Line<'a> {
    let mut line = Line::from(spans);
    if line.width() + note.width() <= usize::from(columns) {
        line.push_span(note);
    }
    line
}

/// Instead of a node that was never seen.
pub(super) fn nothing(model: &Model, area: Rect, buffer: &mut Buffer) {
    let text = match &model.link {
        Link::Waiting | Link::Up => format!("Waiting for {}.", model.addr),
        Link::Down { reason, .. } => format!(
            "{} does not answer: {reason}.\n\nTrying on; q ends this.",
            model.addr
        ),
    };
    Paragraph::new(format!("\n{text}"))
        .alignment(Alignment::Center)
        .wrap(Wrap { trim: true })
        .render(area, buffer);
}

/// The keys.
pub(super) fn footer(model: &Model, palette: Palette, area: Rect, buffer: &mut Buffer) {
    let back = |view: View, name: &'static str| {
        if model.view == view { "back" } else { name }
    };
    let pause = if model.is_paused() { "go on" } else { "pause" };
    let (vhosts, channels, headroom) = (
        back(View::Vhosts, "vhosts"),
        back(View::Channels, "channels"),
        back(View::Headroom, "headroom"),
    );
    let keys = if area.width < FULL_COLUMNS {
        format!("q quit ? help p {pause} s sort v {vhosts} c {channels} h {headroom}")
    } else {
        let order = model.order.as_str();
        format!(
            "q quit  ? help  p {pause}  s sort: {order}  v {vhosts}  c {channels}  h {headroom}"
        )
    };
    Line::raw(keys).render(area, buffer);
    buffer.set_style(area, palette.edge());
}

/// Below it lines are set closer.
const FULL_COLUMNS: u16 = 80;
