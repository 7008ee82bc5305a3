use std::net::SocketAddr;
use std::path::PathBuf;

use super::{Failure, STOP_TIMEOUT, default_shards, runtime, stop_signal};
use crate::server::{Config, Node};

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// Where browsers connect
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080")]
    websocket_addr: SocketAddr,
    /// Where backends connect with Kosmonaut
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8081")]
    backend_addr: SocketAddr,
    /// Where operators connect
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8082")]
    admin_addr: SocketAddr,
    /// Where the node keeps its cookie, its lock and its store of vhosts,
    /// channels and tokens
    #[arg(long, value_name = "DIR", default_value = "/var/lib/webrocket")]
    storage_dir: PathBuf,
    /// Names the node's files [default: the host's name]
    #[arg(long, value_name = "NAME", value_parser = node_name)]
    node_name: Option<String>,
    /// Shards, each on a core of its own [default: the number of cores]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    shards: Option<u16>,
}

pub(super) fn run(arguments: Arguments) -> Result<(), Failure> {
    let node_name = match arguments.node_name {
        Some(name) => name,
        None => host_name()?,
    };
    let config = Config {
        websocket_addr: arguments.websocket_addr,
        backend_addr: arguments.backend_addr,
        admin_addr: arguments.admin_addr,
        storage_dir: arguments.storage_dir.clone(),
        node_name: node_name.clone(),
        shards: arguments.shards.unwrap_or_else(default_shards),
    };
    let shards = config.shards;
    let runtime = runtime()?;
    let node = Node::start(config)?;
    println!("node       {node_name}, {shards} shards");
    println!("cookie     {}", node.cookie());
    println!("storage    {}", arguments.storage_dir.display());
    println!("websocket  ws://{}", node.websocket_addr());
    println!("backend    wr://{}", node.backend_addr());
    println!("admin      http://{}", node.admin_addr());
    runtime.block_on(stop_signal())?;
    tracing::info!("draining");
    if node.stop(STOP_TIMEOUT) {
        Ok(())
    } else {
        Err(Failure::NotDrained)
    }
}

fn host_name() -> Result<String, Failure> {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname")
        .map_err(Failure::system("host name"))?;
    let invalid = |reason| {
        let source = std::io::Error::other(format!("{reason}; give one with --node-name"));
        Failure::System {
            what: "host name",
            source,
        }
    };
    node_name(name.trim()).map_err(invalid)
}

/// A node's name is part of file names.
fn node_name(name: &str) -> Result<String, String> {
    let valid = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    if name.len() >= 2 && name.len() <= 64 && name.bytes().all(valid) && name != ".." {
        Ok(name.to_owned())
    } else {
        Err(format!(
            "{name:?} is no node name: 2 to 64 of letters, digits, '.', '-' and '_'"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn node_names() {
        for good in ["ab", "node-1.example_x", &"n".repeat(64)] {
            assert!(node_name(good).is_ok(), "{good}");
        }
        for bad in ["", "a", "..", "a/b", "a b", "ä1", &"n".repeat(65)] {
            assert!(node_name(bad).is_err(), "{bad}");
        }
    }
}
