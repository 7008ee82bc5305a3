//! Peers that never finish what they begin to say.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use webrocket::limits::{HANDSHAKE_TIMEOUT, PACKET_BYTES_MAX, PACKET_TIMEOUT, UPGRADE_BYTES_MAX};
use webrocket::meter::{Kind, Refused};

use crate::bystanders::report;
use crate::stage::{Stage, connect};
use crate::support::backend::error;

const FRONTENDS: usize = 2000;
const BACKENDS: usize = 1000;
/// Between two bytes of one peer.
const DRIP: Duration = Duration::from_millis(300);
/// Between the last byte and the deadline.
const MARGIN: Duration = Duration::from_secs(2);

/// Begins many times and says a byte now and then.
struct Dribblers {
    streams: Vec<TcpStream>,
    begun: Instant,
    /// From then on the broker ends them.
    deadline: Duration,
    bytes: u64,
}

impl Dribblers {
    fn begin(addr: std::net::SocketAddr, count: usize, start: &[u8], deadline: Duration) -> Self {
        let begun = Instant::now();
        let open = |_| {
            let mut stream = connect(addr);
            stream.write_all(start).expect("sent");
            stream
        };
        Self {
            streams: (0..count).map(open).collect(),
            begun,
            deadline,
            bytes: 0,
        }
    }

    /// One byte of each, all of which the broker still listens to: none shortly
    /// before the deadline, which whoever gives way may meet early.
    fn drip(&mut self) {
        for stream in &mut self.streams {
            if self.begun.elapsed() + MARGIN < self.deadline {
                stream.write_all(b"x").expect("sent");
            }
        }
        self.bytes += 1;
        thread::sleep(DRIP);
    }

    /// Goes on until shortly before the deadline; then each is told `last` and
    /// closed, none of them before its time.
    fn expect_end(mut self, last: &str) {
        while self.begun.elapsed() + MARGIN < self.deadline {
            self.drip();
        }
        for stream in &mut self.streams {
            let mut answer = String::new();
            stream.read_to_string(&mut answer).expect("an answer");
            assert!(answer.starts_with(last), "{answer:?}");
        }
        assert!(self.begun.elapsed() >= self.deadline, "before its time");
    }
}

#[test]
fn slowloris() {
    let stage = Stage::start("");
    let before = stage.resident_bytes();
    let start = b"GET /test HTTP/1.1\r\nX: ";
    let mut frontends = Dribblers::begin(stage.frontends(), FRONTENDS, start, HANDSHAKE_TIMEOUT);
    stage.expect("all accepted", || {
        stage.connections(Kind::Handshake) == FRONTENDS as u64
    });
    let turns = stage.by_turns(vec![Box::new(|gate| {
        while gate.is_open() {
            frontends.drip();
        }
    })]);
    let each = stage.resident_bytes().saturating_sub(before) / FRONTENDS as u64;
    assert!(each <= UPGRADE_BYTES_MAX as u64, "{each} bytes each");

    let start = b"req:/test:";
    let mut backends = Dribblers::begin(stage.backends(), BACKENDS, start, PACKET_TIMEOUT);
    let backend_turns = stage.by_turns(vec![Box::new(|gate| {
        while gate.is_open() {
            backends.drip();
        }
    })]);
    let said = start.len() as u64 + backends.bytes;
    assert!(said < PACKET_BYTES_MAX as u64, "the time is the bound");
    backends.expect_end(&error(400));
    frontends.expect_end("HTTP/1.1 408 ");
    stage.expect_refused(Refused::Timeout, (FRONTENDS + BACKENDS) as u64);
    stage.expect_only_frontends(0);
    report(
        "slowloris handshake",
        &format!("{FRONTENDS} connections, a byte each {DRIP:?}"),
        &format!("{HANDSHAKE_TIMEOUT:?}, {FRONTENDS} told 408 and closed, {each} B each"),
        &turns,
    );
    report(
        "slowloris backend packet",
        &format!("{BACKENDS} connections, a byte each {DRIP:?}"),
        &format!("{PACKET_TIMEOUT:?}, {BACKENDS} told ER 400 and closed"),
        &backend_turns,
    );
}
