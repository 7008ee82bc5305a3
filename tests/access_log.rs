//! The access log: one line for each refusal, and no flood of lines. Method: the
//! only test of its process collects what is logged with the target `access`.

#![forbid(unsafe_code)]

mod support;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use serde_json::Value;
use support::{Broker, PATIENCE, unhurried};
use webrocket::limits::ACCESS_LINES_PER_SECOND_MAX;
use webrocket::meter::Refused;

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Lines {
    fn all(&self) -> Vec<Value> {
        let bytes = self.0.lock().expect("lock");
        let text = str::from_utf8(&bytes).expect("text");
        let lines = text.lines().map(serde_json::from_str);
        lines.map(|line| line.expect("JSON")).collect()
    }
}

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("lock").write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn be_refused(broker: &Broker, path: &str) {
    let mut stream = TcpStream::connect(broker.node().websocket_addr()).expect("connected");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: example.org\r\nUpgrade: websocket\r\nOrigin: null\r\n\
         Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         Sec-WebSocket-Version: 13\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("answered");
    assert!(answer.starts_with("HTTP/1.1 4"), "{answer}");
}

#[test]
fn each_refusal_is_told_and_a_flood_is_summed_up() {
    const FLOOD: u64 = 5 * ACCESS_LINES_PER_SECOND_MAX as u64;
    let lines = Lines::default();
    let writer = lines.clone();
    tracing_subscriber::fmt()
        .json()
        .with_env_filter("access=info")
        .with_writer(move || writer.clone())
        .init();
    let mut quotas = unhurried();
    quotas.default.origins = vec!["https://example.com".into()];
    let broker = Broker::with_quotas(1, quotas);
    be_refused(&broker, "/test");
    be_refused(&broker, "/none");
    let begun = Instant::now();
    (0..FLOOD - 2).for_each(|_| be_refused(&broker, "/test"));

    // The summary comes without another refusal.
    let told = || {
        let fields = lines.all().into_iter().map(|line| line["fields"].clone());
        let (sums, single): (Vec<_>, Vec<_>) = fields.partition(|fields| fields["untold"].is_u64());
        let untold: u64 = sums.iter().filter_map(|it| it["untold"].as_u64()).sum();
        (single, untold)
    };
    while told().0.len() as u64 + told().1 < FLOOD {
        assert!(begun.elapsed() < PATIENCE, "refusals that nobody tells of");
        std::thread::yield_now();
    }
    let (single, untold) = told();
    assert_eq!(single.len() as u64 + untold, FLOOD);
    let seconds = begun.elapsed().as_secs() + 2;
    let lines_max = seconds * u64::from(ACCESS_LINES_PER_SECOND_MAX);
    assert!(single.len() as u64 <= lines_max, "{} lines", single.len());
    for (fields, vhost, cause, status) in [
        (&single[0], "/test", "origin", 403),
        (&single[1], "-", "upgrade", 404),
    ] {
        assert!(
            fields["peer"]
                .as_str()
                .expect("text")
                .starts_with("127.0.0.1:")
        );
        assert_eq!(fields["vhost"], vhost);
        assert_eq!(fields["cause"], cause);
        assert_eq!(fields["status"], status);
    }
    let meter = &broker.node().meters()[0];
    assert_eq!(meter.refused(Refused::Origin), FLOOD - 1);
    assert_eq!(meter.refused(Refused::Upgrade), 1);
    assert!(broker.stop());
}
