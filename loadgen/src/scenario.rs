//! Scenarios: sets of options under a name, shipped or in files.
//!
//! A scenario is TOML. Its keys are the long names of options without their
//! dashes, `description` tells what it is for. What stands on the command line
//! wins over what stands in the scenario.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::ops::Range;

use clap::error::{Error as Refusal, ErrorKind};
use clap::{ArgAction, Command, CommandFactory, FromArgMatches};
use thiserror::Error;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::args::Cli;
use crate::limits::SCENARIO_BYTES_MAX;

/// Name, and the TOML.
const SHIPPED: [(&str, &str); 7] = [
    ("fanout", include_str!("../scenarios/fanout.toml")),
    ("chat", include_str!("../scenarios/chat.toml")),
    ("presence", include_str!("../scenarios/presence.toml")),
    ("trigger", include_str!("../scenarios/trigger.toml")),
    ("storm", include_str!("../scenarios/storm.toml")),
    ("idle", include_str!("../scenarios/idle.toml")),
    ("soak", include_str!("../scenarios/soak.toml")),
];

/// Why a scenario can't be used. Its author helps; the text names the place.
#[derive(Debug, Error)]
pub(crate) enum ScenarioError {
    /// Neither shipped nor a file.
    #[error(
        "no scenario is named {name}: use {} or a path to a file, as ./{name}.toml",
        names()
    )]
    Unknown {
        /// As given.
        name: String,
    },
    /// The file can't be read.
    #[error("scenario {name}: {source}")]
    Read {
        /// The path.
        name: String,
        /// Why.
        source: io::Error,
    },
    /// Past [`SCENARIO_BYTES_MAX`].
    #[error("scenario {name}: larger than {SCENARIO_BYTES_MAX} bytes: it is something else")]
    TooLarge {
        /// The path.
        name: String,
    },
    /// Not TOML.
    #[error("scenario {name}: {source}")]
    Form {
        /// Name or path.
        name: String,
        /// Where and why.
        source: toml::de::Error,
    },
    /// No such option, or none for a scenario.
    #[error(
        "scenario {name}, line {line}: {key} is no option of a run; the keys are those of \
         `loadgen --help` without their dashes"
    )]
    Key {
        /// Name or path.
        name: String,
        /// From 1.
        line: usize,
        /// As written.
        key: String,
    },
    /// Another kind of value than the option takes.
    #[error("scenario {name}, line {line}: {key} should be {expected}")]
    Kind {
        /// Name or path.
        name: String,
        /// From 1.
        line: usize,
        /// The key.
        key: String,
        /// What it should be.
        expected: &'static str,
    },
    /// A value that the option refuses, or options that exclude each other.
    #[error("scenario {name}: {refusal}")]
    Value {
        /// Name or path.
        name: String,
        /// What the option says.
        refusal: String,
    },
}

/// The command line with what its scenario adds; a wrong one ends the process
/// with an explanation, as [`clap::Parser::parse`] does.
pub(crate) fn parse(line: impl Iterator<Item = OsString>) -> Cli {
    let line: Vec<OsString> = line.collect();
    try_parse(&line).unwrap_or_else(|refusal| refusal.exit())
}

fn try_parse(line: &[OsString]) -> Result<Cli, Refusal> {
    let matches = Cli::command().try_get_matches_from(line)?;
    let cli = Cli::from_arg_matches(&matches)?;
    let Some(name) = &cli.options.scenario else {
        return Ok(cli);
    };
    let refuse = |error: ScenarioError| Cli::command().error(ErrorKind::ValueValidation, error);
    let options = options(name).map_err(refuse)?;
    let program = line.iter().take(1);
    let whole: Vec<OsString> = program
        .cloned()
        .chain(options.into_iter().map(OsString::from))
        .chain(line.iter().skip(1).cloned())
        .collect();
    let matches = Cli::command().try_get_matches_from(whole)?;
    Cli::from_arg_matches(&matches)
}

/// The options of the scenario of this name, or in the file of this path.
fn options(name: &str) -> Result<Vec<String>, ScenarioError> {
    let text = match SHIPPED.iter().find(|(shipped, _)| *shipped == name) {
        Some((_, text)) => (*text).to_owned(),
        None => read(name)?,
    };
    let options = to_options(name, &text)?;
    // Said of the file, before the command line is mixed in.
    let alone = ["loadgen".to_owned()].into_iter().chain(options.clone());
    if let Err(refusal) = Cli::command().try_get_matches_from(alone) {
        let refusal = refusal.to_string();
        let said = refusal.strip_prefix("error: ").unwrap_or(&refusal);
        return Err(ScenarioError::Value {
            name: name.to_owned(),
            refusal: said.lines().next().unwrap_or_default().to_owned(),
        });
    }
    Ok(options)
}

