use std::fmt;
use std::io;
use std::path::PathBuf;

use super::value::show_bytes;
use crate::server::TlsFileError;

/// A setting that can't be had: where it was given, its key, and why. One line.
#[derive(Debug)]
pub(in crate::cli) struct Problem {
    pub(super) source: Source,
    /// As in the file; empty where it is the source as a whole.
    pub(super) key: String,
    pub(super) reason: Reason,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            source,
            key,
            reason,
        } = self;
        match source {
            // A variable or flag says already which setting it is.
            Source::Variable(_) | Source::Flag(_) => write!(f, "{source}: {reason}"),
            _ if key.is_empty() => write!(f, "{source}: {reason}"),
            _ => write!(f, "{source}: {key}: {reason}"),
        }
    }
}

/// Where a value was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// A line of the file, counted from 1; 0 stands for the file as a whole.
    File(PathBuf, usize),
    /// An environment variable.
    Variable(String),
    /// A flag, without its dashes.
    Flag(&'static str),
    /// Nowhere: the built-in values.
    Default,
    /// Anywhere; it is the host that does not give it.
    Host,
}

impl Source {
    /// Problems are told in this order: layer by layer, the file from its top.
    pub(super) fn rank(&self) -> (u8, usize) {
        match self {
            Self::Default | Self::Host => (0, 0),
            Self::File(_, line) => (1, *line),
            Self::Variable(_) => (2, 0),
            Self::Flag(_) => (3, 0),
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path, 0) => write!(f, "{}", path.display()),
            Self::File(path, line) => write!(f, "{}:{line}", path.display()),
            Self::Variable(name) => f.write_str(name),
            Self::Flag(name) => write!(f, "--{name}"),
            Self::Default => f.write_str("default"),
            Self::Host => f.write_str("this host"),
        }
    }
}

/// Why a setting can't be had. The operator recovers.
#[derive(Debug, thiserror::Error)]
pub(super) enum Reason {
    #[error("{0}")]
    Unreadable(#[from] io::Error),
    #[error("more than {0} bytes are no configuration")]
    TooLong(usize),
    #[error("no TOML: {0}")]
    Malformed(String),
    #[error("unknown key{}", suggestion(.0.as_deref()))]
    Unknown(Option<String>),
    #[error("no Unicode text")]
    NoText,
    #[error("{found} found, {expected} expected")]
    Kind {
        found: &'static str,
        expected: &'static str,
    },
    #[error("{value:?} is not {expected}")]
    Not {
        value: String,
        expected: &'static str,
    },
    #[error("{value} is past {max}")]
    Past { value: String, max: String },
    #[error("{value} is below {min}")]
    Below { value: String, min: String },
    #[error("{value:?} is no log filter: {source}")]
    Filter {
        value: String,
        source: tracing_subscriber::filter::ParseError,
    },
    #[error("{value:?} is no origin: {expected}")]
    Origin {
        value: String,
        expected: &'static str,
    },
    /// In bytes.
    #[error(
        "{} is below {}, the least for messages of {}",
        show_bytes(*.outbox), show_bytes(*.needed), show_bytes(*.message)
    )]
    Outbox {
        outbox: u32,
        needed: u32,
        message: u32,
    },
    #[error("{window} is past half of the drain timeout of {timeout}")]
    Window { window: String, timeout: String },
    #[error("{addr} is the {other} address as well")]
    SameAddress { addr: String, other: &'static str },
    #[error("needs {0}")]
    Needs(&'static str),
    #[error("{keys} for {certificates} certificates: one for each in their order, or none")]
    Keys { keys: usize, certificates: usize },
    #[error("{0}")]
    Tls(Box<TlsFileError>),
    #[error("more than {0} vhosts")]
    TooManyVhosts(usize),
    #[error("{}: {source}", .path.display())]
    Storage { path: PathBuf, source: io::Error },
    #[error("{addr}: {source}")]
    Bind { addr: String, source: io::Error },
}

fn suggestion(nearest: Option<&str>) -> String {
    nearest.map_or_else(String::new, |nearest| format!("; is it {nearest}?"))
}
