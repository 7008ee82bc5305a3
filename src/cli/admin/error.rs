use std::io;

use crate::cli::node;

/// Why a command was not done.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// The node did not do it, or was not asked.
    #[error(transparent)]
    Node(#[from] node::Error),
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
            Self::Node(error) => error.exit_code(),
            Self::Data(_) | Self::Input(_) | Self::Output(_) => 1,
        }
    }
}
