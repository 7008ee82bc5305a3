use std::io;

use crate::UrlError;

/// Why a request failed or a worker stopped. The variants with a number are the
/// broker's answers (protocol section 9); each tells who can do something about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// 400: a name is empty, an event name begins with `:`, a value holds a line
    /// feed, or the request exceeds 1 MiB. The caller's mistake; repeating is no use.
    #[error("bad request (400): empty or reserved name, line feed in a value, or too large")]
    BadRequest,
    /// 402: no such vhost, or not its access token. The operator recovers, with
    /// the right URL.
    #[error("unauthorized (402): unknown vhost or wrong access token")]
    Unauthorized,
    /// 403: the address has presented too many wrong tokens; try again later.
    #[error("forbidden (403)")]
    Forbidden,
    /// 451: no channel can have this name. The caller's mistake.
    #[error("invalid channel name (451)")]
    InvalidChannelName,
    /// 454: the channel is not open. The caller recovers by opening it.
    #[error("channel not found (454)")]
    ChannelNotFound,
    /// 597: the permission pattern does not compile (the caller's mistake), or
    /// the broker could not do it (its operator's task).
    #[error("internal error (597): invalid permission pattern, or a fault of the broker")]
    InternalError,
    /// 598: the broker saw the request's end too early. Known to clients, never
    /// sent so far; the caller may repeat.
    #[error("end of file (598)")]
    EndOfFile,
    /// A code that this version does not know.
    #[error("the broker answered with the unknown code {0}")]
    Unknown(u16),
    /// The URL has not the form `wr://TOKEN@host:port/vhost` or `wrs://…`.
    #[error(transparent)]
    InvalidUrl(#[from] UrlError),
    /// The payload could not be written as JSON. Nothing was sent; the caller's mistake.
    #[error("the payload cannot be written as JSON")]
    Payload(#[source] serde_json::Error),
    /// The payload is neither a JSON object nor null. The broker would deliver
    /// `{}` in its place without a word, so nothing was sent; the caller's mistake.
    #[error("the payload is not a JSON object")]
    PayloadNotObject,
    /// The broker could not be reached; nothing was sent. The caller may repeat
    /// once it is up.
    #[error("cannot connect")]
    Io(#[source] io::Error),
    /// No answer in time.
    #[error("no answer in time ({})", outcome(*may_have_run))]
    Timeout {
        /// Whether the broker may have executed the request. Where it is false
        /// the caller may repeat; where it is true only the caller knows
        /// whether doing it twice does harm.
        may_have_run: bool,
    },
    /// The connection ended before the answer, as when the broker restarts.
    #[error("connection lost ({})", outcome(*may_have_run))]
    ConnectionLost {
        /// As for [`Error::Timeout`].
        may_have_run: bool,
    },
    /// The answer makes no sense: what listens there is no WebRocket backend
    /// endpoint, or a broken one. The request may have been executed.
    #[error("the answer is not one of a WebRocket broker")]
    UnexpectedAnswer,
}

impl Error {
    /// The broker's code, or that which it would have answered; `None` for what
    /// has no number on the wire.
    pub fn code(&self) -> Option<u16> {
        Some(match self {
            Self::BadRequest => 400,
            Self::Unauthorized => 402,
            Self::Forbidden => 403,
            Self::InvalidChannelName => 451,
            Self::ChannelNotFound => 454,
            Self::InternalError => 597,
            Self::EndOfFile => 598,
            Self::Unknown(code) => *code,
            _ => return None,
        })
    }

    pub(crate) fn from_code(code: u16) -> Self {
        match code {
            400 => Self::BadRequest,
            402 => Self::Unauthorized,
            403 => Self::Forbidden,
            451 => Self::InvalidChannelName,
            454 => Self::ChannelNotFound,
            597 => Self::InternalError,
            598 => Self::EndOfFile,
            code => Self::Unknown(code),
        }
    }

    /// The error of a second attempt, where the first may have run.
    pub(crate) fn after_possible_run(self) -> Self {
        match self {
            Self::Timeout { .. } => Self::Timeout { may_have_run: true },
            Self::ConnectionLost { .. } | Self::Io(_) => {
                Self::ConnectionLost { may_have_run: true }
            }
            other => other,
        }
    }
}

fn outcome(may_have_run: bool) -> &'static str {
    if may_have_run {
        "the request may have been executed"
    } else {
        "the request was not executed"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_survive_both_ways() {
        for code in [400, 402, 403, 451, 454, 597, 598, 499] {
            assert_eq!(Error::from_code(code).code(), Some(code));
        }
        assert!(matches!(Error::from_code(499), Error::Unknown(499)));
        assert_eq!(Error::Timeout { may_have_run: true }.code(), None);
    }

    #[test]
    fn a_possible_run_is_never_forgotten() {
        let lost = Error::ConnectionLost {
            may_have_run: false,
        };
        for error in [lost, Error::Io(io::ErrorKind::ConnectionRefused.into())] {
            assert!(matches!(
                error.after_possible_run(),
                Error::ConnectionLost { may_have_run: true }
            ));
        }
    }
}
