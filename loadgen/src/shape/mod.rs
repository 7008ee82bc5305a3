//! The shape of real traffic: how much of what, and when; never what it said.
//!
//! `loadgen shape record` takes it from the counters of a broker at work;
//! `loadgen shape replay` makes a run of it.

mod record;
mod replay;

pub(crate) use record::Record;
pub(crate) use replay::{Replay, mean_rate};

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::limits::{SHAPE_BYTES_MAX, SHAPE_SPANS_MAX};

/// Version of the file's form.
const SCHEMA: u32 = 1;

/// What was recorded. The field names are those of the file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Shape {
    /// [`SCHEMA`].
    schema: u32,
    /// When the recording began, in seconds since 1970.
    pub(crate) began_unix_s: u64,
    /// One after the other.
    pub(crate) spans: Vec<Span>,
}

/// What happened from one look at the counters to the next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Span {
    /// Seconds.
    pub(crate) length_s: f64,
    /// Connected at its end.
    pub(crate) frontends: u64,
    /// Open at its end.
    pub(crate) channels: u64,
    /// Connections accepted, backends among them.
    pub(crate) connects: u64,
    /// Broadcasts accepted, of frontends and backends.
    pub(crate) broadcasts: u64,
    /// Frames of channels given to frontends.
    pub(crate) deliveries: u64,
    /// Triggers handed to workers.
    pub(crate) triggers: u64,
    /// Bytes sent to all connections.
    pub(crate) sent_bytes: u64,
}

/// Why a shape can't be used.
#[derive(Debug, Error)]
pub(crate) enum ShapeError {
    /// The file can't be read or written.
    #[error("shape {}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another form.
    #[error("shape {}: {source}", path.display())]
    Form {
        /// Which.
        path: PathBuf,
        /// Where and why.
        source: serde_json::Error,
    },
    /// Of another program, or of one to come.
    #[error("shape {}: schema {schema} is not known here, {SCHEMA} is", path.display())]
    Schema {
        /// Which.
        path: PathBuf,
        /// As written.
        schema: u32,
    },
    /// Past [`SHAPE_BYTES_MAX`] or [`SHAPE_SPANS_MAX`].
    #[error("shape {}: larger than any recording: it is something else", path.display())]
    TooLarge {
        /// Which.
        path: PathBuf,
    },
    /// Numbers that nothing can have.
    #[error(
        "shape {}: span {span} lasts {length_s} s: more than 0 and at most a day make a span",
        path.display()
    )]
    Length {
        /// Which.
        path: PathBuf,
        /// From 1.
        span: usize,
        /// As written.
        length_s: f64,
    },
    /// Nobody, or nothing, was there.
    #[error("shape {}: nobody was connected: there is nothing to replay", path.display())]
    Empty {
        /// Which.
        path: PathBuf,
    },
}

impl Shape {
    /// Nothing is recorded yet.
    pub(crate) fn new(began_unix_s: u64) -> Self {
        Self {
            schema: SCHEMA,
            began_unix_s,
            spans: Vec::new(),
        }
    }

    /// Reads a file that can be replayed.
    ///
    /// # Errors
    /// It can't.
    pub(crate) fn load(path: &Path) -> Result<Self, ShapeError> {
        let owned = || path.to_owned();
        let file = |source| ShapeError::File {
            path: owned(),
            source,
        };
        if fs::metadata(path).map_err(file)?.len() > SHAPE_BYTES_MAX {
            return Err(ShapeError::TooLarge { path: owned() });
        }
        let text = fs::read_to_string(path).map_err(file)?;
        let form = |source| ShapeError::Form {
            path: owned(),
            source,
        };
        let shape: Self = serde_json::from_str(&text).map_err(form)?;
        if shape.schema != SCHEMA {
            let schema = shape.schema;
            return Err(ShapeError::Schema {
                path: owned(),
                schema,
            });
        }
        if shape.spans.len() > SHAPE_SPANS_MAX {
            return Err(ShapeError::TooLarge { path: owned() });
        }
        for (at, span) in shape.spans.iter().enumerate() {
            if !(span.length_s > 0.0 && span.length_s <= 86_400.0) {
                return Err(ShapeError::Length {
                    path: owned(),
                    span: at + 1,
                    length_s: span.length_s,
                });
            }
        }
        if shape.spans.iter().all(|span| span.frontends == 0) {
            return Err(ShapeError::Empty { path: owned() });
        }
        Ok(shape)
    }

    /// Writes the whole file or leaves what was there.
    ///
    /// # Errors
    /// [`ShapeError::File`].
    pub(crate) fn save(&self, path: &Path) -> Result<(), ShapeError> {
        let write = || {
            let folder = path
                .parent()
                .filter(|folder| !folder.as_os_str().is_empty());
            let mut file = tempfile::NamedTempFile::new_in(folder.unwrap_or(Path::new(".")))?;
            serde_json::to_writer_pretty(&mut file, self)?;
            file.persist(path)?;
            io::Result::Ok(())
        };
        write().map_err(|source| ShapeError::File {
            path: path.to_owned(),
            source,
        })
    }
}

#[cfg(test)]
mod tests;
