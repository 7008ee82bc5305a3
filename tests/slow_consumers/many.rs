//! 2,000 subscribers, of whom 200 stop reading under load. Others:
//! `SLOW_CONSUMERS=9000,1000 cargo test --test slow_consumers many -- --nocapture`.

use std::cell::{Cell, RefCell};
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;
use webrocket::limits::EVICTED_LINGER_TIMEOUT;
use webrocket::meter::Slow;
use webrocket::model::SlowConsumers;

use crate::raw::Raw;
use crate::support::{Broker, Browser};
use crate::{Crowd, Told, broker, closed, dropped, expect, quotas, slow, slow_browser, told};

const OUTBOX_BYTES: u32 = 64 * 1024;
const EVENT_BYTES: usize = 4_000;
const ROUNDS: usize = 3;
/// Events of a quiet phase, and at least of one under attack.
const EVENTS: u64 = 10;

/// How many read, and how many stand still.
fn population() -> (usize, usize) {
    let given = std::env::var("SLOW_CONSUMERS").unwrap_or_else(|_| "1800,200".into());
    let (reading, standing) = given.split_once(',').expect("READING,STANDING");
    let number = |text: &str| text.parse().expect("a number");
    (number(reading), number(standing))
}

/// Broadcasts, and waits for its own: how long each took.
struct Speaker {
    browser: Browser,
    text: String,
    sent: u64,
    /// Frames that those who read have got, and how many they are.
    read: Arc<AtomicU64>,
    readers: u64,
}

impl Speaker {
    fn new(broker: &Broker, read: Arc<AtomicU64>, readers: usize) -> Self {
        let mut browser = broker.browser();
        browser.subscribe("room");
        Self {
            browser,
            text: "x".repeat(EVENT_BYTES),
            sent: 0,
            read,
            readers: readers as u64,
        }
    }

    fn say(&mut self) -> Duration {
        let begun = Instant::now();
        let data = json!({"n": self.sent, "text": self.text});
        self.browser.broadcast("room", "said", data);
        assert_eq!(self.browser.receive()["said"]["n"], self.sent);
        self.sent += 1;
        let took = begun.elapsed();
        // However slow this machine is, those who read do not fall behind.
        expect("read by all", || {
            self.read.load(Ordering::Relaxed) >= self.readers * self.sent
        });
        took
    }

    /// Until so many were slow: the 99th percentile, and when the first of them was.
    fn speak(&mut self, slow: impl Fn() -> u64, until: u64) -> (Duration, Instant) {
        let (first, before) = (self.sent, slow());
        let mut first_slow = None;
        let mut times = Vec::new();
        while self.sent < first + EVENTS || slow() < until {
            times.push(self.say());
            if slow() > before {
                first_slow.get_or_insert_with(Instant::now);
            }
            assert!(times.len() < 20_000, "never over");
        }
        times.sort();
        let p99 = times[(times.len() - 1) * 99 / 100];
        (p99, first_slow.unwrap_or_else(Instant::now))
    }
}

