//! Looks at a node, over its admin address.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ureq::Agent;

use crate::control::stats::Stats;
use crate::limits::{MONITOR_ANSWER_BYTES_MAX, MONITOR_TIMEOUT};

/// Which node, and with what cookie.
#[derive(clap::Args)]
pub(super) struct Target {
    /// The node's admin address
    #[arg(
        long,
        env = "WEBROCKET_ADMIN_ADDR",
        value_name = "ADDR",
        default_value = "127.0.0.1:8082"
    )]
    admin_addr: String,
    /// The node's cookie [default: read from the cookie file]
    #[arg(
        long,
        env = "WEBROCKET_COOKIE",
        hide_env_values = true,
        value_name = "COOKIE",
        conflicts_with = "cookie_file"
    )]
    cookie: Option<String>,
    /// Where the cookie is [default: <storage dir>/<node>.cookie]
    #[arg(long, env = "WEBROCKET_COOKIE_FILE", value_name = "FILE")]
    cookie_file: Option<PathBuf>,
    /// The node's name [default: the host's name]
    #[arg(long, env = "WEBROCKET_NODE_NAME", value_name = "NAME")]
    node: Option<String>,
    /// Where the node keeps its cookie
    #[arg(
        long,
        env = "WEBROCKET_NODE_STORAGE_DIR",
        value_name = "DIR",
        default_value = "/var/lib/webrocket"
    )]
    storage_dir: PathBuf,
}

/// A node to look at.
pub(super) struct Source {
    agent: Agent,
    admin_addr: String,
    cookie: String,
    /// Where the cookie came from; a node may get another while it is watched.
    cookie_file: Option<PathBuf>,
}

/// Why a look gave nothing.
#[derive(Debug, thiserror::Error)]
pub(super) enum LookError {
    /// The node may come back.
    #[error("cannot reach {addr}: {reason}")]
    Unreachable { addr: String, reason: String },
    /// Nothing but another cookie helps.
    #[error(
        "{addr} does not take the cookie {from}; the node prints its cookie when it starts: \
         give it with --cookie, or the node's --storage-dir and --node"
    )]
    Forbidden { addr: String, from: String },
    /// The node is another program, or too old.
    #[error("{addr} gives no stats: {reason}")]
    NoStats { addr: String, reason: String },
    #[error(
        "cookie file {}: {}; {}",
        path.display(),
        io_reason(source),
        cookie_advice(source)
    )]
    Cookie { path: PathBuf, source: io::Error },
}

impl Source {
    /// # Errors
    /// [`LookError::Cookie`] when there is no cookie to read.
    pub(super) fn new(target: &Target) -> Result<Self, LookError> {
        let (cookie, cookie_file) = match &target.cookie {
            Some(cookie) => (cookie.clone(), None),
            None => {
                let path = cookie_file(target)?;
                (read_cookie(&path)?, Some(path))
            }
        };
        let config = Agent::config_builder()
            .timeout_global(Some(MONITOR_TIMEOUT))
            // The status decides, below.
            .http_status_as_error(false)
            .max_redirects(0)
            .proxy(None);
        Ok(Self {
            agent: config.build().into(),
            admin_addr: target.admin_addr.clone(),
            cookie,
            cookie_file,
        })
    }

    /// The address looked at.
    pub(super) fn addr(&self) -> &str {
        &self.admin_addr
    }

    /// One look; takes [`MONITOR_TIMEOUT`] at most.
    pub(super) fn look(&mut self) -> Result<Stats, LookError> {
        match self.ask() {
            Err(error @ LookError::Forbidden { .. }) => {
                // The node may have been set up anew, with another cookie.
                let Some(path) = &self.cookie_file else {
                    return Err(error);
                };
                let cookie = read_cookie(path)?;
                if cookie == self.cookie {
                    return Err(error);
                }
                self.cookie = cookie;
                self.ask()
            }
            outcome => outcome,
        }
    }

    fn ask(&self) -> Result<Stats, LookError> {
        let url = format!("http://{}/stats.json", self.admin_addr);
        let asked = self
            .agent
            .get(&url)
            .header("X-WebRocket-Cookie", &self.cookie)
            .call();
        let mut answer = asked.map_err(|error| self.unreachable(&error))?;
        match answer.status().as_u16() {
            200 => {
                let body = answer.body_mut().with_config();
                let body = body.limit(MONITOR_ANSWER_BYTES_MAX).read_to_vec();
                let body = body.map_err(|error| self.cut_short(&error))?;
                serde_json::from_slice(&body).map_err(|error| self.no_stats(error.to_string()))
            }
            403 => Err(self.forbidden()),
            404 => Err(self.no_stats("it knows no /stats.json; is it an older node?".into())),
            status => Err(self.no_stats(format!("it answers with status {status}"))),
        }
    }

    fn cut_short(&self, error: &ureq::Error) -> LookError {
        match error {
            ureq::Error::BodyExceedsLimit(bytes) => {
                self.no_stats(format!("the answer is over {bytes} bytes"))
            }
            other => self.unreachable(other),
        }
    }

    fn unreachable(&self, error: &ureq::Error) -> LookError {
        let reason = match error {
            ureq::Error::Io(error) => io_reason(error),
            ureq::Error::Timeout(_) => format!("no answer within {} s", MONITOR_TIMEOUT.as_secs()),
            ureq::Error::HostNotFound => "no such host".into(),
            other => other.to_string(),
        };
        LookError::Unreachable {
            addr: self.admin_addr.clone(),
            reason,
        }
    }

    fn no_stats(&self, reason: String) -> LookError {
        LookError::NoStats {
            addr: self.admin_addr.clone(),
            reason,
        }
    }

    fn forbidden(&self) -> LookError {
        let from = match &self.cookie_file {
            Some(path) => format!("in {}", path.display()),
            None => "given".into(),
        };
        LookError::Forbidden {
            addr: self.admin_addr.clone(),
            from,
        }
    }
}

impl LookError {
    /// In a few words, for a line that names the node already.
    pub(super) fn reason(&self) -> &str {
        match self {
            Self::Unreachable { reason, .. } | Self::NoStats { reason, .. } => reason,
            Self::Forbidden { .. } => "wrong cookie",
            Self::Cookie { .. } => "no cookie",
        }
    }
}

/// Without the number that the system's text ends with.
fn io_reason(error: &io::Error) -> String {
    let text = error.to_string();
    let end = text.find(" (os error").unwrap_or(text.len());
    text[..end].to_lowercase()
}

fn cookie_advice(error: &io::Error) -> &'static str {
    if error.kind() == io::ErrorKind::PermissionDenied {
        "run this as the user of the node, or give --cookie"
    } else {
        "give the node's --storage-dir and --node, or --cookie"
    }
}

fn cookie_file(target: &Target) -> Result<PathBuf, LookError> {
    if let Some(path) = &target.cookie_file {
        return Ok(path.clone());
    }
    let node = match &target.node {
        Some(node) => node.clone(),
        None => host_name()?,
    };
    Ok(target.storage_dir.join(format!("{node}.cookie")))
}

fn host_name() -> Result<String, LookError> {
    let path = Path::new("/proc/sys/kernel/hostname");
    let name = std::fs::read_to_string(path).map_err(|source| LookError::Cookie {
        path: path.into(),
        source,
    })?;
    Ok(name.trim().to_owned())
}

fn read_cookie(path: &Path) -> Result<String, LookError> {
    let text = std::fs::read_to_string(path).map_err(|source| LookError::Cookie {
        path: path.into(),
        source,
    })?;
    Ok(text.trim().to_owned())
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
