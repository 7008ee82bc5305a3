use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

use rustix::fs::{Access, AtFlags, CWD, accessat};

use super::Settings;
use super::problem::{Problem, Reason, Source};
use super::table::node_name;

/// What valid settings may still lack on this host. Looks only: creates no
/// directory, and says nothing of a port in use, for that may be the node whose
/// next configuration this is.
pub(in crate::cli) fn check(settings: &Settings) -> Vec<Problem> {
    let storage = usable(&settings.storage_dir)
        .err()
        .map(|(path, source)| ("node.storage_dir", Reason::Storage { path, source }));
    let tls = settings.tls().and_then(|tls| tls.files.load().err());
    let tls = tls.map(|error| ("tls", Reason::Tls(Box::new(error))));
    let addresses = [
        ("listen.websocket", Some(settings.websocket_addr)),
        ("listen.backend", Some(settings.backend_addr)),
        ("listen.admin", Some(settings.admin_addr)),
        ("listen.websocket_tls", settings.websocket_tls_addr),
        ("listen.backend_tls", settings.backend_tls_addr),
    ];
    let addresses = addresses.into_iter().filter_map(|(key, addr)| {
        let addr = addr?;
        let source = bind(addr).err()?;
        let addr = addr.to_string();
        Some((key, Reason::Bind { addr, source }))
    });
    let problem = |(key, reason): (&str, Reason)| Problem {
        source: Source::Host,
        key: key.into(),
        reason,
    };
    let named = settings.node_name.is_none().then(|| host_name().err());
    let found = storage.into_iter().chain(addresses).chain(tls).map(problem);
    named.flatten().into_iter().chain(found).collect()
}

/// The name of a node that is given none.
///
/// # Errors
/// Why the host's name is no name for a node.
pub(in crate::cli) fn host_name() -> Result<String, Problem> {
    let name = crate::cli::host_name().map_err(Reason::from);
    name.and_then(|name| node_name(&name))
        .map_err(|reason| Problem {
            source: Source::Host,
            key: "node.name".into(),
            reason,
        })
}

/// Whether files can be made in the directory, or the directory below the
/// nearest that is there.
fn usable(dir: &Path) -> Result<(), (PathBuf, io::Error)> {
    let there = dir.ancestors().find(|path| path.exists());
    let there = there.filter(|path| !path.as_os_str().is_empty());
    let there = there.unwrap_or(Path::new("."));
    if !there.is_dir() {
        return Err((there.into(), io::ErrorKind::NotADirectory.into()));
    }
    let may = Access::WRITE_OK | Access::EXEC_OK;
    accessat(CWD, there, may, AtFlags::EACCESS).map_err(|error| (there.into(), error.into()))
}

fn bind(addr: SocketAddr) -> io::Result<()> {
    match TcpListener::bind(addr) {
        Err(error) if error.kind() != io::ErrorKind::AddrInUse => Err(error),
        _ => Ok(()),
    }
}
