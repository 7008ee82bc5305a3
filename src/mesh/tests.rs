use bytes::Bytes;

use super::*;
use crate::hub::envelope::{Delivery, Request};
use crate::limits::{ENVELOPE_BYTES_MAX, SPENT_FRAME_BYTES_MAX, SPENT_FRAMES_MAX};
use crate::model::{ChannelId, ConnId, Peer};

fn leave(number: u64) -> Request {
    let conn = ConnId {
        slot: 0,
        generation: 0,
    };
    Request::Leave {
        channel: ChannelId(number),
        from: Peer { shard: 0, conn },
        confirm: false,
        data: None,
    }
}

fn number(request: &Request) -> u64 {
    match request {
        Request::Leave { channel, .. } => channel.0,
        _ => unreachable!("only leaves are sent here"),
    }
}

#[test]
fn a_full_ring_refuses_and_loses_nothing() {
    let (mut ports, _control) = build(2).expect("ports");
    let [a, b] = &mut ports[..] else {
        unreachable!()
    };
    for i in 0..RING_ENVELOPES_MAX as u64 {
        a.try_request(1, leave(i)).expect("room");
    }
    assert!(a.try_request(1, leave(0)).is_err());
    a.request(1, leave(RING_ENVELOPES_MAX as u64));
    assert!(!a.has_room());
    // Nothing overtakes the backlog, even when there is room again.
    let first = b.take_request().expect("first");
    assert_eq!(number(&first), 0);
    assert!(a.try_request(1, leave(0)).is_err());
    a.flush();
    assert!(a.has_room());
    for i in 1..=RING_ENVELOPES_MAX as u64 {
        assert_eq!(number(&b.take_request().expect("all there")), i);
    }
    assert!(b.take_request().is_none());
}

#[test]
fn no_request_is_taken_while_deliveries_wait() {
    let (mut ports, _control) = build(2).expect("ports");
    let [a, b] = &mut ports[..] else {
        unreachable!()
    };
    for _ in 0..=RING_ENVELOPES_MAX {
        a.deliver(
            1,
            Delivery::Gone {
                channel: ChannelId(1),
            },
        );
    }
    b.try_request(0, leave(7)).expect("room");
    assert!(a.take_request().is_none());
    assert!(!a.has_incoming());
    assert!(a.is_congested());
    assert!(b.take_delivery().is_some());
    a.flush();
    assert!(!a.is_congested());
    assert_eq!(a.take_request().as_ref().map(number), Some(7));
}

#[test]
fn a_ring_that_is_never_empty_starves_no_other() {
    let (mut ports, _control) = build(3).expect("ports");
    let [a, b, c] = &mut ports[..] else {
        unreachable!()
    };
    b.try_request(2, leave(1)).expect("room");
    let mut numbers = Vec::new();
    for _ in 0..3 {
        a.try_request(2, leave(0)).expect("room");
        a.try_request(2, leave(0)).expect("room");
        numbers.extend(c.take_request().as_ref().map(number));
        c.flush();
    }
    assert!(numbers.contains(&1), "{numbers:?}");
}

#[test]
fn frames_are_let_go_together() {
    let (mut ports, _control) = build(1).expect("ports");
    let port = &mut ports[0];
    let frame = Bytes::from(vec![b'x'; SPENT_FRAME_BYTES_MAX]);
    for _ in 1..SPENT_FRAMES_MAX {
        port.let_go(frame.clone());
    }
    assert!(!frame.is_unique(), "they wait for each other");
    port.let_go(frame.clone());
    assert!(frame.is_unique(), "as many as may wait");
    port.let_go(frame.clone());
    assert!(!frame.is_unique());
    port.flush();
    assert!(frame.is_unique(), "or the end of the turn");
    let long = Bytes::from(vec![b'x'; SPENT_FRAME_BYTES_MAX + 1]);
    port.let_go(long.clone());
    assert!(long.is_unique(), "a long one waits for nobody");
}

#[test]
fn a_sleeping_shard_is_woken_once() {
    let (mut ports, mut control) = build(1).expect("ports");
    let sleeper = ports[0].sleeper();
    sleeper.sleep();
    control
        .try_deliver(0, Delivery::Drain { window_ms: 0 })
        .expect("room");
    control
        .try_deliver(0, Delivery::Drain { window_ms: 0 })
        .expect("room");
    assert!(ports[0].has_incoming());
    sleeper.event().clear();
    sleeper.awake();
    assert!(matches!(
        ports[0].take_delivery(),
        Some(Delivery::Drain { window_ms: 0 })
    ));
}

#[test]
fn a_ring_takes_as_much_memory_as_its_limit_says() {
    let sizes = [size_of::<Request>(), size_of::<Delivery>()];
    assert_eq!(
        sizes.into_iter().max(),
        Some(ENVELOPE_BYTES_MAX),
        "{sizes:?}"
    );
}
