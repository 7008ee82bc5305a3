//! The real program, `webrocket serve`, as a process.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Instant;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::admin::{Answer, request};
use super::{Browser, PATIENCE};

/// A directory with an empty configuration and a place for the node's files.
pub struct Host {
    dir: TempDir,
    variables: Vec<(String, String)>,
}

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

    /// `webrocket serve` with nothing of the machine's own environment, on free
    /// ports unless `flags` say otherwise.
    pub fn command(&self, flags: &[&str]) -> Command {
        let storage = self.dir.path().join("storage");
        let storage = storage.to_str().expect("text");
        let mut command = Command::new(env!("CARGO_BIN_EXE_webrocket"));
        command
            .arg("serve")
            .args(flags)
            .env_clear()
            .env("WEBROCKET_CONFIG", self.file());
        for (variable, flag, value) in [
            ("WEBROCKET_NODE_NAME", "--node-name", "test-node"),
            ("WEBROCKET_NODE_STORAGE_DIR", "--storage-dir", storage),
            (
                "WEBROCKET_LISTEN_WEBSOCKET",
                "--websocket-addr",
                "127.0.0.1:0",
            ),
            ("WEBROCKET_LISTEN_BACKEND", "--backend-addr", "127.0.0.1:0"),
            ("WEBROCKET_LISTEN_ADMIN", "--admin-addr", "127.0.0.1:0"),
        ] {
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
        let output = self.run(flags);
        let errors = String::from_utf8(output.stderr).expect("text");
        let code = output.status.code().expect("no signal");
        (code, errors.lines().map(str::to_owned).collect())
    }

    pub fn start(&self, flags: &[&str]) -> Serve {
        let mut child = self
            .command(flags)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("spawned");
        let said = lines(child.stdout.take().expect("piped"));
        let log = lines(child.stderr.take().expect("piped"));
        let mut serve = Serve {
            child,
            said,
            log,
            logged: Vec::new(),
            websocket: None,
            admin: None,
            cookie: String::new(),
        };
        serve.wait_for_start();
        serve
    }
}

/// A running node.
pub struct Serve {
    child: Child,
    said: Receiver<String>,
    log: Receiver<String>,
    logged: Vec<String>,
    websocket: Option<SocketAddr>,
    admin: Option<SocketAddr>,
    cookie: String,
}

impl Serve {
    /// Reads what a node says of itself, to the last of it.
    fn wait_for_start(&mut self) {
        loop {
            let Ok(line) = self.said.recv_timeout(PATIENCE) else {
                let log: Vec<String> = self.log.try_iter().collect();
                panic!("not started: {log:?}");
            };
            if let Some((_, addr)) = line.split_once("ws://") {
                self.websocket = addr.parse().ok();
            }
            if let Some((_, cookie)) = line.split_once("cookie     ") {
                self.cookie = cookie.into();
            }
            if let Some((_, addr)) = line.split_once("http://") {
                self.admin = addr.parse().ok();
                return;
            }
        }
    }

    pub fn websocket_addr(&self) -> SocketAddr {
        self.websocket.expect("told")
    }

    /// One request with the operator's cookie.
    pub fn admin(&self, method: &str, path: &str) -> Answer {
        request(self.admin.expect("told"), &self.cookie, method, path)
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

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("signalled");
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
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn lines(pipe: impl Read + Send + 'static) -> Receiver<String> {
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
