//! The example backends, each as a process beside a node's: what a frontend sees
//! of them, and what they say when they cannot work.
//!
//! Where a language is not on the machine its tests say so and pass, unless
//! `WEBROCKET_REQUIRE_LANGUAGES=1`.

#![forbid(unsafe_code)]

mod support;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::Receiver;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use support::PATIENCE;
use support::program::{PROGRAM, forget_settings};
use support::serve::{Host, Serve, lines};

/// Makes a module of tests for each language.
macro_rules! languages {
    ($($name:ident: $language:expr;)*) => {$(
        mod $name {
            use super::*;

            #[test]
            fn a_user_joins_and_is_answered() {
                each($language, super::a_user_joins_and_is_answered);
            }

            #[test]
            fn the_backend_outlives_its_broker() {
                each($language, super::the_backend_outlives_its_broker);
            }

            #[test]
            fn it_beats() {
                each($language, super::it_beats);
            }

            #[test]
            fn it_waits_for_a_broker() {
                each($language, super::it_waits_for_a_broker);
            }

            #[test]
            fn a_name_has_a_form() {
                each($language, super::a_name_has_a_form);
            }

            #[test]
            fn what_is_wrong_is_said_in_one_line() {
                each($language, super::what_is_wrong_is_said_in_one_line);
            }

            #[test]
            fn one_command_starts_it_and_ends_it() {
                each($language, super::one_command_starts_it_and_ends_it);
            }
        }
    )*};
}

languages! {
    python: Language::Script("python3", "python/backend.py");
    ruby: Language::Script("ruby", "ruby/backend.rb");
    node: Language::Script("node", "node/backend.mjs");
    rust: Language::Rust;
}

#[derive(Clone, Copy)]
enum Language {
    /// An interpreter and what it runs.
    Script(&'static str, &'static str),
    Rust,
}

impl Language {
    fn is_here(self) -> bool {
        let Self::Script(interpreter, _) = self else {
            return true;
        };
        let mut command = Command::new(interpreter);
        let command = command.arg("--version").stdout(Stdio::null());
        let is_here = command.status().is_ok_and(|status| status.success());
        let is_required = std::env::var("WEBROCKET_REQUIRE_LANGUAGES").is_ok_and(|it| it == "1");
        assert!(is_here || !is_required, "{interpreter} is not here");
        if !is_here {
            eprintln!("not tested: {interpreter} is not here");
        }
        is_here
    }

    fn command(self) -> Command {
        let mut command = match self {
            Self::Script(interpreter, file) => {
                let mut command = Command::new(interpreter);
                command.arg(examples().join(file));
                command
            }
            Self::Rust => Command::new(rust_backend()),
        };
        forget_settings(&mut command);
        command.env("LISTEN", "127.0.0.1:0").stdin(Stdio::null());
        command
    }

    /// What `examples/run` calls it.
    fn name(self) -> &'static str {
        match self {
            Self::Script(_, file) => file.split('/').next().expect("a directory"),
            Self::Rust => "rust",
        }
    }
}

fn each(language: Language, test: fn(Language)) {
    if language.is_here() {
        test(language);
    }
}

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples")
}

/// Builds the Rust backend, which is another package's program.
fn rust_backend() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["build", "-p", "example-backend", "--message-format=json"]);
        let output = cargo.current_dir(env!("CARGO_MANIFEST_DIR")).output();
        let output = output.expect("run");
        assert!(output.status.success(), "{output:?}");
        let lines = String::from_utf8(output.stdout).expect("text");
        let program = lines.lines().find_map(|line| {
            let message: Value = serde_json::from_str(line).expect("JSON");
            message["executable"].as_str().map(PathBuf::from)
        });
        program.expect("a program")
    })
}

