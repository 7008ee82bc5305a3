//! What the monitor knows and what it shows of it. Changed by looks and keys
//! alone; drawn by `view`.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::rates::Rates;
use crate::control::stats::Stats;
use crate::limits::{MONITOR_SAMPLES_MAX, MONITOR_TIMEOUT};

/// Everything that is on the screen.
pub(super) struct Model {
    /// The node's admin address.
    pub(super) addr: String,
    /// Whether the node answers.
    pub(super) link: Link,
    pub(super) view: View,
    pub(super) order: Order,
    pub(super) help: bool,
    /// First row shown of the view's one long table.
    pub(super) scroll: usize,
    latest: Picture,
    /// What is shown while paused; the latest goes on behind it.
    frozen: Option<Picture>,
    /// When the latest look came.
    looked: Option<Instant>,
}

/// The node, as far as it is known.
#[derive(Clone, Default)]
pub(super) struct Picture {
    /// None before the first look.
    pub(super) stats: Option<Stats>,
    /// None before the second look of the node's life.
    pub(super) rates: Option<Rates>,
    /// Deliveries a second of each interval, the latest last; `None` where none
    /// is known.
    pub(super) deliveries: VecDeque<Option<u64>>,
    /// The node was seen to begin anew, less than [`RESTART_TOLD_MS`] ago.
    pub(super) restarted: bool,
}

/// Whether the node answers.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Link {
    /// No look is back yet.
    Waiting,
    /// The last look succeeded.
    Up,
    /// Looks fail since then.
    Down { since: Instant, reason: String },
}

/// What fills the screen below the totals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum View {
    Overview,
    Vhosts,
    Channels,
    Headroom,
}

/// The order of a table's rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// Shards by number, the rest the busiest first.
    Usual,
    /// The busiest first.
    Busiest,
    /// Who has most frontends or subscribers first.
    Largest,
    /// By name or number.
    Name,
}

/// Whether the monitor goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flow {
    Continue,
    Quit,
}

impl Model {
    pub(super) fn new(addr: &str) -> Self {
        Self {
            addr: addr.into(),
            link: Link::Waiting,
            view: View::Overview,
            order: Order::Usual,
            help: false,
            scroll: 0,
            latest: Picture::default(),
            frozen: None,
            looked: None,
        }
    }

    /// What to show of the node.
    pub(super) fn picture(&self) -> &Picture {
        self.frozen.as_ref().unwrap_or(&self.latest)
    }

    pub(super) fn is_paused(&self) -> bool {
        self.frozen.is_some()
    }

    /// A look succeeded.
    pub(super) fn handle_stats(&mut self, stats: Stats, now: Instant) {
        let began_anew = self.began_anew(&stats, now);
        let earlier = self.latest.stats.as_ref().filter(|_| !began_anew);
        let rates = earlier.and_then(|earlier| Rates::between(earlier, &stats));
        let delivered = rates.as_ref().map(|rates| rates.total.deliveries as u64);
        // The first look of a life ends no interval.
        if self.latest.stats.is_some() {
            self.remember(delivered);
        }
        let is_young = stats.uptime_ms < RESTART_TOLD_MS;
        self.latest.restarted = began_anew || self.latest.restarted && is_young;
        self.latest.rates = rates;
        self.latest.stats = Some(stats);
        self.link = Link::Up;
        self.looked = Some(now);
    }

    /// A look failed; what is known of the node stays, and grows old.
    pub(super) fn handle_failure(&mut self, reason: &str, now: Instant) {
        let since = match self.link {
            Link::Down { since, .. } => since,
            Link::Waiting | Link::Up => self.looked.unwrap_or(now),
        };
        self.link = Link::Down {
            since,
            reason: reason.into(),
        };
        if self.latest.stats.is_some() {
            self.remember(None);
        }
    }

    pub(super) fn handle_key(&mut self, key: KeyEvent) -> Flow {
        if key.kind == KeyEventKind::Release {
            return Flow::Continue;
        }
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        match key.code {
            // In raw mode the terminal sends no signals.
            KeyCode::Char('c' | 'd') if control => return Flow::Quit,
            KeyCode::Char(_) if control => {}
            KeyCode::Char('q') => return Flow::Quit,
            KeyCode::Esc if self.help => self.help = false,
            KeyCode::Esc => return Flow::Quit,
            KeyCode::Char('?') => self.help = !self.help,
            KeyCode::Char('p' | ' ') => {
                self.frozen = match self.frozen.take() {
                    Some(_) => None,
                    None => Some(self.latest.clone()),
                };
            }
            KeyCode::Char('s') => self.order = self.order.next(),
            KeyCode::Char('v') => self.toggle(View::Vhosts),
            KeyCode::Char('c') => self.toggle(View::Channels),
            KeyCode::Char('h') => self.toggle(View::Headroom),
            KeyCode::Down => self.scroll = self.scroll.saturating_add(1),
            KeyCode::Up => self.scroll = self.scroll.saturating_sub(1),
            KeyCode::PageDown => self.scroll = self.scroll.saturating_add(PAGE_ROWS),
            KeyCode::PageUp => self.scroll = self.scroll.saturating_sub(PAGE_ROWS),
            KeyCode::Home => self.scroll = 0,
            _ => {}
        }
        // Past the last row there is nothing to come back from.
        self.scroll = self.scroll.min(self.rows().saturating_sub(1));
        Flow::Continue
    }

    /// The same key leads to a view and back.
    fn toggle(&mut self, view: View) {
        self.view = if self.view == view {
            View::Overview
        } else {
            view
        };
        self.scroll = 0;
        self.help = false;
    }

    /// Rows of the table that can be scrolled.
    fn rows(&self) -> usize {
        let Some(stats) = &self.picture().stats else {
            return 0;
        };
        match self.view {
            View::Overview => 0,
            View::Vhosts => stats.vhosts.len(),
            View::Channels => stats.top_channels.len(),
            View::Headroom => stats.headroom.len(),
        }
    }

    /// Whether these stats are of another life of the node than the latest: its
    /// uptime went back, or grew by less than the time that passed.
    fn began_anew(&self, stats: &Stats, now: Instant) -> bool {
        let (Some(earlier), Some(looked)) = (&self.latest.stats, self.looked) else {
            return false;
        };
        let Some(grown_ms) = stats.uptime_ms.checked_sub(earlier.uptime_ms) else {
            return true;
        };
        let passed = now.saturating_duration_since(looked);
        // Either answer may have been under way as long as a look may take, and
        // clocks of two machines go apart.
        let tolerated = MONITOR_TIMEOUT + passed / 100;
        stats.node != earlier.node || Duration::from_millis(grown_ms) + tolerated < passed
    }

    fn remember(&mut self, delivered: Option<u64>) {
        if self.latest.deliveries.len() == MONITOR_SAMPLES_MAX {
            self.latest.deliveries.pop_front();
        }
        self.latest.deliveries.push_back(delivered);
    }
}

impl Order {
    fn next(self) -> Self {
        match self {
            Self::Usual => Self::Busiest,
            Self::Busiest => Self::Largest,
            Self::Largest => Self::Name,
            Self::Name => Self::Usual,
        }
    }

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Usual => "usual",
            Self::Busiest => "busiest",
            Self::Largest => "largest",
            Self::Name => "name",
        }
    }
}

/// Milliseconds of uptime for which a restart is told: whoever looks away for a
/// moment sees it.
const RESTART_TOLD_MS: u64 = 60_000;

/// Rows that Page Up and Page Down move: less than any screen's.
const PAGE_ROWS: usize = 10;
