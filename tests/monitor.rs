//! `webrocket monitor`, the real program, before a node that answers as the test
//! wants: one picture as text, every way it can fail, and the live view in a
//! terminal of the test's own.

mod support;

use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Output};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Instant;

use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};
use support::PATIENCE;
use support::program::webrocket;
use webrocket::control::stats::{Bucket, ShardStats, Stats, VhostStats};
use webrocket::limits::MONITOR_ANSWER_BYTES_MAX;

const COOKIE: &str = "0123456789abcdef0123456789abcdef01234567";

/// A cookie as well, of another node.
const WRONG: &str = "ffffffffffffffffffffffffffffffffffffffff";

/// A status and a body for the request with this number, from 0, and cookie.
type Answer = dyn FnMut(u64, &str) -> (u16, String) + Send;

/// What listens where a node's admin address would be.
struct FakeNode {
    addr: SocketAddr,
}

impl FakeNode {
    fn start(answer: impl FnMut(u64, &str) -> (u16, String) + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let addr = listener.local_addr().expect("bound");
        let mut answer: Box<Answer> = Box::new(answer);
        // Ends with the process.
        thread::spawn(move || {
            for number in 0.. {
                let (stream, _) = listener.accept().expect("accepted");
                serve(stream, number, &mut *answer);
            }
        });
        Self { addr }
    }

    /// One that takes the cookie and whose every look is two seconds after the last.
    fn healthy() -> Self {
        Self::start(|number, cookie| match cookie {
            COOKIE => (200, json(&look(10 + 2 * number))),
            _ => (403, String::new()),
        })
    }

    fn monitor(&self, arguments: &[&str]) -> Command {
        monitor(self.addr, arguments)
    }

    fn once(&self) -> Output {
        let arguments = ["--cookie", COOKIE, "--once", "--interval", "100ms"];
        output(self.monitor(&arguments))
    }
}

/// One request, one answer, one connection.
fn serve(mut stream: TcpStream, number: u64, answer: &mut Answer) {
    let mut cookie = String::new();
    let mut target = String::new();
    for line in BufReader::new(&stream).lines() {
        let line = line.expect("a line");
        if target.is_empty() {
            target.clone_from(&line);
        } else if line.is_empty() {
            break;
        } else if let Some((name, value)) = line.split_once(": ")
            && name.eq_ignore_ascii_case("x-webrocket-cookie")
        {
            value.clone_into(&mut cookie);
        }
    }
    assert_eq!(target, "GET /stats.json HTTP/1.1");
    let (status, body) = answer(number, &cookie);
    let head = format!(
        "HTTP/1.1 {status} -\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    // Who is refused may not wait for all of it.
    let _ = stream.write_all(format!("{head}{body}").as_bytes());
}

/// Every counter grows evenly.
fn look(seconds: u64) -> Stats {
    Stats {
        node: "test-node".into(),
        version: "9.8.7".into(),
        uptime_ms: 1_000 * seconds,
        shards: vec![ShardStats {
            frontends: 12_345,
            deliveries: 700 * seconds,
            sends: 100 * seconds,
            broadcasts: 42 * seconds,
            busy_us: 630_000 * seconds,
            ..ShardStats::default()
        }],
        vhosts: vec![VhostStats {
            path: "/shop".into(),
            triggers: 17 * seconds,
            ..VhostStats::default()
        }],
        latency: vec![Bucket {
            le_us: Some(256),
            count: seconds,
        }],
        ..Stats::default()
    }
}

fn json(stats: &Stats) -> String {
    serde_json::to_string(stats).expect("JSON")
}

fn monitor(addr: SocketAddr, arguments: &[&str]) -> Command {
    let mut command = webrocket(&["monitor", "--admin-addr", &addr.to_string()]);
    command.args(arguments);
    command
}

fn output(mut command: Command) -> Output {
    command.output().expect("run")
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("UTF-8")
}

/// It ended with this code, printed nothing, and said all of this.
fn expect_failure(output: &Output, code: i32, parts: &[&str]) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{said}");
    assert!(output.stdout.is_empty(), "{output:?}");
    assert_eq!(said.lines().count(), 1, "one line: {said}");
    for part in parts {
        assert!(said.contains(part), "{part} in {said}");
    }
}

