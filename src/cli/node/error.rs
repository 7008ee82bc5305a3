use std::io;
use std::path::PathBuf;

use super::cookie::Origin;

/// Why a node did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub(in crate::cli) enum Error {
    /// The node answered with a reason. The caller recovers.
    #[error("{text}")]
    Refused {
        /// The status of HTTP.
        status: u16,
        /// The node's words.
        text: String,
    },
    /// No connection, or none that lasted. The operator recovers.
    #[error("cannot reach the server at {addr}: {reason}")]
    Unreachable {
        /// Where it was sought.
        addr: String,
        /// Why it was not found.
        reason: String,
    },
    /// What came is no answer of a node. The operator recovers.
    #[error("no valid answer from {addr}: {reason}")]
    Invalid {
        /// Who answered.
        addr: String,
        /// What is wrong with it.
        reason: String,
    },
    /// 403. The operator recovers.
    #[error(
        "no valid answer: {addr} does not accept the cookie from {origin}; \
         is it the cookie of the node that listens there?"
    )]
    WrongCookie {
        /// Who refused it.
        addr: String,
        /// Where it was found.
        origin: Origin,
    },
    /// The operator recovers.
    #[error("{}: {source}; {advice}", path.display())]
    CookieFile {
        /// The file.
        path: PathBuf,
        /// Why it can't be read.
        source: io::Error,
        /// What to do about it.
        advice: &'static str,
    },
    /// The operator recovers.
    #[error("{origin}: this is no cookie; one has 40 lower-case hex digits")]
    NoCookie {
        /// Where it was found.
        origin: Origin,
    },
    /// The operator recovers.
    #[error("no node name: {0}; give one with --node")]
    NodeName(io::Error),
}

impl Error {
    /// The exit code of all commands that ask a node: 3 where it gave no answer,
    /// 4 where the cookie is at fault, 5 where there is no such thing, else 1.
    pub(in crate::cli) fn exit_code(&self) -> u8 {
        match self {
            Self::Refused { status: 404, .. } => 5,
            Self::Refused { .. } => 1,
            Self::Unreachable { .. } | Self::Invalid { .. } => 3,
            Self::WrongCookie { .. }
            | Self::CookieFile { .. }
            | Self::NoCookie { .. }
            | Self::NodeName(_) => 4,
        }
    }

    /// In a few words, for a line that names the node already.
    pub(in crate::cli) fn reason(&self) -> &str {
        match self {
            Self::Unreachable { reason, .. } | Self::Invalid { reason, .. } => reason,
            Self::Refused { text, .. } => text,
            Self::WrongCookie { .. } => "wrong cookie",
            Self::CookieFile { .. } | Self::NoCookie { .. } | Self::NodeName(_) => "no cookie",
        }
    }
}
