use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Paragraph, Widget, Wrap};

use super::palette::Palette;

/// The keys and what the figures mean.
pub(super) fn render(palette: Palette, area: Rect, buffer: &mut Buffer) {
    let lines: Vec<Line> = TEXT
        .iter()
        .map(|(name, meaning)| {
            Line::from(vec![
                Span::styled(format!("{name:<NAME_COLUMNS$}"), palette.figure()),
                Span::raw(*meaning),
            ])
        })
        .collect();
    Paragraph::new(lines)
        .wrap(Wrap { trim: false })
        .render(area, buffer);
}

const NAME_COLUMNS: usize = 13;

/// Short enough for 80 columns and 22 rows.
const TEXT: &[(&str, &str)] = &[
    ("q, Esc", "quit"),
    (
        "p, Space",
        "hold the picture; the node is looked at all the same",
    ),
    ("s", "sort: usual, busiest, largest, by name"),
    (
        "v c h",
        "all vhosts, all top channels, all limits; again to come back",
    ),
    (
        "Up, Down",
        "move in a long list; also Page Up, Page Down, Home",
    ),
    ("", ""),
    (
        "Frontends",
        "browsers connected; backends: clients and workers",
    ),
    (
        "Broadcasts",
        "accepted a second; deliveries: frames given to subscribers",
    ),
    (
        "Frames/send",
        "frames that one send to a browser carried on average: more",
    ),
    ("", "under load, when deliveries join"),
    (
        "Latency",
        "from a broadcast accepted to its last subscriber on a shard",
    ),
    (
        "",
        "written, in the last interval. The node counts in buckets:",
    ),
    (
        "",
        "≤1.02 ms says that it was in the bucket that ends there",
    ),
    ("LOAD", "share of the time that the shard's core was awake"),
    ("RING", "envelopes from other shards that wait in its rings"),
    (
        "OUTBOX",
        "bytes that wait for consumers; past its bound one is evicted",
    ),
    ("~DELIVERIES", "broadcasts times the subscribers of now"),
    ("Binds first", "the limit that is nearest to being used up"),
    ("-", "not known before two looks"),
];
