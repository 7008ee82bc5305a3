//! Looks at a node, over its admin address.

use std::time::Duration;

use crate::cli::node::{Client, Error};
use crate::control::stats::Stats;

/// A node to look at.
pub(super) struct Source {
    client: Client,
}

/// Why a look gave nothing.
#[derive(Debug, thiserror::Error)]
pub(super) enum LookError {
    /// The node may come back; one that does not take the cookie takes it never.
    #[error(transparent)]
    Node(#[from] Error),
    /// The node is another program, or too old.
    #[error("{addr} gives no stats: {reason}")]
    NoStats {
        /// Who answered.
        addr: String,
        /// What it answered.
        reason: String,
    },
}

impl Source {
    pub(super) fn new(client: Client) -> Self {
        Self { client }
    }

    /// The address looked at.
    pub(super) fn addr(&self) -> &str {
        self.client.addr()
    }

    /// One look.
    pub(super) fn look(&mut self) -> Result<Stats, LookError> {
        match self.client.get("/stats.json") {
            // The node may have been set up anew, with another cookie.
            Err(Error::WrongCookie { .. }) if self.client.renew_cookie()? => {
                self.understand(self.client.get("/stats.json"))
            }
            body => self.understand(body),
        }
    }

    fn understand(&self, body: Result<String, Error>) -> Result<Stats, LookError> {
        let reason = match body {
            Ok(body) => match serde_json::from_str(&body) {
                Ok(stats) => return Ok(stats),
                Err(error) => error.to_string(),
            },
            Err(Error::Refused { status: 404, .. }) => {
                "it knows no /stats.json; is it an older node?".into()
            }
            Err(Error::Refused { text, .. }) => text,
            Err(error) => return Err(error.into()),
        };
        Err(LookError::NoStats {
            addr: self.addr().into(),
            reason,
        })
    }
}

impl LookError {
    /// In a few words, for a line that names the node already.
    pub(super) fn reason(&self) -> &str {
        match self {
            Self::Node(error) => error.reason(),
            Self::NoStats { reason, .. } => reason,
        }
    }
}

/// Between two looks, as `2`, `2s`, `0.5` or `500ms`.
pub(super) fn interval(text: &str) -> Result<Duration, String> {
    use crate::limits::{MONITOR_INTERVAL_MAX, MONITOR_INTERVAL_MIN};
    let (number, unit) = match (text.strip_suffix("ms"), text.strip_suffix('s')) {
        (Some(number), _) => (number, 1e-3),
        (None, Some(number)) => (number, 1.0),
        (None, None) => (text, 1.0),
    };
    let seconds = number.parse::<f64>().ok().map(|number| number * unit);
    let interval = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    interval
        .filter(|interval| (MONITOR_INTERVAL_MIN..=MONITOR_INTERVAL_MAX).contains(interval))
        .ok_or_else(|| {
            format!(
                "not from {MONITOR_INTERVAL_MIN:?} to {MONITOR_INTERVAL_MAX:?}, \
                 as 2s or 500ms"
            )
        })
}
