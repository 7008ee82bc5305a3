//! What is told while a run goes on, on standard error.

use std::io::{IsTerminal, stderr};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// Time between two lines where there is no terminal for a bar.
const LINE_INTERVAL: Duration = Duration::from_secs(1);

/// The ramp: a bar on a terminal, lines elsewhere.
pub(crate) struct Progress {
    clients: usize,
    /// None where standard error is no terminal.
    bar: Option<ProgressBar>,
    next_line: Instant,
}

impl Progress {
    /// Nobody is connected yet.
    pub(crate) fn new(clients: usize) -> Self {
        let bar = stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template("ramp     {wide_bar} {pos}/{len} {msg}");
            let bar = ProgressBar::new(clients as u64);
            bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
        });
        if bar.is_none() {
            eprintln!("ramp     {clients} clients");
        }
        Self {
            clients,
            bar,
            next_line: Instant::now() + LINE_INTERVAL,
        }
    }

    /// So many have joined and failed so far.
    pub(crate) fn show(&mut self, subscribed: usize, failed: usize) {
        if let Some(bar) = &self.bar {
            bar.set_position(subscribed as u64);
            if failed > 0 {
                bar.set_message(format!("{failed} failed"));
            }
        } else if Instant::now() >= self.next_line {
            self.next_line += LINE_INTERVAL;
            eprintln!("ramp     {subscribed} of {}, {failed} failed", self.clients);
        }
    }

    /// A phase begins.
    pub(crate) fn tell(phase: &str, duration: Duration) {
        if !duration.is_zero() {
            eprintln!("{phase:<8} {}", humantime::format_duration(duration));
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish();
        }
    }
}
