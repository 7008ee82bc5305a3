//! Draws the model. Nothing is kept here: what is drawn follows from the model,
//! the time and the size of the screen.

mod figures;
mod help;
mod layout;
mod limits;
mod lines;
mod palette;
mod table;
mod tables;

pub(super) use palette::Palette;

use std::time::Instant;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use self::layout::{Section, place, rows_wanted};
use super::model::{Link, Model, View};

/// Draws everything into `area`.
pub(super) fn draw(model: &Model, now: Instant, palette: Palette, area: Rect, buffer: &mut Buffer) {
    let area = area.intersection(buffer.area);
    let sections: &[Section] = match (&model.picture().stats, model.help) {
        (_, true) => &[Section::Title, Section::Help, Section::Footer],
        (None, false) => &[Section::Title, Section::Nothing, Section::Footer],
        (Some(_), false) => sections(model.view, area.width),
    };
    for (section, place) in place(sections, model, area) {
        draw_section(section, model, now, palette, place, buffer);
        let lasts = matches!(section, Section::Title | Section::Help | Section::Footer);
        if matches!(model.link, Link::Down { .. }) && !lasts {
            buffer.set_style(place, palette.stale());
        }
    }
}

/// One picture of all there is in the overview, so many columns wide.
pub(super) fn plain_text(model: &Model, columns: u16) -> String {
    // A text takes no keys, and one interval makes no curve.
    let sections: Vec<_> = sections(View::Overview, columns)
        .iter()
        .copied()
        .filter(|section| !matches!(section, Section::Curve | Section::Footer))
        .collect();
    let rows = sections
        .iter()
        .map(|section| rows_wanted(*section, model, columns) + 1)
        .sum();
    let area = Rect::new(0, 0, columns, rows);
    let mut buffer = Buffer::empty(area);
    let (now, palette) = (Instant::now(), Palette::plain());
    for (section, place) in place(&sections, model, area) {
        draw_section(section, model, now, palette, place, &mut buffer);
    }
    text_of(&buffer)
}

/// The characters of a buffer, line by line, without the blanks and lines that
/// end it.
pub(super) fn text_of(buffer: &Buffer) -> String {
    let area = buffer.area;
    let mut text = String::new();
    for y in area.top()..area.bottom() {
        let line: String = (area.left()..area.right())
            .map(|x| buffer[(x, y)].symbol())
            .collect();
        text.push_str(line.trim_end());
        text.push('\n');
    }
    format!("{}\n", text.trim_end())
}

/// From top to bottom.
fn sections(view: View, columns: u16) -> &'static [Section] {
    use Section::*;
    match view {
        View::Overview if columns >= WIDE_COLUMNS => &[
            Title, Totals, Curve, Latency, Binding, Slow, Shards, Lists, Limits, Footer,
        ],
        View::Overview => &[
            Title, Totals, Curve, Latency, Binding, Slow, Shards, Channels, Vhosts, Limits, Footer,
        ],
        View::Vhosts => &[Title, Totals, AllVhosts, Footer],
        View::Channels => &[Title, Totals, AllChannels, Footer],
        View::Headroom => &[Title, Binding, Slow, AllLimits, Footer],
    }
}

/// From here channels and vhosts stand side by side.
const WIDE_COLUMNS: u16 = 110;

fn draw_section(
    section: Section,
    model: &Model,
    now: Instant,
    palette: Palette,
    area: Rect,
    buffer: &mut Buffer,
) {
    match section {
        Section::Title => lines::title(model, now, palette, area, buffer),
        Section::Totals => lines::totals(model, palette, area, buffer),
        Section::Curve => lines::curve(model, palette, area, buffer),
        Section::Latency => lines::latency(model, palette, area, buffer),
        Section::Binding => limits::binding(model, palette, area, buffer),
        Section::Slow => lines::slow(model, palette, area, buffer),
        Section::Shards => tables::shards(model).render(0, palette, area, buffer),
        Section::Channels => tables::channels(model).render(0, palette, area, buffer),
        Section::Vhosts => tables::vhosts(model).render(0, palette, area, buffer),
        Section::Lists => {
            let [left, right] = layout::halves(area);
            tables::channels(model).render(0, palette, left, buffer);
            tables::vhosts(model).render(0, palette, right, buffer);
        }
        Section::Limits => tables::limits(model).render(0, palette, area, buffer),
        Section::AllChannels => {
            tables::channels(model).render(model.scroll, palette, area, buffer);
        }
        Section::AllVhosts => {
            tables::vhosts(model).render(model.scroll, palette, area, buffer);
        }
        Section::AllLimits => limits::all(model, palette, area, buffer),
        Section::Help => help::render(palette, area, buffer),
        Section::Nothing => lines::nothing(model, area, buffer),
        Section::Footer => lines::footer(model, palette, area, buffer),
    }
}