fn a_user_joins_and_is_answered(language: Language) {
    let host = Host::new();
    let broker = host.start(&[]);
    let url = add_vhost(&broker);
    let mut backend = Backend::start(language.command().arg(&url));
    backend.expect_said("worker ready");

    let mut ann = broker.browser();
    backend.authenticate(&mut ann, "ann");
    ann.subscribe("lobby");
    ann.send(json!({"subscribe": {"channel": "presence-lobby"}}));
    let subscribed = json!({"channel": "presence-lobby", "uid": "ann", "subscribers": []});
    ann.expect(json!({":subscribed": subscribed}));
    let member = json!({"channel": "presence-lobby", "uid": "ann"});
    ann.expect(json!({":memberJoined": member}));
    // The token grants no more than that.
    broker
        .admin("POST", "/test/channels/private-other")
        .expect_found("/test/channels/private-other");
    ann.send(json!({"subscribe": {"channel": "private-other"}}));
    ann.expect_error(403);

    let text = "echo  \u{e9}\u{1f680} \"quoted\"\nnext\tline";
    ann.send(json!({"trigger": {"event": "command", "data": {"channel": "lobby", "text": text}}}));
    let echoed = text.strip_prefix("echo ").expect("an echo");
    let answer = ann.receive();
    assert_eq!(answer["answer"]["channel"], "lobby");
    let answered = answer["answer"]["text"].as_str().expect("a text");
    assert_eq!(answered, echoed, "{answer}");

    // What is no command is not answered, and does no harm.
    for data in [
        json!({}),
        json!({"channel": "private-other", "text": "echo no"}),
        json!({"channel": 1, "text": []}),
        json!({"channel": "lobby", "text": null}),
    ] {
        ann.send(json!({"trigger": {"event": "command", "data": data}}));
    }
    ann.send(
        json!({"trigger": {"event": "other", "data": {"channel": "lobby", "text": "echo no"}}}),
    );
    command(&mut ann, "who are you");
    ann.expect(json!({"answer": {"channel": "lobby", "text": "commands: echo TEXT, time"}}));
    command(&mut ann, "time");
    let told = ann.receive()["answer"]["text"].to_string();
    assert!(told.starts_with("\"20") && told.contains('T'), "{told}");
}

fn the_backend_outlives_its_broker(language: Language) {
    let host = Host::new();
    let broker = host.start(&[]);
    let url = add_vhost(&broker);
    let (websocket, backend_addr) = (broker.websocket_addr(), broker.backend_addr());
    let mut backend = Backend::start(language.command().arg(&url));
    backend.expect_said("worker ready");
    broker.stop();
    backend.expect_said("no broker");
    assert_eq!(backend.get("/webrocket/auth.json?name=ann").0, 503);

    let again = [
        "--websocket-addr",
        &websocket.to_string(),
        "--backend-addr",
        &backend_addr.to_string(),
    ];
    let broker = host.start(&again);
    backend.expect_said("worker ready");
    let mut ann = broker.browser();
    backend.authenticate(&mut ann, "ann");
    ann.subscribe("lobby");
    command(&mut ann, "echo back");
    ann.expect(json!({"answer": {"channel": "lobby", "text": "back"}}));
}

/// Without heartbeats the broker gives a worker up after 1.5 s, so that none
/// would keep its registration for twice that. A machine that is too busy for
/// one span may have the next.
fn it_beats(language: Language) {
    let host = Host::new();
    let broker = host.start(&[]);
    let url = add_vhost(&broker);
    let mut backend = Backend::start(language.command().arg(&url));
    backend.expect_said("worker ready");
    let workers = || broker.admin("GET", "/test/workers").json()["workers"].clone();
    let begun = Instant::now();
    loop {
        let before = workers();
        thread::sleep(Duration::from_secs(3));
        if before[0].is_object() && before == workers() {
            return;
        }
        assert!(begun.elapsed() < PATIENCE, "no worker stays");
    }
}

fn it_waits_for_a_broker(language: Language) {
    let host = Host::new();
    let broker = host.start(&[]);
    let url = add_vhost(&broker);
    let backend_addr = broker.backend_addr().to_string();
    broker.stop();
    let mut backend = Backend::start(language.command().env("WEBROCKET_URL", &url));
    backend.expect_said("no broker");
    let _broker = host.start(&["--backend-addr", &backend_addr]);
    backend.expect_said("worker ready");
}

