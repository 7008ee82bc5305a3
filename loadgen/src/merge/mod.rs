//! `loadgen merge`: what several machines, or several runs, have written, as one.

mod logs;

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use thiserror::Error;

use crate::limits::{LOG_BYTES_MAX, MERGE_BYTES_MAX, MERGE_FILES_MAX};
use crate::report::{Incompatible, Report};

/// What to merge.
#[derive(Clone, Debug, Args)]
pub(crate) struct Merge {
    /// Logs that runs wrote with --hlog, or reports that they wrote with --json
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,

    /// Write the merged log or report here
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// Why files can't be merged.
#[derive(Debug, Error)]
pub(crate) enum MergeError {
    /// Not readable or not writable.
    #[error("{}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Past [`LOG_BYTES_MAX`].
    #[error("{}: larger than {LOG_BYTES_MAX} bytes", path.display())]
    TooLarge {
        /// Which.
        path: PathBuf,
    },
    /// More files, or more in them, than are held in memory.
    #[error("more than {MERGE_FILES_MAX} files or {MERGE_BYTES_MAX} bytes: merge in steps")]
    TooMany,
    /// Logs and reports have nothing to add.
    #[error("{}: not of the same kind as those before it", path.display())]
    Mixed {
        /// The first that differs.
        path: PathBuf,
    },
    /// Not an interval log.
    #[error("{}, line {line}: not a line of an HdrHistogram log", path.display())]
    Line {
        /// Which.
        path: PathBuf,
        /// From 1.
        line: usize,
    },
    /// A damaged one.
    #[error("{}, line {line}: the histogram is damaged", path.display())]
    Histogram {
        /// Which.
        path: PathBuf,
        /// From 1.
        line: usize,
    },
    /// A log of nothing.
    #[error("{}: there is no histogram in it", path.display())]
    Empty {
        /// Which.
        path: PathBuf,
    },
    /// Not a report.
    #[error("{} is no report: {source}", path.display())]
    Report {
        /// Which.
        path: PathBuf,
        /// What stands where something else should.
        source: serde_json::Error,
    },
    /// Reports that don't fit.
    #[error("cannot merge: {0}")]
    Incompatible(#[from] Incompatible),
    /// Standard output is gone.
    #[error("cannot write: {0}")]
    Output(#[from] io::Error),
}

/// A file in memory.
struct Text<'a> {
    path: &'a Path,
    text: String,
}

/// Merges, writes and tells what came of it.
///
/// # Errors
/// Nothing is written, or not all of it.
pub(crate) fn run(merge: &Merge) -> Result<(), MergeError> {
    if merge.files.len() > MERGE_FILES_MAX {
        return Err(MergeError::TooMany);
    }
    let mut texts = Vec::new();
    let mut bytes = 0;
    for path in &merge.files {
        let text = Text::read(path)?;
        bytes += text.text.len() as u64;
        if bytes > MERGE_BYTES_MAX {
            return Err(MergeError::TooMany);
        }
        texts.push(text);
    }
    let is_report = texts.first().is_some_and(Text::is_report);
    if let Some(other) = texts.iter().find(|text| text.is_report() != is_report) {
        let path = other.path.to_owned();
        return Err(MergeError::Mixed { path });
    }
    match is_report {
        true => merge_reports(&texts, merge.output.as_deref()),
        false => logs::merge(texts, merge.output.as_deref()),
    }
}

fn merge_reports(texts: &[Text<'_>], output: Option<&Path>) -> Result<(), MergeError> {
    let mut named = Vec::new();
    for text in texts {
        let report = serde_json::from_str(&text.text).map_err(|source| MergeError::Report {
            path: text.path.to_owned(),
            source,
        })?;
        named.push((text.path.display().to_string(), report));
    }
    let begins_s = begins(&named);
    let merged = Report::merge(named, &begins_s)?;
    if let Some(path) = output {
        let json = serde_json::to_vec_pretty(&merged).map_err(io::Error::from)?;
        write(path, &json)?;
    }
    write!(io::stdout().lock(), "{merged}")?;
    Ok(())
}

/// When each began. Those that were never under way at the same time are laid over
/// each other from their beginnings.
fn begins(named: &[(String, Report)]) -> Vec<f64> {
    let begins = named.iter().map(|(_, report)| {
        let since = report.began.duration_since(std::time::UNIX_EPOCH);
        since.unwrap_or_default().as_secs_f64()
    });
    let begins: Vec<f64> = begins.collect();
    let last = begins.iter().copied().fold(0.0, f64::max);
    let met = named.iter().zip(&begins).all(|((_, report), begin_s)| {
        let length_s = report.series.span_s * report.series.at_s.len() as f64;
        begin_s + length_s >= last
    });
    match met {
        true => begins,
        false => vec![0.0; begins.len()],
    }
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), MergeError> {
    fs::write(path, bytes).map_err(|source| MergeError::File {
        path: path.to_owned(),
        source,
    })
}

impl<'a> Text<'a> {
    fn read(path: &'a Path) -> Result<Self, MergeError> {
        let file = |source| MergeError::File {
            path: path.to_owned(),
            source,
        };
        let mut text = String::new();
        let mut opened = File::open(path).map_err(file)?.take(LOG_BYTES_MAX + 1);
        opened.read_to_string(&mut text).map_err(file)?;
        if text.len() as u64 > LOG_BYTES_MAX {
            return Err(MergeError::TooLarge {
                path: path.to_owned(),
            });
        }
        Ok(Self { path, text })
    }

    /// JSON begins with a brace; no log does.
    fn is_report(&self) -> bool {
        self.text.trim_start().starts_with('{')
    }
}

#[cfg(test)]
mod tests;
