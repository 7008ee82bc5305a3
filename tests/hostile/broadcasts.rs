//! One client that broadcasts as fast as it can.

use std::io::Read;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Instant;

use webrocket::limits::MESSAGES_PER_SECOND_MAX;
use webrocket::meter::Refused;

use crate::bystanders::report;
use crate::raw::{Raw, TEXT, masked};
use crate::stage::Stage;

const SUBSCRIBERS: usize = 100;

#[test]
fn broadcast_storm() {
    let stage = Stage::start("");
    stage.open("/test", "storm");
    let subscribe = |_| {
        let mut raw = Raw::upgraded(stage.frontends(), "/test");
        raw.send_text(r#"{"subscribe":{"channel":"storm"}}"#);
        assert!(raw.text().contains(":subscribed"));
        raw
    };
    let subscribers: Vec<_> = (0..SUBSCRIBERS).map(subscribe).collect();
    let mut storm = subscribe(0);
    let before = stage.resident_bytes();
    let message =
        r#"{"broadcast":{"channel":"storm","event":"e","data":{"text":"xxxxxxxxxxxxxxxxxxxx"}}}"#;
    let burst = masked(TEXT, message.as_bytes()).repeat(100);
    let begun = Instant::now();
    let (bytes, stop) = (AtomicU64::new(0), AtomicU64::new(0));
    let (turns, deliveries, elapsed) = thread::scope(|scope| {
        // All that comes is read: nobody here is slow.
        for raw in &subscribers {
            let mut stream = &raw.0;
            let (bytes, stop) = (&bytes, &stop);
            scope.spawn(move || {
                let mut buffer = vec![0; 64 * 1024];
                let timeout = Some(std::time::Duration::from_millis(100));
                stream.set_read_timeout(timeout).expect("a timeout");
                while stop.load(Ordering::Relaxed) == 0 {
                    if let Ok(count) = stream.read(&mut buffer) {
                        bytes.fetch_add(count as u64, Ordering::Relaxed);
                    }
                }
            });
        }
        let mut own = storm.0.try_clone().expect("a descriptor");
        scope.spawn(move || {
            let mut buffer = vec![0; 64 * 1024];
            while own.read(&mut buffer).is_ok_and(|count| count > 0) {}
        });
        let turns = stage.by_turns(vec![Box::new(|gate| {
            while gate.is_open() && storm.try_write(&burst) {}
            storm
                .0
                .shutdown(std::net::Shutdown::Both)
                .expect("connected");
        })]);
        let elapsed = begun.elapsed();
        stop.store(1, Ordering::Relaxed);
        let deliveries = stage.metric("webrocket_vhost_deliveries_total", "vhost=\"/test\"");
        (turns, deliveries, elapsed)
    });
    let broadcasts = stage.metric("webrocket_vhost_broadcasts_total", "vhost=\"/test\"");
    let most = (elapsed.as_secs_f64() + 1.0) * f64::from(MESSAGES_PER_SECOND_MAX);
    assert!(broadcasts as f64 <= most, "{broadcasts} in {elapsed:?}");
    assert!(deliveries <= broadcasts * (SUBSCRIBERS as u64 + 1));
    let held_back = stage.refused(Refused::MessageRate);
    assert!(held_back > 0);
    stage.expect_no_other_refused(Refused::MessageRate);
    let grown = stage.resident_bytes().saturating_sub(before);
    assert!(grown <= 32 << 20, "{grown} bytes");
    report(
        "broadcast storm of one client",
        &format!("{broadcasts} broadcasts to {SUBSCRIBERS}, {deliveries} deliveries"),
        &format!(
            "1000/s, held back {held_back} times, {} MiB more",
            grown >> 20
        ),
        &turns,
    );
}
