//! A running node as its operator reaches it: where it is, its cookie, and one
//! exchange with it. For all commands that ask one.

mod client;
mod cookie;
mod error;

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgMatches, ValueHint};

pub(super) use client::{Client, path};
pub(super) use error::Error;

use client::Address;
use cookie::Cookie;

/// Which node, and with what cookie.
#[derive(clap::Args)]
pub(super) struct Target {
    /// Where the node listens for operators
    #[arg(
        long,
        global = true,
        env = "WEBROCKET_ADMIN_ADDR",
        value_name = "ADDR",
        value_hint = ValueHint::Hostname,
        default_value = "127.0.0.1:8082"
    )]
    admin_addr: Address,
    /// The node's cookie. Other users of this machine can see it in the list of
    /// processes: prefer the file or the environment
    #[arg(
        long,
        global = true,
        env = "WEBROCKET_COOKIE",
        hide_env_values = true,
        value_name = "COOKIE",
        value_hint = ValueHint::Other
    )]
    cookie: Option<String>,
    /// The file with the node's cookie
    #[arg(
        long,
        global = true,
        env = "WEBROCKET_COOKIE_FILE",
        value_name = "FILE",
        value_hint = ValueHint::FilePath
    )]
    cookie_file: Option<PathBuf>,
    /// The node's name [default: the host's name]
    #[arg(
        long,
        global = true,
        env = "WEBROCKET_NODE_NAME",
        value_name = "NAME",
        value_hint = ValueHint::Other
    )]
    node: Option<String>,
    /// Where the node keeps its cookie
    #[arg(
        long,
        global = true,
        env = "WEBROCKET_NODE_STORAGE_DIR",
        value_name = "DIR",
        value_hint = ValueHint::DirPath,
        default_value = "/var/lib/webrocket"
    )]
    storage_dir: PathBuf,
}

impl Target {
    /// Finds the cookie; connects to nobody yet. `matches` are those of the command.
    /// The client gives up on an exchange after `timeout`, and on an answer past
    /// `answer_bytes_max`.
    ///
    /// # Errors
    /// There is no cookie to be had.
    pub(super) fn client(
        &self,
        matches: &ArgMatches,
        timeout: Duration,
        answer_bytes_max: u64,
    ) -> Result<Client, Error> {
        let cookie = Cookie::find(self, matches)?;
        let addr = self.admin_addr.clone();
        Ok(Client::new(addr, cookie, timeout, answer_bytes_max))
    }
}
