//! All outboxes of a node together: at their bound the fullest go, with a
//! reason; who reads is served; and when they are gone, there is room again.

use std::cell::RefCell;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use serde_json::json;
use webrocket::meter::{Refused, Slow};
use webrocket::model::SlowConsumers;

use crate::raw::Raw;
use crate::support::Broker;
use crate::{Crowd, broker, closed, expect, outbox_bytes, quotas, slow, slow_browser};

const NODE_BYTES: u64 = 2_000_000;
/// Less than half of it: one alone may have as much as is left free.
const OUTBOX_BYTES: u32 = 900_000;
const EVENT_BYTES: usize = 20_000;

/// One who reads hears everything while `others` do not; gives the most that
/// was queued at any moment that was looked at.
fn flood_until(broker: &Broker, is_over: impl Fn() -> bool) -> u64 {
    let mut speaker = broker.browser();
    speaker.subscribe("room");
    let text = "x".repeat(EVENT_BYTES);
    let (most, done) = (AtomicU64::new(0), AtomicBool::new(false));
    thread::scope(|scope| {
        let meters = broker.node().meters();
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                let queued = meters.iter().map(|it| it.outbox_bytes.value()).sum();
                most.fetch_max(queued, Ordering::Relaxed);
                thread::yield_now();
            }
        });
        let mut n = 0;
        while !is_over() {
            speaker.broadcast("room", "said", json!({"n": n, "text": text}));
            assert_eq!(
                speaker.receive()["said"]["n"],
                n,
                "who reads misses nothing"
            );
            n += 1;
            if n > 5_000 {
                done.store(true, Ordering::Relaxed);
                panic!("never over");
            }
        }
        done.store(true, Ordering::Relaxed);
    });
    most.into_inner()
}

#[test]
fn when_all_outboxes_are_full_the_fullest_go_and_there_is_room_again() {
    const SLOW: usize = 6;
    let mut granted = quotas(OUTBOX_BYTES, SlowConsumers::Evict);
    granted.outboxes_bytes_max = NODE_BYTES;
    let broker = broker(1, granted, &["room"]);
    let readers: Vec<Raw> = (0..SLOW)
        .map(|_| slow_browser(&broker, &["room"]))
        .collect();
    let crowded = || slow(&broker, Slow::Crowded);
    let most = flood_until(&broker, || crowded() > 0);
    assert!(most <= NODE_BYTES, "{most} bytes were queued");
    // Six of them never came to their own bound.
    assert_eq!(slow(&broker, Slow::Evicted), 0);
    let gone = crowded() as usize;
    let refused = broker.node().meters()[0].refused(Refused::OutboxesBytes);
    assert_eq!(refused, gone as u64);
    let mut told = Vec::new();
    let told = RefCell::new(&mut told);
    Crowd::new(readers).read(
        |_, frame| told.borrow_mut().extend(closed(frame)),
        || told.borrow().len() >= gone,
    );
    let reason = (
        1013,
        String::from("slow consumer, and no room for its queue"),
    );
    assert_eq!(**told.borrow(), vec![reason; gone]);
    expect("empty outboxes", || outbox_bytes(&broker) == 0);
    // Alone, one may fill its own outbox again, and goes for that only.
    let alone = slow_browser(&broker, &["room"]);
    let before = crowded();
    let most = flood_until(&broker, || slow(&broker, Slow::Evicted) == 1);
    assert_eq!(crowded(), before);
    assert!(most <= u64::from(OUTBOX_BYTES), "{most} bytes were queued");
    drop(alone);
}

/// With `drop` those that hold no more than is free stay, and are told.
#[test]
fn those_that_drop_keep_within_the_bound_as_well() {
    const SLOW: usize = 6;
    let mut granted = quotas(OUTBOX_BYTES, SlowConsumers::Drop);
    granted.outboxes_bytes_max = NODE_BYTES;
    let broker = broker(2, granted, &["room"]);
    let readers: Vec<Raw> = (0..SLOW)
        .map(|_| slow_browser(&broker, &["room"]))
        .collect();
    let missed = || crate::dropped(&broker) + slow(&broker, Slow::Crowded);
    let most = flood_until(&broker, || missed() > 200);
    assert!(most <= NODE_BYTES, "{most} bytes were queued");
    assert!(slow(&broker, Slow::Dropped) > 0);
    assert_eq!(slow(&broker, Slow::Evicted), 0);
    drop(readers);
    expect("empty outboxes", || outbox_bytes(&broker) == 0);
}
