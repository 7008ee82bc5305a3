//! Who gets which rows of the screen.

use ratatui::layout::{Constraint, Layout, Rect};

use super::lines;
use crate::cli::monitor::model::Model;
use crate::control::stats::Stats;

/// A part of the screen, as wide as it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Section {
    Title,
    Totals,
    Curve,
    Latency,
    Binding,
    Slow,
    Shards,
    Channels,
    Vhosts,
    /// Channels and vhosts side by side.
    Lists,
    Limits,
    AllChannels,
    AllVhosts,
    AllLimits,
    Help,
    /// No look is back yet.
    Nothing,
    Footer,
}

impl Section {
    /// Whom a small screen has room for first.
    fn rank(self) -> u8 {
        match self {
            Self::Title => 0,
            Self::Totals | Self::Help | Self::Nothing => 1,
            Self::Binding => 2,
            Self::Latency => 3,
            Self::Shards | Self::AllChannels | Self::AllVhosts | Self::AllLimits => 4,
            Self::Footer => 5,
            Self::Slow => 6,
            Self::Curve => 7,
            Self::Lists | Self::Channels => 8,
            Self::Vhosts => 9,
            Self::Limits => 10,
        }
    }

    /// A table, with a blank row before it where there is room.
    fn is_table(self) -> bool {
        matches!(
            self,
            Self::Shards
                | Self::Channels
                | Self::Vhosts
                | Self::Lists
                | Self::Limits
                | Self::AllChannels
                | Self::AllVhosts
                | Self::AllLimits
        )
    }

    /// Rows without which it is not shown at all.
    fn rows_min(self, wanted: u16) -> u16 {
        if self == Self::Shards {
            // A head and a few rows: the usual machine's shards, and some of a large one's.
            wanted.min(5)
        } else if self.is_table() {
            // A head and one row.
            wanted.min(2)
        } else if matches!(self, Self::Help | Self::Nothing) {
            wanted.min(1)
        } else {
            wanted
        }
    }
}

/// Rows with which a section shows all it has to show.
pub(super) fn rows_wanted(section: Section, model: &Model, columns: u16) -> u16 {
    let of = |len: fn(&Stats) -> usize| {
        let stats = model.picture().stats.as_ref();
        let rows = stats.map_or(0, len);
        // An empty table still says that it is empty.
        u16::try_from(rows.max(1) + 1).unwrap_or(u16::MAX)
    };
    match section {
        Section::Title | Section::Latency | Section::Binding | Section::Slow | Section::Footer => 1,
        Section::Totals => lines::totals_rows(columns),
        Section::Curve => 2,
        Section::Shards => of(|stats| stats.shards.len()),
        Section::Channels => of(|stats| stats.top_channels.len().min(LIST_ROWS)),
        Section::Vhosts => of(|stats| stats.vhosts.len().min(LIST_ROWS)),
        Section::Lists => of(|stats| {
            stats
                .top_channels
                .len()
                .max(stats.vhosts.len())
                .min(LIST_ROWS)
        }),
        Section::Limits => of(|stats| stats.headroom.len()),
        Section::AllChannels | Section::AllVhosts | Section::AllLimits => u16::MAX,
        Section::Help | Section::Nothing => u16::MAX,
    }
}

/// Rows of the overview's lists; their own views have all.
const LIST_ROWS: usize = 10;

/// Gives every section its place, from top to bottom; those that find no room
/// are left out.
pub(super) fn place(sections: &[Section], model: &Model, area: Rect) -> Vec<(Section, Rect)> {
    let wanted: Vec<u16> = sections
        .iter()
        .map(|section| rows_wanted(*section, model, area.width))
        .collect();
    let mut given = vec![0u16; sections.len()];
    let mut left = area.height;
    // First what each cannot do without, by rank.
    let mut ranked: Vec<usize> = (0..sections.len()).collect();
    ranked.sort_by_key(|at| sections[*at].rank());
    for at in &ranked {
        let min = sections[*at].rows_min(wanted[*at]);
        if min <= left {
            given[*at] = min;
            left -= min;
        }
    }
    // Then a row each in turn, as long as somebody wants one.
    let mut some_want = true;
    while left > 0 && some_want {
        some_want = false;
        for at in &ranked {
            if left > 0 && given[*at] > 0 && given[*at] < wanted[*at] {
                given[*at] += 1;
                left -= 1;
                some_want = true;
            }
        }
    }
    let mut y = area.y;
    let mut places = Vec::with_capacity(sections.len());
    for (at, section) in sections.iter().enumerate() {
        if given[at] == 0 {
            continue;
        }
        // What nobody wants keeps tables apart, and the last line at the end.
        if section.is_table() && left > 0 {
            y += 1;
            left -= 1;
        }
        if *section == Section::Footer {
            y += left;
        }
        places.push((*section, Rect::new(area.x, y, area.width, given[at])));
        y += given[at];
    }
    places
}

/// Left and right of a gap.
pub(super) fn halves(area: Rect) -> [Rect; 2] {
    Layout::horizontal([Constraint::Fill(1), Constraint::Fill(1)])
        .spacing(HALVES_GAP)
        .areas(area)
}

/// Columns between two tables side by side.
const HALVES_GAP: u16 = 3;