/// One that reads.
fn browser(broker: &Broker) -> Raw {
    let mut raw = Raw::upgraded(broker);
    raw.send_text(r#"{"subscribe":{"channel":"room"}}"#);
    raw.expect_text(r#"{":subscribed":{"channel":"room"}}"#);
    raw
}

fn resident_bytes() -> u64 {
    let statm = fs::read_to_string("/proc/self/statm").expect("/proc");
    let pages = statm.split(' ').nth(1).expect("resident");
    pages.parse::<u64>().expect("a number") * 4096
}

/// Quiet and under attack by turns; tells the median of the ratios, and what
/// those that stood still got to know.
fn by_turns(policy: SlowConsumers, counted: Slow, check: impl Fn(&Broker, Vec<Raw>, u64, Instant)) {
    let (reading, standing_still) = population();
    let broker = broker(2, quotas(OUTBOX_BYTES, policy), &["room"]);
    let readers: Vec<Raw> = (0..reading).map(|_| browser(&broker)).collect();
    let read = Arc::new(AtomicU64::new(0));
    let mut speaker = Speaker::new(&broker, Arc::clone(&read), reading);
    let readers = thread::spawn(move || {
        let count = |_: usize, _: &[u8]| {
            read.fetch_add(1, Ordering::Relaxed);
        };
        Crowd::new(readers).read(count, || false);
        read.load(Ordering::Relaxed)
    });
    let before = resident_bytes();
    let mut most = 0;
    let mut ratios = Vec::new();
    for round in 1..=ROUNDS {
        let (quiet, _) = speaker.speak(|| slow(&broker, counted), 0);
        let standing: Vec<Raw> = (0..standing_still)
            .map(|_| slow_browser(&broker, &["room"]))
            .collect();
        let first = speaker.sent;
        let until = (round * standing_still) as u64;
        let (attacked, at) = speaker.speak(|| slow(&broker, counted), until);
        most = most.max(resident_bytes().saturating_sub(before));
        ratios.push(attacked.as_secs_f64() / quiet.as_secs_f64());
        check(&broker, standing, speaker.sent - first, at);
        broker.expect_subscribers("room", reading as u32 + 1);
    }
    for meter in broker.node().meters() {
        let peak = meter.outbox_peak_bytes.value();
        assert!(peak <= OUTBOX_BYTES.into(), "an outbox of {peak} bytes");
    }
    // What the outboxes may hold, twice for what was sent already, and as much
    // again for the test's own side of it.
    let bound = 4 * standing_still as u64 * u64::from(OUTBOX_BYTES) + (64 << 20);
    assert!(most < bound, "{most} bytes more, {bound} allowed");
    ratios.sort_by(f64::total_cmp);
    let ratio = ratios[ROUNDS / 2];
    println!(
        "{policy:?}: p99 of the others {ratio:.2} times that of quiet phases ({ratios:.2?}), \
         memory grew by {} KiB",
        most / 1024
    );
    assert!(ratio < 20.0, "the others wait {ratio} times as long");
    let sent = speaker.sent;
    assert!(broker.stop());
    // The last frame of each is the close.
    let got = readers.join().expect("no panic");
    assert_eq!(
        got,
        reading as u64 * (sent + 1),
        "those who read miss nothing"
    );
}

#[test]
fn two_hundred_of_two_thousand_are_evicted_and_told_why() {
    by_turns(
        SlowConsumers::Evict,
        Slow::Evicted,
        |broker, standing, sent, at| {
            let count = standing.len();
            let mut next = vec![0; count];
            let mut first = vec![None; count];
            let mut closes = 0;
            Crowd::new(standing).read(
                |at, frame| match told(frame) {
                    Some(Told::Said(n)) => {
                        assert_eq!(n, *first[at].get_or_insert(n) + next[at], "a gap");
                        next[at] += 1;
                    }
                    Some(Told::Missed(count)) => panic!("{count} dropped"),
                    None => {
                        assert_eq!(closed(frame), Some((1013, "slow consumer".into())));
                        assert!(next[at] < sent, "it missed nothing");
                        closes += 1;
                    }
                },
                || false,
            );
            // Reset where this machine took longer than a closing connection is waited for.
            assert!(
                closes == count || at.elapsed() > EVICTED_LINGER_TIMEOUT,
                "{closes}"
            );
            println!("{closes} of {count} read 1013 within {:?}", at.elapsed());
            assert_eq!(slow(broker, Slow::Crowded) + dropped(broker), 0);
        },
    );
}

#[test]
fn two_hundred_of_two_thousand_miss_deliveries_and_are_told_how_many() {
    let told_so_far = Cell::new(0);
    by_turns(
        SlowConsumers::Drop,
        Slow::Dropped,
        |broker, standing, sent, _| {
            let missed = RefCell::new(vec![0; standing.len()]);
            let accounted = RefCell::new(vec![0; standing.len()]);
            Crowd::new(standing).read(
                |at, frame| {
                    let (all, lost) = match told(frame).expect("no close") {
                        Told::Said(_) => (1, 0),
                        Told::Missed(count) => (count, count),
                    };
                    missed.borrow_mut()[at] += lost;
                    accounted.borrow_mut()[at] += all;
                },
                || accounted.borrow().iter().all(|count| *count >= sent),
            );
            assert!(accounted.borrow().iter().all(|count| *count == sent));
            // One whose kernel took more meanwhile may have a second gap, and another none.
            let missed = missed.borrow();
            assert!(missed.iter().filter(|count| **count > 0).count() > missed.len() / 2);
            told_so_far.set(told_so_far.get() + missed.iter().sum::<u64>());
            assert_eq!(told_so_far.get(), dropped(broker));
            assert_eq!(slow(broker, Slow::Evicted) + slow(broker, Slow::Crowded), 0);
        },
    );
}