fn read(name: &str) -> Result<String, ScenarioError> {
    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound if !name.contains(['/', '.']) => ScenarioError::Unknown {
            name: name.to_owned(),
        },
        _ => ScenarioError::Read {
            name: name.to_owned(),
            source,
        },
    };
    let size = fs::metadata(name).map_err(failed)?.len();
    if size > SCENARIO_BYTES_MAX {
        return Err(ScenarioError::TooLarge {
            name: name.to_owned(),
        });
    }
    fs::read_to_string(name).map_err(failed)
}

fn to_options(name: &str, text: &str) -> Result<Vec<String>, ScenarioError> {
    let table = DeTable::parse(text).map_err(|source| ScenarioError::Form {
        name: name.to_owned(),
        source,
    })?;
    let command = Cli::command();
    let mut entries: Vec<_> = table.into_inner().into_iter().collect();
    // In the order of the file: the last of two that exclude each other is blamed.
    entries.sort_by_key(|(key, _)| key.span().start);
    let mut options = Vec::new();
    for (key, value) in entries {
        let place = Place {
            name,
            line: line_of(text, &key.span()),
            key: key.get_ref(),
        };
        if place.key == "description" {
            if !value.get_ref().is_str() {
                return Err(place.kind("a text"));
            }
        } else {
            options.extend(place.to_option(&command, value)?);
        }
    }
    Ok(options)
}

/// Where an entry stands.
struct Place<'a> {
    name: &'a str,
    line: usize,
    key: &'a str,
}

impl Place<'_> {
    fn to_option(
        &self,
        command: &Command,
        value: Spanned<DeValue<'_>>,
    ) -> Result<Vec<String>, ScenarioError> {
        let mut known = command.get_arguments();
        let takes_value = known
            .find(|argument| argument.get_long() == Some(self.key))
            .filter(|argument| argument.get_id() != "scenario")
            .map(|argument| match argument.get_action() {
                ArgAction::Set | ArgAction::Append => Some(true),
                ArgAction::SetTrue => Some(false),
                // Help and version.
                _ => None,
            });
        let Some(Some(takes_value)) = takes_value else {
            return Err(ScenarioError::Key {
                name: self.name.to_owned(),
                line: self.line,
                key: self.key.to_owned(),
            });
        };
        let flag = format!("--{}", self.key);
        match (value.into_inner(), takes_value) {
            (DeValue::Boolean(true), false) => Ok(vec![flag]),
            (DeValue::Boolean(false), false) => Ok(vec![]),
            (_, false) => Err(self.kind("true or false")),
            (DeValue::Array(values), true) => {
                let words = values.into_iter().map(|value| {
                    let word = self.word(value.into_inner())?;
                    Ok(format!("{flag}={word}"))
                });
                words.collect()
            }
            (value, true) => Ok(vec![format!("{flag}={}", self.word(value)?)]),
        }
    }

    fn word(&self, value: DeValue<'_>) -> Result<String, ScenarioError> {
        match value {
            DeValue::String(text) => Ok(text.into_owned()),
            DeValue::Integer(number) => Ok(number.to_string()),
            DeValue::Float(number) => Ok(number.to_string()),
            _ => Err(self.kind("a number or a text")),
        }
    }

    fn kind(&self, expected: &'static str) -> ScenarioError {
        ScenarioError::Kind {
            name: self.name.to_owned(),
            line: self.line,
            key: self.key.to_owned(),
            expected,
        }
    }
}

fn line_of(text: &str, span: &Range<usize>) -> usize {
    let before = text.get(..span.start).unwrap_or_default();
    1 + before.matches('\n').count()
}

fn names() -> String {
    SHIPPED.map(|(name, _)| name).join(", ")
}

/// For the help: each shipped scenario and what it is for.
pub(crate) fn overview() -> String {
    let mut text = String::from("Scenarios:\n");
    for (name, toml) in SHIPPED {
        let table = DeTable::parse(toml).ok();
        let description = table.as_ref().and_then(|table| {
            let value = table.get_ref().get("description")?;
            value.get_ref().as_str()
        });
        // Writing to a string does not fail.
        let _ = writeln!(text, "  {name:<9} {}", description.unwrap_or_default());
    }
    text
}

#[cfg(test)]
mod tests;