fn a_name_has_a_form(language: Language) {
    let host = Host::new();
    let broker = host.start(&[]);
    let url = add_vhost(&broker);
    let backend = Backend::start(language.command().arg(&url));
    let longest = "n".repeat(32);
    let (status, body) = backend.get(&format!("/webrocket/auth.json?name={longest}"));
    assert_eq!(status, 200, "{body}");
    let body: Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!(body["token"].as_str().map(str::len), Some(128), "{body}");
    for query in [
        "",
        "?name=",
        "?other=ann",
        "?name=a%20b",
        "?name=ann%0A",
        "?name=a%0AOC",
        "?name=%C3%A9",
        "?name=%FF",
        &format!("?name={longest}n"),
    ] {
        let (status, body) = backend.get(&format!("/webrocket/auth.json{query}"));
        assert_eq!(status, 400, "{query}: {body}");
    }
    assert_eq!(backend.get("/nowhere").0, 404);
    let (status, page) = backend.get("/");
    assert_eq!(status, 200);
    assert!(
        page.contains("http://127.0.0.1:8080/example/webrocket.js"),
        "{page}"
    );
}

fn what_is_wrong_is_said_in_one_line(language: Language) {
    let host = Host::new();
    let broker = host.start(&[]);
    let url = add_vhost(&broker);
    let held = broker.admin_addr().to_string();

    let wrong = url.replacen(&token_of(&url), &"0".repeat(40), 1);
    let nowhere = url.replace("/test", "/nowhere");
    for (argument, listen, part) in [
        (Some(&*wrong), "127.0.0.1:0", "wrong access token"),
        (Some(&*nowhere), "127.0.0.1:0", "unknown vhost"),
        (
            Some("http://here"),
            "127.0.0.1:0",
            "wr://TOKEN@host:port/vhost",
        ),
        (None, "127.0.0.1:0", "usage:"),
        (Some(&*url), &*held, "cannot listen on 127.0.0.1:"),
        (Some(&*url), "nonsense", "cannot listen on nonsense"),
        (
            Some(&*url),
            "127.0.0.1:65536",
            "cannot listen on 127.0.0.1:65536",
        ),
    ] {
        let mut command = language.command();
        command.args(argument).env("LISTEN", listen);
        let (code, said) = end(&mut command);
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains(part), "{part} is not said: {said}");
        let is_one_line = said.starts_with("backend: ") && said.lines().count() == 1;
        assert!(is_one_line, "{said}");
    }
}

fn one_command_starts_it_and_ends_it(language: Language) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut command = Command::new(examples().join("run"));
    forget_settings(&mut command);
    command
        .arg(language.name())
        .env("WEBROCKET", PROGRAM)
        .env("LISTEN", "127.0.0.1:0")
        .env("TMPDIR", dir.path())
        .stdin(Stdio::null());
    let mut run = Backend::start(&mut command);
    run.expect_said("worker ready");
    let (status, page) = run.get("/");
    assert_eq!(status, 200);
    let script = page
        .split_once("src=\"http://")
        .and_then(|(_, rest)| rest.split_once('/'));
    let (websocket, path) = script.expect("the broker's script");
    assert!(path.starts_with("example/webrocket.js\""), "{path}");
    let websocket: SocketAddr = websocket.parse().expect("an address");
    let mut ann = support::Browser::connect(websocket, "/example");
    run.authenticate(&mut ann, "ann");

    run.terminate();
    assert!(
        TcpStream::connect(websocket).is_err(),
        "the broker has ended"
    );
    assert!(
        TcpStream::connect(run.addr).is_err(),
        "the backend has ended"
    );
    let left = std::fs::read_dir(dir.path()).expect("there").count();
    assert_eq!(left, 0, "nothing is kept");
}

