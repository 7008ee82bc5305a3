//! The log line of an admin request that was refused or failed. The node logs
//! from its own threads, so this process has one log for all.

mod support;

use std::io;
use std::sync::{Arc, Mutex};

use support::Broker;
use support::admin::{admin, admin_with};
use tracing_subscriber::fmt::MakeWriter;
use webrocket::limits::ACCESS_PATH_BYTES_MAX;

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn lines(&self) -> Vec<String> {
        let text = self.0.lock().expect("lock").clone();
        let text = String::from_utf8(text).expect("text");
        let access = text.lines().filter(|line| line.contains(" access: "));
        access.map(str::to_owned).collect()
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("lock").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Log {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

#[test]
fn each_request_that_failed_has_its_line() {
    let log = Log::default();
    tracing_subscriber::fmt()
        .with_writer(log.clone())
        .with_ansi(false)
        .init();
    let broker = Broker::start(1);
    admin(&broker, "POST", "/v");
    admin(&broker, "GET", "/openapi.json");
    assert!(log.lines().is_empty(), "nothing failed");
    let wrong = format!("X-WebRocket-Cookie: {}\r\n", "0".repeat(40));
    admin_with(&broker, "DELETE", "/v?secret=1", &wrong, "");
    admin(&broker, "GET", "/none");
    admin(&broker, "PATCH", "/v");
    admin(&broker, "GET", &format!("/{}", "x".repeat(1000)));
    let lines = log.lines();
    assert_eq!(lines.len(), 4, "{lines:?}");
    let long = format!("/{}", "x".repeat(ACCESS_PATH_BYTES_MAX - 1));
    for (line, (method, path, status)) in lines.iter().zip([
        ("DELETE", "/v", 403),
        ("GET", "/none", 404),
        ("PATCH", "/v", 405),
        ("GET", &long, 404),
    ]) {
        assert!(line.contains("peer=\"127.0.0.1:"), "{line}");
        let rest = format!("method={method} path=\"{path}\" status={status}");
        assert!(line.ends_with(&rest), "{line}");
        assert!(!line.contains(broker.node().cookie()) && !line.contains("secret"));
        assert!(!line.contains(&"0".repeat(40)), "no guess is logged either");
    }
}
