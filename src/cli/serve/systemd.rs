use std::time::Duration;

use sd_notify::NotifyState;
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::control;
use crate::limits::EXIT_TIMEOUT;

/// Every shard serves.
pub(super) fn ready() {
    notify(&[NotifyState::Ready]);
}

/// The settings are read anew; [`ready`] ends it.
pub(super) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => notify(&[NotifyState::Reloading, now]),
        Err(error) => tracing::warn!(%error, "no monotonic clock for systemd"),
    }
}

/// The node drains for `timeout` at most, whatever the unit says.
pub(super) fn stopping(timeout: Duration) {
    let limit = (timeout + EXIT_TIMEOUT).as_micros();
    let limit = u32::try_from(limit).unwrap_or(u32::MAX);
    notify(&[NotifyState::Stopping, NotifyState::ExtendTimeoutUsec(limit)]);
}

/// All of the node makes progress.
pub(super) fn alive() {
    notify(&[NotifyState::Watchdog]);
}

/// Silence after which systemd takes the node for dead, where it watches.
pub(super) fn watchdog_limit() -> Option<Duration> {
    sd_notify::watchdog_enabled().filter(|limit| !limit.is_zero())
}

/// Does nothing where no `NOTIFY_SOCKET` is given.
fn notify(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "systemd not notified");
    }
}

/// Feeds the watchdog twice within its limit, each time only once `probe` has
/// been through control and every shard. A shard that stands still is so
/// noticed by systemd, though this thread runs.
pub(super) async fn watch<P>(limit: Duration, probe: impl Fn() -> P, mut feed: impl FnMut())
where
    P: Future<Output = Result<(), control::Error>>,
{
    let mut ticks = interval(limit / 2);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        // With the time between ticks this stays within the limit.
        match timeout(limit / 4, probe()).await {
            Ok(Ok(())) => feed(),
            // Drained.
            Ok(Err(_)) => return,
            Err(_) => tracing::error!("a shard or control does not answer: watchdog not fed"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::future::pending;

    use super::*;

    /// How often the watchdog is fed before `answers` are used up.
    async fn fed(answers: &[bool]) -> usize {
        let (asked, fed) = (Cell::new(0), Cell::new(0));
        let probe = || {
            let answer = answers.get(asked.get()).copied();
            asked.set(asked.get() + 1);
            async move {
                match answer {
                    Some(true) => Ok(()),
                    Some(false) => pending().await,
                    None => Err(control::Error::Stopped),
                }
            }
        };
        let feed = || fed.set(fed.get() + 1);
        watch(Duration::from_millis(40), probe, feed).await;
        assert_eq!(asked.get(), answers.len() + 1);
        fed.get()
    }

    #[tokio::test]
    async fn only_an_answer_feeds_the_watchdog() {
        assert_eq!(fed(&[true, true, true]).await, 3);
        assert_eq!(fed(&[false, false]).await, 0);
        // One turn too long is no death.
        assert_eq!(fed(&[true, false, true]).await, 2);
    }
}
