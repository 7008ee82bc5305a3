use std::io;
use std::path::PathBuf;

/// Why a command was not done.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
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
        /// The option or the file.
        origin: String,
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
        /// The option or the file.
        origin: String,
    },
    /// The operator recovers.
    #[error("no node name: {0}; give one with --node")]
    NodeName(io::Error),
    /// The caller recovers.
    #[error("DATA is no JSON: {0}")]
    Data(serde_json::Error),
    /// The caller recovers.
    #[error("DATA from stdin: {0}")]
    Input(io::Error),
    /// Nobody recovers; the command is done.
    #[error("stdout: {0}")]
    Output(io::Error),
}

impl Error {
    /// The exit code of today's names; those of 2012 know 1 alone.
    pub(super) fn exit_code(&self) -> u8 {
        match self {
            Self::Refused { status: 404, .. } => 5,
            Self::WrongCookie { .. }
            | Self::CookieFile { .. }
            | Self::NoCookie { .. }
            | Self::NodeName(_) => 4,
            Self::Unreachable { .. } | Self::Invalid { .. } => 3,
            Self::Refused { .. } | Self::Data(_) | Self::Input(_) | Self::Output(_) => 1,
        }
    }
}
