//! `webrocket serve` as a process.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::Instant;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::admin::{Answer, request};
use super::program::{PROGRAM, forget_settings};
use super::{Browser, PATIENCE};

/// A directory with an empty configuration and a place for the node's files.
pub struct Host {
    dir: TempDir,
    variables: Vec<(String, String)>,
}

/// The settings of every node here, where flags do not say otherwise: free ports.
const DEFAULTS: [(&str, &str, &str); 4] = [
    ("WEBROCKET_NODE_NAME", "--node-name", "test-node"),
    (
        "WEBROCKET_LISTEN_WEBSOCKET",
        "--websocket-addr",
        "127.0.0.1:0",
    ),
    ("WEBROCKET_LISTEN_BACKEND", "--backend-addr", "127.0.0.1:0"),
    ("WEBROCKET_LISTEN_ADMIN", "--admin-addr", "127.0.0.1:0"),
];

impl Host {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        fs::write(dir.path().join("webrocket.toml"), "").expect("written");
        Self {
            dir,
            variables: Vec::new(),
        }
    }

    /// Puts this text into the configuration file.
    pub fn configure(&self, text: &str) {
        fs::write(self.file(), text).expect("written");
    }

    pub fn set(&mut self, variable: &str, value: &str) {
        self.variables.push((variable.into(), value.into()));
    }

    pub fn file(&self) -> PathBuf {
        self.dir.path().join("webrocket.toml")
    }

    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Where the node keeps its files unless `flags` say otherwise.
    pub fn storage(&self) -> PathBuf {
        self.dir.path().join("storage")
    }

    /// The node's store.
    pub fn store(&self) -> PathBuf {
        self.storage().join("test-node.redb")
    }

    /// `webrocket serve`.
    pub fn command(&self, flags: &[&str]) -> Command {
        self.with_settings(Command::new(PROGRAM), flags)
    }

    /// The same under a shell that first runs `setup`, as `ulimit`.
    pub fn command_after(&self, setup: &str, flags: &[&str]) -> Command {
        let mut command = Command::new("sh");
        command
            .arg("-c")
            .arg(format!(r#"{setup} exec "$0" "$@""#))
            .arg(PROGRAM);
        self.with_settings(command, flags)
    }

    fn with_settings(&self, mut command: Command, flags: &[&str]) -> Command {
        forget_settings(&mut command);
        command
            .arg("serve")
            .args(flags)
            .env("WEBROCKET_CONFIG", self.file())
            .stdin(Stdio::null());
        if !flags.contains(&"--storage-dir") {
            command.env("WEBROCKET_NODE_STORAGE_DIR", self.storage());
        }
        for (variable, flag, value) in DEFAULTS {
            if !flags.contains(&flag) {
                command.env(variable, value);
            }
        }
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Runs one that ends by itself.
    pub fn run(&self, flags: &[&str]) -> Output {
        self.command(flags).output().expect("run")
    }

    /// The exit code and the lines on stderr of one that must not start.
    pub fn refusal(&self, flags: &[&str]) -> (i32, Vec<String>) {
        refusal(self.command(flags))
    }

    pub fn start(&self, flags: &[&str]) -> Serve {
        start(self.command(flags))
    }
}

/// Starts a node, which must serve.
pub fn start(command: Command) -> Serve {
    let started = Serve::start(command);
    started.unwrap_or_else(|refusal| panic!("not started: {refusal:?}"))
}

/// The exit code and the lines on stderr of a node that must not start.
pub fn refusal(command: Command) -> (i32, Vec<String>) {
    Serve::start(command).err().expect("must not start")
}

/// A running node; killed when dropped.
pub struct Serve {
    child: Child,
    said: Receiver<String>,
    log: Receiver<String>,
    logged: Vec<String>,
    websocket: Option<SocketAddr>,
    backend: Option<SocketAddr>,
    tls_websocket: Option<SocketAddr>,
    tls_backend: Option<SocketAddr>,
    admin: Option<SocketAddr>,
    cookie: String,
}

impl Serve {
    /// Waits until it has told its addresses; gives the exit code and the log of
    /// one that ended before.
    fn start(mut command: Command) -> Result<Self, (i32, Vec<String>)> {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("spawned");
        let said = lines(child.stdout.take().expect("piped"));
        let log = lines(child.stderr.take().expect("piped"));
        let mut serve = Self {
            child,
            said,
            log,
            logged: Vec::new(),
            websocket: None,
            backend: None,
            tls_websocket: None,
            tls_backend: None,
            admin: None,
            cookie: String::new(),
        };
        match serve.hear_addresses() {
            true => Ok(serve),
            false => Err(serve.end()),
        }
    }

    /// Reads what a node says of itself, to the last of it.
    fn hear_addresses(&mut self) -> bool {
        while self.admin.is_none() {
            let line = match self.said.recv_timeout(PATIENCE) {
                Ok(line) => line,
                Err(RecvTimeoutError::Disconnected) => return false,
                Err(RecvTimeoutError::Timeout) => {
                    let log: Vec<String> = self.log.try_iter().collect();
                    panic!("neither started nor ended: {log:?}");
                }
            };
            let (what, value) = line.split_once(' ').expect("a name and a value");
            let value = value.trim();
            let addr = value.split_once("//").and_then(|(_, it)| it.parse().ok());
            match what {
                "cookie" => self.cookie = value.into(),
                "websocket" if value.starts_with("wss:") => self.tls_websocket = addr,
                "backend" if value.starts_with("wrs:") => self.tls_backend = addr,
                "websocket" => self.websocket = addr,
                "backend" => self.backend = addr,
                "admin" => self.admin = Some(addr.expect("an address")),
                _ => {}
            }
        }
        true
    }

    pub fn websocket_addr(&self) -> SocketAddr {
        self.websocket.expect("told")
    }

    pub fn backend_addr(&self) -> SocketAddr {
        self.backend.expect("told")
    }

    pub fn tls_websocket_addr(&self) -> SocketAddr {
        self.tls_websocket.expect("told")
    }

    pub fn tls_backend_addr(&self) -> SocketAddr {
        self.tls_backend.expect("told")
    }

    pub fn admin_addr(&self) -> SocketAddr {
        self.admin.expect("told")
    }

    pub fn cookie(&self) -> &str {
        &self.cookie
    }

    /// One request with the operator's cookie.
    pub fn admin(&self, method: &str, path: &str) -> Answer {
        request(self.admin_addr(), &self.cookie, method, path)
    }

    /// A browser on the vhost `/test`, which must exist.
    pub fn browser(&self) -> Browser {
        Browser::connect(self.websocket_addr(), "/test")
    }

    /// Waits for a line of the log with all of these parts.
    pub fn expect_log(&mut self, parts: &[&str]) -> String {
        let begun = Instant::now();
        loop {
            let left = PATIENCE.saturating_sub(begun.elapsed());
            let Ok(line) = self.log.recv_timeout(left) else {
                panic!("never logged {parts:?}, but {:#?}", self.logged);
            };
            self.logged.push(line.clone());
            if parts.iter().all(|part| line.contains(part)) {
                return line;
            }
        }
    }

    /// What was logged so far, as far as a test has asked for it.
    pub fn logged(&self) -> &[String] {
        &self.logged
    }

    pub fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).expect("signalled");
    }

    /// SIGKILL: nothing is finished, nothing is flushed.
    pub fn kill(&mut self) {
        self.child.kill().expect("killed");
        self.child.wait().expect("ended");
    }

    /// SIGTERM, after which it must end in order.
    pub fn stop(self) -> Vec<String> {
        self.signal(Signal::TERM);
        let (code, log) = self.end();
        assert_eq!(code, 0, "{log:#?}");
        log
    }

    /// Waits for its end; gives its exit code and the whole log.
    pub fn end(mut self) -> (i32, Vec<String>) {
        // The log ends with the process.
        let begun = Instant::now();
        while let Ok(line) = self
            .log
            .recv_timeout(PATIENCE.saturating_sub(begun.elapsed()))
        {
            self.logged.push(line);
        }
        let status = self.child.try_wait().expect("waited");
        let status = status.or_else(|| {
            // Its pipes are closed: it ends, or it hangs and the test with it.
            (begun.elapsed() < PATIENCE).then(|| self.child.wait().expect("waited"))
        });
        let code = status.and_then(|status| status.code());
        let code = code.unwrap_or_else(|| panic!("no orderly end: {:#?}", self.logged));
        (code, std::mem::take(&mut self.logged))
    }
}

impl Drop for Serve {
    fn drop(&mut self) {
        // Ended already, mostly.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The lines of a pipe, as they come.
pub fn lines(pipe: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, lines) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    lines
}
