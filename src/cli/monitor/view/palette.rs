use ratatui::style::{Color, Modifier, Style};

/// How things look. Only the terminal's own two colours are ever a ground, and
/// only its six hues a text, so that it can be read on dark and on light; what a
/// colour says, a word or a figure says as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli::monitor) struct Palette {
    coloured: bool,
}

impl Palette {
    /// Without colour where `NO_COLOR` is set to anything (no-color.org).
    pub(in crate::cli::monitor) fn for_terminal() -> Self {
        let forbidden = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        if forbidden {
            Self::plain()
        } else {
            Self::coloured()
        }
    }

    pub(in crate::cli::monitor) fn coloured() -> Self {
        Self { coloured: true }
    }

    pub(in crate::cli::monitor) fn plain() -> Self {
        Self { coloured: false }
    }

    /// The first and the last line.
    pub(super) fn edge(self) -> Style {
        Style::new().add_modifier(Modifier::REVERSED)
    }

    /// The head of a table.
    pub(super) fn head(self) -> Style {
        Style::new().add_modifier(Modifier::BOLD | Modifier::UNDERLINED)
    }

    /// What a figure is.
    pub(super) fn label(self) -> Style {
        Style::new()
    }

    /// The figure.
    pub(super) fn figure(self) -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }

    /// The curve.
    pub(super) fn curve(self) -> Style {
        self.hue(Color::Cyan)
    }

    /// What is said beside.
    pub(super) fn note(self) -> Style {
        Style::new().add_modifier(Modifier::DIM)
    }

    /// How much of a limit is used, 0 to 1.
    pub(super) fn used(self, share: f64) -> Style {
        if share < TIGHT_SHARE {
            self.hue(Color::Green)
        } else if share < BINDING_SHARE {
            self.hue(Color::Yellow)
        } else {
            self.alarm()
        }
    }

    /// What asks for somebody.
    pub(super) fn alarm(self) -> Style {
        self.hue(Color::Red).add_modifier(Modifier::BOLD)
    }

    /// What is no longer true; laid over what is drawn.
    pub(super) fn stale(self) -> Style {
        Style::new()
            .fg(Color::Reset)
            .remove_modifier(Modifier::BOLD)
            .add_modifier(Modifier::DIM)
    }

    fn hue(self, hue: Color) -> Style {
        if self.coloured {
            Style::new().fg(hue)
        } else {
            Style::new()
        }
    }
}

/// From here a limit is worth a thought.
const TIGHT_SHARE: f64 = 0.7;

/// From here it is about to bind.
const BINDING_SHARE: f64 = 0.9;
