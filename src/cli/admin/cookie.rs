use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use clap::ArgMatches;
use clap::parser::ValueSource;

use super::Options;
use super::error::Error;
use crate::model::AccessToken;

/// The operator's secret and where it was found.
pub(super) struct Cookie {
    pub(super) text: String,
    /// For messages: an option or a file, never the secret.
    pub(super) origin: String,
}

/// The cookie of `--cookie`, of `--cookie-file`, or of the node's own file; what the
/// command line says is stronger than what the environment says.
pub(super) fn find(options: &Options, matches: &ArgMatches) -> Result<Cookie, Error> {
    let typed = |option: &str| matches.value_source(option) == Some(ValueSource::CommandLine);
    let file_is_stronger = typed("cookie_file") && !typed("cookie");
    match (&options.cookie, &options.cookie_file) {
        (Some(cookie), None) => given(cookie),
        (Some(cookie), Some(_)) if !file_is_stronger => given(cookie),
        (_, Some(file)) => read(file),
        (None, None) => {
            let node = match &options.node {
                Some(node) => node.clone(),
                None => host_name()?,
            };
            read(&options.storage_dir.join(format!("{node}.cookie")))
        }
    }
}

fn given(text: &str) -> Result<Cookie, Error> {
    parse(text.as_bytes(), "--cookie".to_owned())
}

/// A cookie and the end of a line; one more shows that it is none.
const FILE_BYTES: u64 = 2 * AccessToken::BYTES as u64 + 3;

fn read(path: &Path) -> Result<Cookie, Error> {
    let mut text = Vec::new();
    File::open(path)
        .and_then(|file| file.take(FILE_BYTES).read_to_end(&mut text))
        .map_err(|source| Error::CookieFile {
            path: path.into(),
            advice: advice(&source),
            source,
        })?;
    parse(text.trim_ascii_end(), path.display().to_string())
}

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

fn parse(text: &[u8], origin: String) -> Result<Cookie, Error> {
    match AccessToken::parse(text) {
        Some(token) => Ok(Cookie {
            text: token.to_string(),
            origin,
        }),
        None => Err(Error::NoCookie { origin }),
    }
}

fn host_name() -> Result<String, Error> {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").map_err(Error::NodeName)?;
    Ok(name.trim().to_owned())
}