#[test]
fn one_picture_has_the_rates_between_two_looks() {
    let output = FakeNode::healthy().once();
    let text = stdout(&output);
    assert!(output.status.success(), "{output:?}");
    for part in [
        "WebRocket 9.8.7 on test-node, up 00:00:12",
        "Frontends 12,345",
        "Broadcasts 42.0/s",
        "Deliveries 700/s",
        "Frames/send 7.0",
        "p99 ≤256 us",
        "63 %",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    let shop = text.lines().find(|line| line.starts_with("/shop"));
    assert!(shop.is_some_and(|line| line.ends_with("17.0")), "{text}");
    // Plain: no escape sequence, no line past 80 columns.
    assert!(!text.contains('\u{1b}'));
    assert!(
        text.lines().all(|line| line.chars().count() <= 80),
        "{text}"
    );
}

#[test]
fn the_cookie_is_read_from_its_file() {
    let node = FakeNode::healthy();
    let storage = tempfile::tempdir().expect("a temporary directory");
    let dir = storage.path().display().to_string();
    let file = storage.path().join("test-node.cookie");
    let by_name = ["--storage-dir", &dir, "--node", "test-node", "--once"];
    let missing = output(node.monitor(&by_name));
    let path = file.display().to_string();
    expect_failure(&missing, 4, &[&path, "--storage-dir", "--cookie"]);
    // As the node writes it, and as an editor leaves it.
    for text in [COOKIE.to_owned(), format!("{COOKIE}\n")] {
        fs::write(&file, text).expect("written");
        let by_file = ["--cookie-file", &path, "--once", "--interval", "0.1"];
        for arguments in [&by_name, &by_file] {
            let output = output(node.monitor(arguments));
            assert!(output.status.success(), "{output:?}");
        }
    }
}

#[test]
fn a_node_set_up_anew_is_asked_with_its_new_cookie() {
    let storage = tempfile::tempdir().expect("a temporary directory");
    let file = storage.path().join("cookie");
    fs::write(&file, COOKIE).expect("written");
    let path = file.display().to_string();
    let node = FakeNode::start(move |number, cookie| {
        if number == 1 {
            fs::write(&file, WRONG).expect("written");
        }
        let expected = if number == 0 { COOKIE } else { WRONG };
        match cookie == expected {
            true => (200, json(&look(10 + number))),
            false => (403, String::new()),
        }
    });
    let output = output(node.monitor(&["--cookie-file", &path, "--once", "--interval", "0.1"]));
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn a_wrong_cookie() {
    let node = FakeNode::healthy();
    let refused = output(node.monitor(&["--cookie", WRONG, "--once"]));
    let addr = node.addr.to_string();
    expect_failure(
        &refused,
        4,
        &[&addr, "does not accept the cookie from --cookie"],
    );
    let refused = output(node.monitor(&["--cookie", "none", "--once"]));
    expect_failure(&refused, 4, &["--cookie: this is no cookie"]);
}

#[test]
fn a_cookie_that_is_typed_is_stronger_than_the_environment() {
    let node = FakeNode::healthy();
    let once = ["--once", "--interval", "0.1"];
    let storage = tempfile::tempdir().expect("a temporary directory");
    let file = storage.path().join("cookie");
    fs::write(&file, COOKIE).expect("written");
    let file = file.to_str().expect("text");
    for typed in [["--cookie", COOKIE], ["--cookie-file", file]] {
        let mut command = node.monitor(&[&typed[..], &once].concat());
        command
            .env("WEBROCKET_COOKIE", WRONG)
            .env("WEBROCKET_COOKIE_FILE", "/no/such/file");
        let output = output(command);
        assert!(output.status.success(), "{typed:?}: {output:?}");
    }
}

#[test]
fn nothing_listens_there() {
    let closed = TcpListener::bind("127.0.0.1:0").expect("a port");
    let addr = closed.local_addr().expect("bound");
    drop(closed);
    let refused = output(monitor(addr, &["--cookie", COOKIE, "--once"]));
    expect_failure(&refused, 3, &[&addr.to_string(), "Connection refused"]);
}

#[test]
fn a_node_that_never_answers() {
    // The kernel accepts; nobody reads.
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let addr = silent.local_addr().expect("bound");
    let refused = output(monitor(addr, &["--cookie", COOKIE, "--once"]));
    expect_failure(&refused, 3, &[&addr.to_string(), "no answer in time"]);
}

#[test]
fn what_listens_there_is_no_node() {
    let too_long = " ".repeat(MONITOR_ANSWER_BYTES_MAX as usize + 1);
    for (status, body, part) in [
        (404, String::new(), "status 404"),
        (404, r#"{"error":"no"}"#.to_owned(), "knows no /stats.json"),
        (500, String::new(), "status 500"),
        (500, r#"{"error":"too busy"}"#.to_owned(), "too busy"),
        (302, String::new(), "a redirect without a location"),
        (200, "<html>".to_owned(), "gives no stats"),
        (200, r#"{"node":"n"}"#.to_owned(), "missing field"),
        (200, too_long, "no valid answer"),
    ] {
        let node = FakeNode::start(move |_, _| (status, body.clone()));
        expect_failure(&node.once(), 3, &[&node.addr.to_string(), part]);
    }
}

#[test]
fn an_answer_as_long_as_it_may_be() {
    let node = FakeNode::start(|number, _| {
        let mut body = json(&look(10 + number));
        let rest = MONITOR_ANSWER_BYTES_MAX as usize - body.len();
        body.push_str(&" ".repeat(rest));
        (200, body)
    });
    let output = node.once();
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn a_node_that_begins_anew_between_the_looks() {
    let node = FakeNode::start(|number, _| (200, json(&look(10 - number))));
    expect_failure(&node.once(), 1, &["began anew"]);
}

#[test]
fn a_live_view_needs_a_terminal() {
    let node = FakeNode::healthy();
    let refused = output(node.monitor(&["--cookie", COOKIE]));
    expect_failure(&refused, 1, &["no terminal", "--once"]);
}

/// The monitor in a terminal of its own.
struct Screen {
    child: Child,
    keyboard: File,
    terminal: OwnedFd,
    begun_with: LocalModes,
    news: Receiver<Vec<u8>>,
    shown: String,
}

impl Screen {
    fn open(mut command: Command) -> Self {
        let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
        grantpt(&ours).expect("granted");
        unlockpt(&ours).expect("unlocked");
        let name = ptsname(&ours, Vec::new()).expect("a name");
        let open = || {
            let path = name.to_str().expect("UTF-8");
            let file = OpenOptions::new().read(true).write(true).open(path);
            OwnedFd::from(file.expect("opened"))
        };
        let terminal = open();
        let size = Winsize {
            ws_row: 24,
            ws_col: 80,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        tcsetwinsize(&terminal, size).expect("a size");
        let begun_with = tcgetattr(&terminal).expect("modes").local_modes;
        command.stdin(open()).stdout(open()).stderr(open());
        let child = command.spawn().expect("run");
        // The program's own ends go with it.
        drop(command);
        let keyboard = File::from(ours);
        let mut output = keyboard.try_clone().expect("cloned");
        let (sender, news) = channel();
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(len) = output.read(&mut buffer) {
                if sender.send(buffer[..len].to_vec()).is_err() {
                    return;
                }
            }
        });
        Self {
            child,
            keyboard,
            terminal,
            begun_with,
            news,
            shown: String::new(),
        }
    }

    /// Waits until this was drawn after all that was waited for before. Cells
    /// that do not change are not drawn: a word at a time is certain.
    fn expect(&mut self, word: &str) {
        let deadline = Instant::now() + PATIENCE;
        let at = loop {
            if let Some(at) = self.shown.find(word) {
                break at;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            let Ok(news) = self.news.recv_timeout(left) else {
                panic!("never {word:?} in {:?}", self.shown);
            };
            self.shown.push_str(&String::from_utf8_lossy(&news));
        };
        self.shown.drain(..at + word.len());
    }

    fn press(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).expect("pressed");
    }

    /// It ends with this code and leaves the terminal as it was.
    fn expect_end(mut self, code: i32) {
        self.expect("\u{1b}[?1049l");
        self.expect("\u{1b}[?25h");
        let status = self.child.wait().expect("waited");
        assert_eq!(status.code(), Some(code));
        let modes = tcgetattr(&self.terminal).expect("modes").local_modes;
        assert_eq!(modes, self.begun_with);
    }
}

/// A failed test leaves no process behind.
impl Drop for Screen {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn live(node: &FakeNode) -> Screen {
    let mut screen = Screen::open(node.monitor(&["--cookie", COOKIE, "--interval", "0.1"]));
    screen.expect("\u{1b}[?1049h");
    screen.expect("Frontends");
    let raw = tcgetattr(&screen.terminal).expect("modes").local_modes;
    assert!(!raw.contains(LocalModes::ECHO));
    screen
}

#[test]
fn a_key_ends_it() {
    let node = FakeNode::healthy();
    for key in ["q", "\u{3}"] {
        let mut screen = live(&node);
        screen.press(key);
        screen.expect_end(0);
    }
}

#[test]
fn a_signal_ends_it() {
    let node = FakeNode::healthy();
    for signal in [Signal::TERM, Signal::INT, Signal::HUP] {
        let screen = live(&node);
        kill_process(Pid::from_child(&screen.child), signal).expect("sent");
        screen.expect_end(0);
    }
}

#[test]
fn keys_change_the_view() {
    let node = FakeNode::healthy();
    let mut screen = live(&node);
    screen.expect("/shop");
    screen.press("?");
    screen.expect("Space");
    screen.press("v");
    screen.expect("VHOSTS");
    screen.press("q");
    screen.expect_end(0);
}

#[test]
fn a_node_that_goes_and_comes_back() {
    let fails = Arc::new(Mutex::new(false));
    let failing = Arc::clone(&fails);
    let node = FakeNode::start(move |number, _| match *failing.lock().expect("held") {
        false => (200, json(&look(10 + number))),
        true => (500, String::new()),
    });
    let mut screen = live(&node);
    *fails.lock().expect("held") = true;
    screen.expect("ANSWER");
    *fails.lock().expect("held") = false;
    screen.expect("connected");
    screen.press("q");
    screen.expect_end(0);
}

#[test]
fn a_node_that_is_not_there_yet() {
    let node = FakeNode::start(|number, _| match number {
        0..3 => (500, String::new()),
        _ => (200, json(&look(10 + number))),
    });
    let mut screen = Screen::open(node.monitor(&["--cookie", COOKIE, "--interval", "0.1"]));
    screen.expect("Trying");
    screen.expect("Frontends");
    screen.press("q");
    screen.expect_end(0);
}

#[test]
fn a_cookie_that_is_refused_ends_the_live_view() {
    let node = FakeNode::healthy();
    let mut screen = Screen::open(node.monitor(&["--cookie", WRONG]));
    screen.expect("\u{1b}[?1049h");
    screen.expect_end(4);
}

#[test]
fn a_real_node() {
    let broker = support::Broker::with_channels(2, &["room"]);
    let mut browsers: Vec<_> = (0..5).map(|_| broker.browser()).collect();
    browsers
        .iter_mut()
        .for_each(|browser| browser.subscribe("room"));
    let (addr, cookie) = (broker.node().admin_addr(), broker.node().cookie());
    let arguments = ["--cookie", cookie, "--once", "--interval", "0.1"];
    let output = output(monitor(addr, &arguments));
    let text = stdout(&output);
    assert!(output.status.success(), "{output:?}");
    for part in ["on test-node, up", "Frontends 5 ", "/test ", "HEADROOM"] {
        assert!(text.contains(part), "{part} in {text}");
    }
}
