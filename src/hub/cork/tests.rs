//! What waits and for how long, what does not, and that the order is the same.

use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::hub::envelope::{Change, Delivery};
use crate::hub::tests::{OTHER, VHOST, World, conn, local};
use crate::limits::BATCH_BYTES_MAX;
use crate::model::{ChannelId, ChannelName, Quotas};

const CORK_US: u64 = 10_000;

fn quotas(cork_us: u64) -> Quotas {
    let mut quotas = Quotas::default();
    quotas.default.cork = Duration::from_micros(cork_us);
    quotas
}

/// As [`World::new`], where frames wait for so long.
fn corked(cork_us: u64) -> World {
    let mut world = World::new();
    world.hub.set_quotas(Arc::new(quotas(cork_us)));
    world.at(0);
    world
}

impl World {
    /// A turn of this time begins, and sends what it has to.
    fn at(&mut self, now_us: u64) {
        self.port.now_us = now_us;
        self.hub.set_time(0, now_us, &mut self.port);
        self.flush();
    }

    fn flush(&mut self) {
        while self.hub.flush(usize::MAX, &mut self.port) > 0 {}
    }

    fn join(&mut self, slot: u32, channel: &str) {
        let text = format!(r#"{{"subscribe":{{"channel":"{channel}"}}}}"#);
        self.message(slot, &text);
    }

    fn say(&mut self, slot: u32, channel: &str, event: &str) {
        let text = format!(r#"{{"broadcast":{{"channel":"{channel}","event":"{event}"}}}}"#);
        self.message(slot, &text);
    }

    /// The events that each call said to the session since it was asked last.
    fn heard(&mut self, slot: u32) -> Vec<String> {
        let said = self.port.said.iter().filter(|(to, _)| *to == slot);
        let heard = said.map(|(_, text)| events(text)).collect();
        self.port.said.retain(|(to, _)| *to != slot);
        heard
    }

    fn forget(&mut self) {
        self.port.said.clear();
    }
}

/// Names of the events in frames of the server.
fn events(frames: &str) -> String {
    let names = frames.split("{\"").filter_map(|rest| {
        let (name, payload) = rest.split_once('"')?;
        // A record of a member has no name of its own.
        (payload == ":" || payload.starts_with(":{")).then_some(name)
    });
    names.collect::<Vec<_>>().join(" ")
}

/// Nothing is said to anybody before `now_us`; then the session hears this, at once.
#[track_caller]
fn expect_at(world: &mut World, now_us: u64, slot: u32, events: &str) {
    world.at(now_us - 1);
    assert!(world.port.said.is_empty(), "too early");
    assert_eq!(world.hub.uncork_in_us(now_us - 1), Some(1));
    assert!(!world.hub.has_deliveries(), "a pump would spin");
    world.at(now_us);
    assert_eq!(world.heard(slot), [events]);
}

#[test]
fn what_comes_within_the_cork_goes_in_one_piece_when_it_opens() {
    let mut world = corked(CORK_US);
    for slot in 0..3 {
        world.subscribe(slot);
    }
    world.forget();
    assert_eq!(world.hub.uncork_in_us(0), None);
    world.at(1_000);
    world.say(0, "room", "a");
    world.at(6_000);
    world.say(1, "room", "b");
    world.at(10_999);
    world.say(0, "room", "c");
    expect_at(&mut world, 11_000, 0, "a b c");
    assert_eq!(world.heard(1), ["a b c"]);
    assert_eq!(world.heard(2), ["a b c"]);
    assert_eq!(world.hub.uncork_in_us(11_000), None);
    // Users waited for it, so it counts: 10, 5 and 0.001 ms.
    assert_eq!(world.hub.meter.latency.sum(), 10_000 + 5_000 + 1);
    // The next one begins with the next frame.
    world.at(50_000);
    world.say(2, "room", "d");
    expect_at(&mut world, 50_000 + CORK_US, 2, "d");
    assert_eq!(world.heard(0), ["d"]);
}

#[test]
fn without_a_cork_nothing_waits() {
    let mut world = corked(0);
    world.subscribe(0);
    world.subscribe(1);
    world.forget();
    world.say(0, "room", "a");
    assert_eq!(world.hub.uncork_in_us(0), None);
    assert!(world.hub.has_deliveries());
    world.flush();
    assert_eq!(world.heard(1), ["a"]);
    assert_eq!(world.hub.meter.latency.sum(), 0);
}

#[test]
fn each_vhost_has_its_own() {
    let mut world = World::new();
    let mut quotas = quotas(CORK_US);
    let path = crate::model::VhostPath::parse("/other").expect("a path");
    let mut own = quotas.default.clone();
    own.cork = Duration::from_micros(3_000);
    quotas.vhosts.insert(path, own);
    world.hub.set_quotas(Arc::new(quotas));
    world.at(0);
    world.change(Change::ChannelOpened {
        vhost: OTHER,
        channel: ChannelId(9),
        name: ChannelName::parse("there").expect("a name"),
    });
    world.subscribe(0);
    world.connect(1, OTHER);
    world.join(1, "there");
    world.forget();
    world.say(0, "room", "a");
    world.at(500);
    world.say(1, "there", "b");
    expect_at(&mut world, 3_500, 1, "b");
    expect_at(&mut world, CORK_US, 0, "a");
}

#[test]
fn an_answer_comes_behind_what_was_published_and_others_still_wait() {
    let mut world = corked(CORK_US);
    world.subscribe(0);
    world.subscribe(1);
    world.forget();
    world.say(0, "room", "a");
    world.say(0, "room", "b");
    world.message(0, "nonsense");
    assert_eq!(world.heard(0), ["a b", ":error"]);
    world.say(0, "room", "c");
    expect_at(&mut world, CORK_US, 1, "a b c");
    assert_eq!(world.heard(0), ["c"]);
}

#[test]
fn who_joins_hears_nothing_of_before_and_who_leaves_all_of_it() {
    let mut world = corked(CORK_US);
    for slot in 0..3 {
        world.subscribe(slot);
    }
    world.connect(3, VHOST);
    world.forget();
    world.say(0, "room", "a");
    world.join(3, "room");
    world.say(0, "room", "b");
    world.message(2, r#"{"unsubscribe":{"channel":"room"}}"#);
    world.say(0, "room", "c");
    assert_eq!(world.heard(3), [":subscribed"]);
    assert_eq!(world.heard(2), ["a b", ":unsubscribed"]);
    expect_at(&mut world, CORK_US, 1, "a b c");
    assert_eq!(world.heard(0), ["a b c"]);
    assert_eq!(world.heard(3), ["b c"]);
    assert!(world.heard(2).is_empty());
}

#[test]
fn the_order_over_all_channels_is_that_of_publication() {
    let mut world = corked(CORK_US);
    world.subscribe(0);
    world.join(0, "quiet");
    world.subscribe(1);
    world.forget();
    for (at, event) in ["a", "b", "c", "d", "e"].into_iter().enumerate() {
        world.at(at as u64 * 1000);
        world.say(0, ["room", "quiet"][at % 2], event);
    }
    expect_at(&mut world, CORK_US, 0, "a b c d e");
    assert_eq!(world.heard(1), ["a c e"]);
}

#[test]
fn members_come_and_go_in_their_places_among_the_events() {
    let mut world = corked(CORK_US);
    for slot in 0..3 {
        world.connect(slot, VHOST);
        world.authenticate(slot, "joe");
    }
    world.join(0, "presence-x");
    world.at(CORK_US);
    world.forget();
    world.say(0, "presence-x", "a");
    world.join(1, "presence-x");
    world.say(0, "presence-x", "b");
    world.message(2, r#"{"subscribe":{"channel":"presence-x","hidden":true}}"#);
    world.hub.close(conn(1), &mut world.port);
    world.say(0, "presence-x", "c");
    assert_eq!(world.heard(1), [":subscribed"]);
    assert_eq!(world.heard(2), [":subscribed"]);
    expect_at(
        &mut world,
        2 * CORK_US,
        0,
        "a :memberJoined b :memberLeft c",
    );
    // Who is hidden gets what was announced since, and no events [PR-11].
    assert_eq!(world.heard(2), [":memberLeft"]);
    assert!(world.heard(1).is_empty(), "it is gone");
}

#[test]
fn what_ends_a_channel_or_a_session_comes_behind_what_was_published() {
    let mut world = corked(CORK_US);
    for slot in 0..3 {
        world.subscribe(slot);
    }
    world.forget();
    world.say(0, "room", "a");
    world.hub.give_rest(conn(2), &mut world.port);
    world.hub.close(conn(2), &mut world.port);
    assert_eq!(world.heard(2), ["a"]);
    world.message(1, r#"{"auth":{"token":"x"}}"#);
    assert_eq!(world.heard(1), ["a", ":error"]);
    world.change(Change::ChannelClosed {
        vhost: VHOST,
        channel: ChannelId(1),
        name: ChannelName::parse("room").expect("a name"),
    });
    assert_eq!(world.heard(0), ["a", ":unsubscribed"]);
    assert_eq!(world.heard(1), [":unsubscribed"]);
    // Nobody is left to whom it goes, and nothing of the channel is kept.
    world.at(CORK_US);
    assert!(world.port.said.is_empty());
    assert_eq!(world.hub.census().channels, 0);
}

#[test]
fn a_channel_without_subscribers_forgets_what_waited() {
    let mut world = corked(CORK_US);
    world.subscribe(0);
    world.forget();
    world.say(0, "room", "a");
    world.hub.close(conn(0), &mut world.port);
    // The next of them is none of its subscribers of before.
    world.subscribe(1);
    world.at(CORK_US);
    assert_eq!(world.heard(1), [":connected", ":subscribed"]);
    world.hub.close(conn(1), &mut world.port);
    assert_eq!(world.hub.census().channels, 0);
    assert!(world.port.said.is_empty());
}

#[test]
fn a_vhost_that_is_deleted_opens_its_cork_and_has_none_afterwards() {
    let mut world = corked(CORK_US);
    world.subscribe(0);
    world.join(0, "quiet");
    world.subscribe(1);
    world.forget();
    world.say(0, "room", "a");
    world.change(Change::VhostDeleted { vhost: VHOST });
    world.flush();
    assert_eq!(world.heard(0), ["a"]);
    let left = world.hub.locals.iter();
    assert!(left.map(|(_, local)| local.cork_us).all(|cork| cork == 0));
    assert_eq!(world.hub.uncork_in_us(0), None);
}

#[test]
fn a_reload_sends_what_waited_and_loses_nothing_of_what_is_on_its_way() {
    for (before, after) in [(CORK_US, 0), (CORK_US, 2_000), (2_000, CORK_US)] {
        let mut world = corked(before);
        world.subscribe(0);
        world.forget();
        world.say(0, "room", "a");
        let quotas = Arc::new(quotas(after));
        world.change(Change::QuotasReplaced { quotas });
        assert!(world.hub.has_deliveries());
        world.flush();
        assert_eq!(world.heard(0), ["a"]);
        world.say(0, "room", "b");
        if after > 0 {
            expect_at(&mut world, after, 0, "b");
        }
    }
    // From none to one: `a` is to be sent already, and `b` has a later number.
    let mut world = corked(0);
    world.subscribe(0);
    world.join(0, "quiet");
    world.forget();
    world.say(0, "room", "a");
    let quotas = Arc::new(quotas(CORK_US));
    world.change(Change::QuotasReplaced { quotas });
    world.say(0, "quiet", "b");
    world.flush();
    assert_eq!(world.heard(0), ["a b"]);
    world.say(0, "quiet", "c");
    expect_at(&mut world, CORK_US, 0, "c");
}

#[test]
fn what_is_published_before_the_freeze_goes_with_what_waited() {
    let mut world = corked(CORK_US);
    for slot in 0..3 {
        world.subscribe(slot);
        world.join(slot, "quiet");
    }
    world.forget();
    world.say(0, "room", "a");
    world.hub.set_time(0, CORK_US, &mut world.port);
    // The cork is open: of the same vhost nothing is left behind.
    world.say(0, "quiet", "b");
    assert_eq!(world.hub.flush(1, &mut world.port), 1);
    // Amid the fan-out it waits again, until the next.
    world.say(0, "room", "c");
    world.hub.set_time(0, 2 * CORK_US, &mut world.port);
    world.say(0, "quiet", "d");
    world.flush();
    for slot in 0..3 {
        assert_eq!(world.heard(slot), ["a b", "c d"], "{slot}");
    }
}

/// Frames straight into the corks of vhosts, one channel each.
#[derive(Default)]
struct Stack {
    corks: Corks,
    next: Gathered,
    batches: SpareBatches,
    seq: u64,
}

impl Stack {
    /// So many bytes published in the vhost; tells how many are to be sent now.
    fn publish(&mut self, vhost: u32, bytes: usize, now_us: u64) -> usize {
        let mut local = local(VhostId(vhost), 3);
        local.cork_us = CORK_US as u32;
        self.seq += 1;
        let published = Published {
            seq: self.seq,
            frame: &vec![0; bytes],
            custom: true,
            accepted: Moment::default(),
        };
        let Self {
            corks,
            next,
            batches,
            ..
        } = self;
        corks.append(&mut local, vhost, published, now_us, next, batches);
        self.next.bytes
    }
}

#[test]
fn what_has_waited_waits_for_no_more_to_join() {
    let mut world = corked(10_000);
    world.subscribe(0);
    world.flush();
    world.say(0, "room", "early");
    for (now_us, opens) in [(9_999, false), (10_000, true)] {
        world.hub.set_time(0, now_us, &mut world.port);
        assert_eq!(world.hub.has_deliveries(), opens);
        assert!(!world.hub.is_gathering());
    }
    world.hub.set_quotas(Arc::new(quotas(0)));
    assert!(!world.hub.is_gathering(), "all have opened");
    world.flush();
    world.say(0, "room", "uncorked");
    assert!(world.hub.is_gathering());
}

#[test]
fn a_vhost_holds_so_many_bytes_and_then_opens() {
    let mut stack = Stack::default();
    assert_eq!(stack.publish(1, CORKED_BYTES_PER_VHOST_MAX - 1, 0), 0);
    assert_eq!(stack.publish(2, 10, 0), 0);
    assert_eq!(stack.publish(1, 1, 0), CORKED_BYTES_PER_VHOST_MAX);
    assert_eq!(stack.corks.bytes, 10, "the other one waits");
    assert!(stack.corks.holds(VhostId(2)) && !stack.corks.holds(VhostId(1)));
    // Open up to the freeze, and then no longer.
    let sent = stack.publish(1, 5, 0);
    assert_eq!(sent, CORKED_BYTES_PER_VHOST_MAX + 5);
    assert_eq!(stack.next.channels, [1, 1, 1]);
    stack.corks.close_again();
    assert_eq!(stack.publish(1, 5, 0), sent);
    // One frame past the bound by itself waits for nobody.
    let mut stack = Stack::default();
    let large = 2 * CORKED_BYTES_PER_VHOST_MAX;
    assert_eq!(stack.publish(1, large, 0), large);
    assert_eq!((stack.corks.bytes, stack.corks.due_us()), (0, None));
}

#[test]
fn a_shard_holds_so_many_bytes_and_then_all_open() {
    let mut stack = Stack::default();
    let each = CORKED_BYTES_PER_VHOST_MAX - 1;
    let count = CORKED_BYTES_MAX / each;
    for vhost in 0..count as u32 {
        assert_eq!(stack.publish(vhost, each, 0), 0);
    }
    let rest = CORKED_BYTES_MAX - count * each;
    assert_eq!(stack.publish(count as u32, rest - 1, 0), 0);
    assert_eq!(stack.corks.bytes, CORKED_BYTES_MAX - 1);
    assert_eq!(stack.publish(count as u32 + 1, 1, 0), CORKED_BYTES_MAX);
    assert_eq!((stack.corks.bytes, stack.corks.due_us()), (0, None));
    assert_eq!(stack.next.channels.len(), count + 2);
    assert_eq!(stack.next.subscribers, 3 * (count + 2));
    // All of them are open, those too that held nothing.
    assert_eq!(stack.publish(9_999, 1, 0), CORKED_BYTES_MAX + 1);
    stack.corks.close_again();
    assert_eq!(stack.publish(9_999, 1, 0), CORKED_BYTES_MAX + 1);
}

#[test]
fn what_waits_keeps_no_shard_from_taking_more_in() {
    let mut world = corked(CORK_US);
    world.subscribe(0);
    world.message(
        0,
        &format!(
            r#"{{"broadcast":{{"channel":"room","event":"a","data":{{"t":"{}"}}}}}}"#,
            "x".repeat(CORKED_BYTES_PER_VHOST_MAX - 1_000)
        ),
    );
    assert!(!world.hub.is_saturated() && !world.hub.has_deliveries());
    // One more opens it. Even as much as saturates is sent, and then no more.
    world.message(
        0,
        &format!(
            r#"{{"broadcast":{{"channel":"room","event":"a","data":{{"t":"{}"}}}}}}"#,
            "x".repeat(BATCH_BYTES_MAX)
        ),
    );
    assert!(world.hub.is_saturated() && world.hub.has_deliveries());
    world.flush();
    assert!(!world.hub.is_saturated());
}

#[test]
fn corks_open_in_the_order_of_their_times_once() {
    let mut stack = Stack::default();
    for (vhost, now_us) in [(1, 30), (2, 10), (3, 20), (2, 15)] {
        stack.publish(vhost, 1, now_us);
    }
    // Opened before its time, and closed anew: the first time no longer counts.
    stack.corks.open(VhostId(2), &mut stack.next);
    stack.corks.close_again();
    stack.publish(2, 1, 40);
    stack.next = Gathered::default();
    let mut opened = Vec::new();
    while let Some(due_us) = stack.corks.due_us() {
        stack.corks.open_due(due_us - 1, &mut stack.next);
        assert!(stack.next.channels.is_empty(), "too early");
        stack.corks.open_due(due_us, &mut stack.next);
        opened.append(&mut stack.next.channels);
    }
    assert_eq!(opened, [3, 1, 2]);
    assert!(!stack.corks.holds(VhostId(2)));
    assert_eq!(stack.corks.bytes, 0);
}

#[test]
fn a_shard_of_another_home_corks_what_it_gets() {
    let mut world = corked(CORK_US);
    world.subscribe(0);
    world.forget();
    let frame = b"\x81\x08{\"a\":{}}";
    let delivery = |event: &'static [u8]| Delivery::Frame {
        channel: ChannelId(1),
        accepted: Moment::default(),
        frame: event.into(),
        custom: true,
        echo_of: Some(conn(0)),
    };
    world.hub.handle_delivery(delivery(frame), &mut world.port);
    world.hub.handle_delivery(delivery(frame), &mut world.port);
    expect_at(&mut world, CORK_US, 0, "a a");
}
