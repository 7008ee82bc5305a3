//! What is told while a run goes on, on standard error: a bar with rates and the
//! time left on a terminal, lines elsewhere.

use std::fmt::{self, Display, Formatter};
use std::io::{IsTerminal, stderr};
use std::time::{Duration, Instant};

use indicatif::{HumanCount, HumanDuration, ProgressBar, ProgressStyle};

/// Time between two lines of the ramp where there is no terminal for a bar.
const RAMP_LINE_INTERVAL: Duration = Duration::from_secs(1);

/// The same of a phase that is known to last.
const PHASE_LINE_INTERVAL: Duration = Duration::from_secs(10);

/// Shortest time over which a rate is told: below it, it jumps.
const RATE_INTERVAL: Duration = Duration::from_secs(1);

/// The clients that join.
pub(crate) struct Ramp {
    clients: usize,
    bar: Option<ProgressBar>,
    next_line: Instant,
}

impl Ramp {
    /// Nobody is connected yet.
    pub(crate) fn new(clients: usize) -> Self {
        let bar = bar(
            "ramp     {wide_bar} {human_pos}/{human_len} {msg} {eta:>4} left",
            clients as u64,
        );
        if bar.is_none() {
            eprintln!("ramp     {clients} clients");
        }
        Self {
            clients,
            bar,
            next_line: Instant::now() + RAMP_LINE_INTERVAL,
        }
    }

    /// So many have joined and failed so far.
    pub(crate) fn show(&mut self, subscribed: usize, failed: usize) {
        if let Some(bar) = &self.bar {
            bar.set_position((subscribed + failed) as u64);
            let elapsed = bar.elapsed().max(RATE_INTERVAL);
            let per_s = HumanCount((subscribed as f64 / elapsed.as_secs_f64()) as u64);
            bar.set_message(match failed {
                0 => format!("{per_s}/s"),
                _ => format!("{per_s}/s, {} failed", HumanCount(failed as u64)),
            });
        } else if Instant::now() >= self.next_line {
            self.next_line += RAMP_LINE_INTERVAL;
            eprintln!("ramp     {subscribed} of {}, {failed} failed", self.clients);
        }
    }
}

impl Drop for Ramp {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish();
        }
    }
}

/// What the clients have sent and received so far, whether it counts or not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Traffic {
    pub(crate) sent: u64,
    pub(crate) received: u64,
}

/// A phase whose length is known.
pub(crate) struct Phase {
    name: &'static str,
    length: Duration,
    began: Instant,
    bar: Option<ProgressBar>,
    next_line: Instant,
    /// From when on the rates are, and of which traffic.
    since: (Instant, Traffic),
    rates: Option<Rates>,
}

/// A second.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Rates {
    sent: f64,
    received: f64,
}

impl Phase {
    /// It begins.
    pub(crate) fn new(name: &'static str, length: Duration, traffic: Traffic) -> Self {
        let now = Instant::now();
        let template = "{prefix:<8} {wide_bar} {msg} {eta:>4} left";
        let bar = bar(template, length.as_millis() as u64).map(|bar| bar.with_prefix(name));
        if bar.is_none() && !length.is_zero() {
            eprintln!("{name:<8} {}", humantime::format_duration(length));
        }
        Self {
            name,
            length,
            began: now,
            bar,
            next_line: now + PHASE_LINE_INTERVAL,
            since: (now, traffic),
            rates: None,
        }
    }

    /// So much has passed between the clients and the broker so far.
    pub(crate) fn show(&mut self, traffic: Traffic) {
        let now = Instant::now();
        let (since, before) = self.since;
        if now - since >= RATE_INTERVAL {
            self.rates = Some(Rates::between(&before, &traffic, now - since));
            self.since = (now, traffic);
        }
        let elapsed = (now - self.began).min(self.length);
        if let Some(bar) = &self.bar {
            bar.set_position(elapsed.as_millis() as u64);
            if let Some(rates) = &self.rates {
                bar.set_message(rates.to_string());
            }
        } else if now >= self.next_line {
            self.next_line += PHASE_LINE_INTERVAL;
            let left = HumanDuration(self.length - elapsed);
            match &self.rates {
                Some(rates) => eprintln!("{:<8} {rates}, {left} left", self.name),
                None => eprintln!("{:<8} {left} left", self.name),
            }
        }
    }
}

impl Drop for Phase {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish();
        }
    }
}

impl Rates {
    fn between(before: &Traffic, after: &Traffic, passed: Duration) -> Self {
        let rate = |before, after: u64| after.saturating_sub(before) as f64 / passed.as_secs_f64();
        Self {
            sent: rate(before.sent, after.sent),
            received: rate(before.received, after.received),
        }
    }
}

impl Display for Rates {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let [sent, received] = [self.sent, self.received].map(|rate| HumanCount(rate as u64));
        write!(f, "{sent} sent/s, {received} received/s")
    }
}

/// None where standard error is no terminal.
fn bar(template: &str, length: u64) -> Option<ProgressBar> {
    stderr().is_terminal().then(|| {
        let style = ProgressStyle::with_template(template);
        let bar = ProgressBar::new(length);
        bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_of_the_time_that_passed() {
        let before = Traffic {
            sent: 10,
            received: 1000,
        };
        let after = Traffic {
            sent: 30,
            received: 2_501_000,
        };
        let rates = Rates::between(&before, &after, Duration::from_secs(2));
        assert_eq!(rates.to_string(), "10 sent/s, 1,250,000 received/s");
        let back = Rates::between(&after, &before, Duration::from_secs(2));
        assert_eq!(back.to_string(), "0 sent/s, 0 received/s");
    }
}
