//! A table that leaves out what it has no room for: columns by their rank, rows
//! at its end, which its head then tells.

use ratatui::buffer::Buffer;
use ratatui::layout::{Constraint, Rect};
use ratatui::style::Style;
use ratatui::text::{Line, Text};
use ratatui::widgets::{Row, Widget};

use super::figures::{PERCENT_COLUMNS, bar, percent};
use super::palette::Palette;

/// One column.
pub(super) struct Column {
    pub(super) title: &'static str,
    /// Columns of the screen; for a growing one the fewest.
    pub(super) width: u16,
    /// The share of what is left over that it takes; 0 for one that stays as it is.
    pub(super) grows: u16,
    /// Those of the highest are left out first.
    pub(super) rank: u8,
}

/// What stands in a row's column.
pub(super) enum Cell {
    /// At the left.
    Name(String),
    /// At the right.
    Figure(String),
    /// A share, 0 to 1, as a bar and a percentage.
    Load(f64),
}

pub(super) struct Table {
    pub(super) columns: Vec<Column>,
    pub(super) rows: Vec<Vec<Cell>>,
    /// What stands in place of no rows.
    pub(super) empty: &'static str,
}

impl Table {
    /// Draws the rows from `first` on, as many as there is room for.
    pub(super) fn render(self, first: usize, palette: Palette, area: Rect, buffer: &mut Buffer) {
        let shown = self.shown(area.width);
        let widths = self.widths(&shown, area.width);
        let len = self.rows.len();
        let first = first.min(len.saturating_sub(1));
        let room = usize::from(area.height.saturating_sub(1));
        let end = len.min(first + room);
        let head = shown.iter().map(|at| self.head(*at, first, end));
        let head = Row::new(head).style(palette.head());
        let rows = self.rows[first..end].iter().map(|row| {
            let cells = shown.iter().zip(&widths).map(|(at, width)| {
                row.get(*at)
                    .map_or(Text::default(), |cell| cell.text(*width, palette))
            });
            Row::new(cells)
        });
        let constraints = widths.iter().map(|width| Constraint::Length(*width));
        let table = ratatui::widgets::Table::new(rows, constraints).header(head);
        Widget::render(table, area, buffer);
        if len == 0 && room > 0 {
            let below = Rect::new(area.x, area.y + 1, area.width, 1);
            Line::styled(self.empty, palette.note()).render(below, buffer);
        }
    }

    /// The columns that there is room for, from left to right.
    fn shown(&self, room: u16) -> Vec<usize> {
        let mut ranked: Vec<usize> = (0..self.columns.len()).collect();
        ranked.sort_by_key(|at| self.columns[*at].rank);
        let mut used = 0;
        let mut shown = Vec::new();
        for at in ranked {
            let width = self.columns[at].width + u16::from(used > 0);
            // The first is shown, cut, even on a screen that is no wider.
            if used == 0 || used + width <= room {
                used += width;
                shown.push(at);
            } else {
                // Not a later one in its place: what is shown follows the rank.
                break;
            }
        }
        shown.sort_unstable();
        shown
    }

    fn widths(&self, shown: &[usize], room: u16) -> Vec<u16> {
        let columns = || shown.iter().map(|at| &self.columns[*at]);
        let used = columns()
            .map(|column| column.width + 1)
            .sum::<u16>()
            .saturating_sub(1);
        let mut left = room.saturating_sub(used);
        let mut grows: u16 = columns().map(|column| column.grows).sum();
        columns()
            .map(|column| {
                // The last that grows takes the rest of the division as well.
                let more = (left * column.grows).checked_div(grows).unwrap_or(0);
                left -= more;
                grows -= column.grows;
                column.width + more
            })
            .collect()
    }

    /// A column's head; the first that grows has room to tell which rows are
    /// shown, if not all.
    fn head(&self, at: usize, first: usize, end: usize) -> Text<'static> {
        let title = self.columns[at].title;
        let is_figure = self.rows.first().and_then(|row| row.get(at));
        let len = self.rows.len();
        let tells = self.columns.iter().position(|column| column.grows > 0);
        if tells == Some(at) && first < end && end - first < len {
            Text::raw(format!("{title} {}-{end} of {len}", first + 1))
        } else if matches!(is_figure, Some(Cell::Figure(_))) {
            Text::raw(title).right_aligned()
        } else {
            Text::raw(title)
        }
    }
}

impl Cell {
    fn text(&self, width: u16, palette: Palette) -> Text<'static> {
        match self {
            Self::Name(name) => Text::raw(name.clone()),
            Self::Figure(figure) => Text::raw(figure.clone()).right_aligned(),
            Self::Load(share) => load(*share, width, palette.used(*share)),
        }
    }
}

fn load(share: f64, width: u16, style: Style) -> Text<'static> {
    let bar = bar(
        share,
        usize::from(width).saturating_sub(PERCENT_COLUMNS + 1),
    );
    let percent = percent(share);
    let text = if bar.is_empty() {
        format!("{percent:>PERCENT_COLUMNS$}")
    } else {
        format!("{bar} {percent:>PERCENT_COLUMNS$}")
    };
    Text::styled(text, style)
}
