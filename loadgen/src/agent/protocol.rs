//! What an agent and its leader say: lines of JSON, a bound on each.
//!
//! ```text
//! leader  hello{version,token}  run{options}          go{delay_ms}          stop
//! agent         hello{version}        alive… ready            alive… report
//! ```

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::sync::mpsc::{Receiver, channel};

use crate::report::{Distribution, Interval, Report, Tag};
use crate::timeline::nanoseconds;

/// Both have to speak the same; raised with any change.
pub(super) const VERSION: u32 = 1;

/// What a leader says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum ToAgent {
    Hello {
        version: u32,
        token: String,
    },
    /// Connect all clients of this run, given as options.
    Run {
        options: Vec<String>,
    },
    /// Begin the load so much later.
    Go {
        delay_ms: u64,
    },
    /// End it early; the report is still wanted.
    Stop,
}

/// What an agent says.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum FromAgent {
    Hello {
        version: u32,
    },
    Refused(Refusal),
    /// Once a second.
    Alive(Figures),
    /// All clients have joined or failed.
    Ready,
    Report(Box<Done>),
    /// There will be no report.
    Failed {
        error: String,
    },
}

/// Why an agent won't.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Error)]
#[serde(rename_all = "snake_case")]
pub(super) enum Refusal {
    #[error("it speaks another version: use the same loadgen on all machines")]
    Version,
    #[error("it does not take this --agent-token")]
    Token,
    #[error("it is busy with another run")]
    Busy,
}

/// How far it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Figures {
    pub(super) subscribed: usize,
    pub(super) failed: usize,
    pub(super) sent: u64,
    pub(super) received: u64,
}

/// A run that is over.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Done {
    pub(super) report: Report,
    pub(super) intervals: Vec<Packed>,
}

/// An [`Interval`] as it travels.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Packed {
    start_ns: u64,
    length_ns: u64,
    tag: Tag,
    histogram: Distribution,
}

/// Why a line can't be taken.
#[derive(Debug, Error)]
pub(super) enum LineError {
    #[error("a line longer than {0} bytes")]
    TooLong(usize),
    #[error("not a line of the protocol: {0}")]
    Form(#[from] serde_json::Error),
    #[error("the connection is lost: {0}")]
    Io(#[from] std::io::Error),
    #[error("the connection was closed")]
    Closed,
}

impl From<&Interval> for Packed {
    fn from(interval: &Interval) -> Self {
        Self {
            start_ns: nanoseconds(interval.start),
            length_ns: nanoseconds(interval.length),
            tag: interval.tag,
            histogram: Distribution::new(&interval.histogram),
        }
    }
}

impl From<Packed> for Interval {
    fn from(packed: Packed) -> Self {
        let histogram: &Histogram<u64> = packed.histogram.histogram();
        Self {
            start: Duration::from_nanos(packed.start_ns),
            length: Duration::from_nanos(packed.length_ns),
            tag: packed.tag,
            histogram: histogram.clone(),
        }
    }
}

/// Reads lines of at most `line_bytes_max` until one is bad or the peer is gone,
/// which is the last that comes.
pub(super) fn read_lines<M: DeserializeOwned + Send + 'static>(
    from: impl AsyncRead + Send + Unpin + 'static,
    line_bytes_max: usize,
) -> Receiver<Result<M, LineError>> {
    let (lines, received) = channel(1);
    tokio::spawn(async move {
        let mut from = BufReader::new(from);
        loop {
            let line = read_line(&mut from, line_bytes_max).await;
            let is_last = line.is_err();
            if lines.send(line).await.is_err() || is_last {
                return;
            }
        }
    });
    received
}

async fn read_line<M: DeserializeOwned>(
    from: &mut (impl AsyncBufReadExt + Unpin),
    line_bytes_max: usize,
) -> Result<M, LineError> {
    let mut line = Vec::new();
    let mut bounded = from.take(line_bytes_max as u64 + 1);
    bounded.read_until(b'\n', &mut line).await?;
    match line.last() {
        Some(b'\n') => Ok(serde_json::from_slice(&line)?),
        _ if line.len() > line_bytes_max => Err(LineError::TooLong(line_bytes_max)),
        _ => Err(LineError::Closed),
    }
}

/// Sends one line.
///
/// # Errors
/// The connection is lost.
pub(super) async fn send(
    to: &mut (impl AsyncWrite + Unpin),
    message: &impl Serialize,
) -> Result<(), LineError> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    Ok(to.write_all(&line).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8], line_bytes_max: usize) -> Result<ToAgent, LineError> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .expect("a runtime");
        runtime.block_on(read_line(&mut BufReader::new(bytes), line_bytes_max))
    }

    #[test]
    fn lines_at_the_bound_and_past_it() {
        let mut line = serde_json::to_vec(&ToAgent::Go { delay_ms: 5 }).expect("JSON");
        line.push(b'\n');
        assert!(matches!(
            read(&line, line.len()),
            Ok(ToAgent::Go { delay_ms: 5 })
        ));
        let short = line.len() - 2;
        assert!(matches!(read(&line, short), Err(LineError::TooLong(_))));
    }

    #[test]
    fn what_is_no_line_is_told() {
        assert!(matches!(read(b"", 10), Err(LineError::Closed)));
        assert!(matches!(read(b"\"stop\"", 10), Err(LineError::Closed)));
        assert!(matches!(read(b"\"stop\"\n", 10), Ok(ToAgent::Stop)));
        for other in [
            "GET / HTTP/1.1\r\n",
            "{}\n",
            "\n",
            "[1]\n",
            "\"go\"\n",
            "\0\n",
        ] {
            let refused = read(other.as_bytes(), 100);
            assert!(matches!(refused, Err(LineError::Form(_))), "{other:?}");
        }
    }

    #[test]
    fn nothing_that_comes_breaks_it() {
        // A fixed seed: the same bytes in every run.
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut byte = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (state >> 56) as u8
        };
        let good = serde_json::to_vec(&ToAgent::Run {
            options: vec!["--clients=5".into()],
        })
        .expect("JSON");
        for _ in 0..2000 {
            let mut line = good.clone();
            for _ in 0..3 {
                let at = byte() as usize % line.len();
                line[at] = byte();
            }
            line.push(b'\n');
            // Whatever it says, it says it by its type.
            let _ = read(&line, 200);
        }
    }
}