fn command(browser: &mut support::Browser, text: &str) {
    let data = json!({"channel": "lobby", "text": text});
    browser.send(json!({"trigger": {"event": "command", "data": data}}));
}

/// Creates the vhost `/test`; gives what opens it.
fn add_vhost(broker: &Serve) -> String {
    broker.admin("POST", "/test").expect_found("/test");
    let vhost = broker.admin("GET", "/test").json();
    let token = vhost["vhost"]["accessToken"].as_str().expect("a token");
    format!("wr://{token}@{}/test", broker.backend_addr())
}

fn token_of(url: &str) -> String {
    url["wr://".len()..].chars().take(40).collect()
}

/// A running backend; killed when dropped.
struct Backend {
    child: Child,
    addr: SocketAddr,
    said: Receiver<String>,
}

impl Backend {
    /// Waits until it has told where it listens.
    fn start(command: &mut Command) -> Self {
        let command = command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("spawned");
        let told = lines(child.stdout.take().expect("piped"));
        let said = lines(child.stderr.take().expect("piped"));
        // From here on it is killed should anything fail.
        let mut backend = Self {
            child,
            addr: SocketAddr::from(([127, 0, 0, 1], 0)),
            said,
        };
        let line = told.recv_timeout(PATIENCE);
        let line = line.unwrap_or_else(|_| panic!("silent, but: {:?}", backend.said()));
        let addr = line
            .strip_prefix("listening on http://")
            .and_then(|rest| rest.strip_suffix('/'));
        backend.addr = addr.and_then(|addr| addr.parse().ok()).expect("an address");
        backend
    }

    fn said(&self) -> Vec<String> {
        self.said.try_iter().collect()
    }

    /// Waits for a line with this in it.
    fn expect_said(&mut self, part: &str) {
        let begun = Instant::now();
        let mut before = Vec::new();
        loop {
            let left = PATIENCE.saturating_sub(begun.elapsed());
            let Ok(line) = self.said.recv_timeout(left) else {
                panic!("never said {part:?}, but {before:#?}");
            };
            if line.contains(part) {
                return;
            }
            before.push(line);
        }
    }

    /// The status and the body.
    fn get(&self, target: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.addr).expect("connected");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        // 1.0 lets nobody answer in chunks or keep the connection.
        let request = format!("GET {target} HTTP/1.0\r\nHost: backend\r\n\r\n");
        stream.write_all(request.as_bytes()).expect("sent");
        let answer = support::read_to_end(&mut stream);
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
        let status = head.split(' ').nth(1).and_then(|it| it.parse().ok());
        (status.expect("a status"), body.to_owned())
    }

    /// Authenticates with a token that the backend has got.
    fn authenticate(&self, browser: &mut support::Browser, name: &str) {
        let (status, body) = self.get(&format!("/webrocket/auth.json?name={name}"));
        assert_eq!(status, 200, "{body}");
        let token: Value = serde_json::from_str(&body).expect("JSON");
        browser.send(json!({"auth": token}));
        browser.expect(json!({":authenticated": {}}));
    }

    /// SIGTERM; waits for its end.
    fn terminate(&mut self) {
        let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
        ended(&mut self.child);
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        // In order, for `examples/run` has children of its own.
        if let Ok(None) = self.child.try_wait() {
            self.terminate();
        }
    }
}

/// The exit code and what was said on stderr by one that must not work.
fn end(command: &mut Command) -> (Option<i32>, String) {
    let command = command.stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("spawned");
    let code = ended(&mut child);
    let mut said = String::new();
    let mut stderr = child.stderr.take().expect("piped");
    stderr.read_to_string(&mut said).expect("text");
    (code, said)
}

/// Waits for its end; kills what does not end.
fn ended(child: &mut Child) -> Option<i32> {
    let begun = Instant::now();
    loop {
        if let Some(status) = child.try_wait().expect("waited") {
            return status.code();
        }
        if begun.elapsed() > PATIENCE {
            let _ = child.kill();
        }
        thread::sleep(Duration::from_millis(10));
    }
}
