use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use clap::ArgMatches;
use clap::parser::ValueSource;

use super::Target;
use super::error::Error;
use crate::cli::host_name;
use crate::model::AccessToken;

/// The operator's secret and where it was found.
#[derive(Clone)]
pub(super) struct Cookie {
    pub(super) text: String,
    pub(super) origin: Origin,
}

/// Where a cookie was found; for messages, which never show the secret.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::cli) enum Origin {
    /// `--cookie` or its variable.
    Given,
    /// This file.
    File(PathBuf),
}

impl Cookie {
    /// The cookie of `--cookie`, of `--cookie-file`, or of the node's own file; what the
    /// command line says is stronger than what the environment says.
    pub(super) fn find(target: &Target, matches: &ArgMatches) -> Result<Self, Error> {
        let typed = |option: &str| matches.value_source(option) == Some(ValueSource::CommandLine);
        let file_is_stronger = typed("cookie_file") && !typed("cookie");
        match (&target.cookie, &target.cookie_file) {
            (Some(cookie), None) => Self::parse(cookie.as_bytes(), Origin::Given),
            (Some(cookie), Some(_)) if !file_is_stronger => {
                Self::parse(cookie.as_bytes(), Origin::Given)
            }
            (_, Some(file)) => Self::read(file),
            (None, None) => {
                let node = match &target.node {
                    Some(node) => node.clone(),
                    None => host_name().map_err(Error::NodeName)?,
                };
                Self::read(&target.storage_dir.join(format!("{node}.cookie")))
            }
        }
    }

    /// What its file holds now; as it is where it was given.
    pub(super) fn renewed(&self) -> Result<Self, Error> {
        match &self.origin {
            Origin::Given => Ok(self.clone()),
            Origin::File(path) => Self::read(path),
        }
    }

    fn read(path: &Path) -> Result<Self, Error> {
        let mut text = Vec::new();
        File::open(path)
            .and_then(|file| file.take(FILE_BYTES).read_to_end(&mut text))
            .map_err(|source| Error::CookieFile {
                path: path.into(),
                advice: advice(&source),
                source,
            })?;
        Self::parse(text.trim_ascii_end(), Origin::File(path.into()))
    }

    fn parse(text: &[u8], origin: Origin) -> Result<Self, Error> {
        match AccessToken::parse(text) {
            Some(token) => Ok(Self {
                text: token.to_string(),
                origin,
            }),
            None => Err(Error::NoCookie { origin }),
        }
    }
}

/// A cookie and the end of a line; one more shows that it is none.
const FILE_BYTES: u64 = 2 * AccessToken::BYTES as u64 + 3;

fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::PermissionDenied => {
            "run this as the node's user or root, or give the cookie with --cookie-file"
        }
        io::ErrorKind::NotFound => {
            "a node makes it at its first start: name the node with --node and --storage-dir, \
             or give its cookie with --cookie-file"
        }
        _ => "give the cookie with --cookie-file",
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Given => f.write_str("--cookie"),
            Self::File(path) => path.display().fmt(f),
        }
    }
}
