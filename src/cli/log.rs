//! Logging to stderr: what, and how.

use std::env;
use std::io::{IsTerminal, stderr};

use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry, fmt, reload};

pub(super) const FILTER_FLAG: &str = "log";
pub(super) const FORMAT_FLAG: &str = "log-format";
pub(super) const DEFAULT_FILTER: &str = "info";

/// The flags that every command has.
#[derive(clap::Args)]
pub(super) struct Flags {
    /// What to log to stderr, as "info" or "webrocket::control=debug"
    ///
    /// [default: info]
    /// [env: RUST_LOG; for serve WEBROCKET_LOG_FILTER before it]
    /// [file: log.filter]
    #[arg(
        long = FILTER_FLAG,
        global = true,
        value_name = "FILTER",
        help_heading = "Log",
        verbatim_doc_comment
    )]
    filter: Option<String>,
    /// How to log: text or json
    ///
    /// [default: text]
    /// [env: for serve WEBROCKET_LOG_FORMAT]
    /// [file: log.format]
    #[arg(
        long = FORMAT_FLAG,
        global = true,
        value_name = "FORMAT",
        help_heading = "Log",
        verbatim_doc_comment
    )]
    format: Option<String>,
}

impl Flags {
    /// Which of the flags were given, with their text.
    pub(super) fn given(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let all = [(FILTER_FLAG, &self.filter), (FORMAT_FLAG, &self.format)];
        all.into_iter()
            .filter_map(|(flag, text)| Some((flag, text.as_deref()?)))
    }

    /// Starts to log as these flags and `RUST_LOG` say; for commands without a
    /// configuration of their own.
    ///
    /// # Errors
    /// The line for the operator.
    pub(super) fn start(&self) -> Result<(), Invalid> {
        let variable = env::var("RUST_LOG").ok();
        let filter = self.filter.as_ref().or(variable.as_ref());
        let filter = filter.map_or(DEFAULT_FILTER, String::as_str);
        if let Err(source) = EnvFilter::try_new(filter) {
            let filter = filter.into();
            return Err(Invalid::Filter { filter, source });
        }
        let format = match &self.format {
            None => Format::Text,
            Some(name) => Format::parse(name).ok_or_else(|| Invalid::Format(name.clone()))?,
        };
        start(filter, format);
        Ok(())
    }
}

/// Why there is no log. The operator recovers.
#[derive(Debug, thiserror::Error)]
pub(super) enum Invalid {
    #[error("--log {filter:?}: {source}")]
    Filter {
        filter: String,
        source: tracing_subscriber::filter::ParseError,
    },
    #[error("--log-format: {0:?} is not \"text\" or \"json\"")]
    Format(String),
}

/// How a line of the log is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// For people.
    Text,
    /// One object a line.
    Json,
}

impl Format {
    pub(super) fn parse(name: &str) -> Option<Self> {
        [Self::Text, Self::Json]
            .into_iter()
            .find(|format| format.name() == name)
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Json => "json",
        }
    }
}

/// Replaces the filter by another that is known to be valid.
///
/// # Errors
/// When nobody logs any longer.
pub(super) fn replace(handle: &Filter, filter: &str) -> Result<(), reload::Error> {
    handle.reload(EnvFilter::new(filter))
}

/// Where the filter is changed while the program runs.
pub(super) type Filter = reload::Handle<EnvFilter, Registry>;

/// Starts to log; once in a process. The filter is known to be valid.
pub(super) fn start(filter: &str, format: Format) -> Filter {
    let (filter, handle) = reload::Layer::new(EnvFilter::new(filter));
    let lines = fmt::layer().with_writer(stderr);
    let lines = match format {
        Format::Text => lines.with_ansi(stderr().is_terminal()).boxed(),
        Format::Json => lines.json().boxed(),
    };
    tracing_subscriber::registry()
        .with(filter)
        .with(lines)
        .init();
    handle
}
