//! The real binary in a process of its own, for what ends a process.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Instant;

use super::PATIENCE;

/// `webrocket serve` with ports of its own; killed when dropped.
pub struct Process {
    child: Child,
    pub cookie: String,
    pub websocket: SocketAddr,
    pub backend: SocketAddr,
    pub admin: SocketAddr,
}

/// A process that ended before it served.
#[derive(Debug)]
pub struct Refused {
    pub status: ExitStatus,
    pub stderr: String,
}

/// `webrocket serve` on this storage directory and on free ports.
pub fn serve(storage: &Path) -> Command {
    serve_at(storage, ["127.0.0.1:0"; 3])
}

/// The same at these addresses: websocket, backend, admin.
pub fn serve_at(storage: &Path, addresses: [&str; 3]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_webrocket"));
    command.args(arguments(storage, addresses));
    command
}

/// The same under a shell that first runs `setup`, as `ulimit`.
pub fn serve_after(setup: &str, storage: &Path) -> Command {
    let mut command = Command::new("sh");
    command
        .arg("-c")
        .arg(format!(r#"{setup} exec "$0" "$@""#))
        .arg(env!("CARGO_BIN_EXE_webrocket"))
        .args(arguments(storage, ["127.0.0.1:0"; 3]));
    command
}

fn arguments<'a>(storage: &'a Path, addresses: [&'a str; 3]) -> [&'a str; 14] {
    let storage = storage.to_str().expect("text");
    let [websocket, backend, admin] = addresses;
    [
        "serve",
        "--storage-dir",
        storage,
        "--node-name",
        "test-node",
        "--websocket-addr",
        websocket,
        "--backend-addr",
        backend,
        "--admin-addr",
        admin,
        "--shards=2",
        "--log",
        "warn",
    ]
}

impl Process {
    /// Starts it and waits until it has told its addresses.
    pub fn start(command: &mut Command) -> Result<Self, Refused> {
        let command = command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the binary runs");
        let stdout = child.stdout.take().expect("piped");
        let mut lines = BufReader::new(stdout).lines();
        let mut told = Vec::new();
        while let Some(Ok(line)) = lines.next() {
            let (what, value) = line.split_once(' ').expect("a name and a value");
            told.push((what.to_owned(), value.trim().to_owned()));
            if what == "admin" {
                break;
            }
        }
        let value = |name: &str| {
            let line = told.iter().find(|(what, _)| what == name);
            line.map(|(_, value)| value.clone())
        };
        let addr = |name: &str| {
            let url = value(name).expect("told");
            let (_, addr) = url.split_once("//").expect("a URL");
            addr.parse().expect("an address")
        };
        if value("admin").is_none() {
            let mut stderr = String::new();
            let pipe = child.stderr.as_mut().expect("piped");
            pipe.read_to_string(&mut stderr).expect("text");
            let status = child.wait().expect("ended");
            return Err(Refused { status, stderr });
        }
        Ok(Self {
            cookie: value("cookie").expect("told"),
            websocket: addr("websocket"),
            backend: addr("backend"),
            admin: addr("admin"),
            child,
        })
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// SIGKILL: nothing is finished, nothing is flushed.
    pub fn kill(&mut self) {
        self.child.kill().expect("killed");
        self.child.wait().expect("ended");
    }

    /// SIGTERM; gives the exit status and what was logged.
    pub fn terminate(mut self) -> (ExitStatus, String) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("told");
        let begun = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("waited") {
                break status;
            }
            assert!(begun.elapsed() < PATIENCE, "does not end");
            std::thread::yield_now();
        };
        let mut stderr = String::new();
        let mut pipe = self.child.stderr.take().expect("piped");
        pipe.read_to_string(&mut stderr).expect("text");
        (status, stderr)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Ended already, mostly.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
