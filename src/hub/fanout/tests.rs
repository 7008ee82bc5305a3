//! How much is gathered before it is sent, and that nothing comes between.

use super::super::tests::{VHOST, World, conn, local};
use super::*;
use crate::limits::{
    BATCH_BYTES_MAX, DEFLATE_BYTES_MIN, DEFLATE_FIXED_BYTES, DEFLATED_BYTES_MAX, GATHERED_BYTES_MAX,
};
use crate::model::ChannelId;
use crate::wire::deflate::{Agreement, Params};

/// Channels with so many subscribers each, and with so many of them in other
/// channels as well.
fn channels(shapes: &[(u32, u32)]) -> (Slab<Local>, Vec<u32>) {
    let mut locals = Slab::new();
    let keys = shapes.iter().map(|&(subscribers, shared)| {
        let local = local(VHOST, subscribers);
        locals.insert(Local { shared, ..local }) as u32
    });
    let keys = keys.collect();
    (locals, keys)
}

/// Gathers so many bytes in the channel.
fn gather(fan_out: &mut FanOut, locals: &mut Slab<Local>, key: u32, bytes: usize) {
    fan_out.gather(locals, key, &vec![b'x'; bytes], true, Moment::default());
}

fn is_full(fan_out: &FanOut) -> bool {
    fan_out.gathered.is_full()
}

#[test]
fn counts_the_subscribers_of_each_busy_channel_once() {
    let (mut locals, keys) = channels(&[(31, 0), (1, 0), (0, 0)]);
    let mut fan_out = FanOut::default();
    for (key, expected) in [(0, 31), (0, 31), (1, 32), (2, 32)] {
        gather(&mut fan_out, &mut locals, keys[key], 5);
        assert_eq!(fan_out.gathered_deliveries(), expected);
    }
}

#[test]
fn frames_under_way_let_nothing_be_sent_between() {
    let (mut locals, keys) = channels(&[(1, 0)]);
    let mut fan_out = FanOut {
        frozen: keys.clone(),
        ..FanOut::default()
    };
    gather(&mut fan_out, &mut locals, keys[0], 5);
    assert_eq!(fan_out.gathered_deliveries(), usize::MAX);
}

#[test]
fn a_channel_is_full_with_what_one_session_may_be_given() {
    let (mut locals, keys) = channels(&[(1, 0), (1, 0)]);
    let mut fan_out = FanOut::default();
    gather(&mut fan_out, &mut locals, keys[0], BATCH_BYTES_MAX - 1);
    gather(&mut fan_out, &mut locals, keys[1], BATCH_BYTES_MAX - 1);
    assert!(!is_full(&fan_out), "nobody gets both");
    gather(&mut fan_out, &mut locals, keys[0], 1);
    assert!(is_full(&fan_out));
}

#[test]
fn channels_that_share_subscribers_are_full_together() {
    let (mut locals, keys) = channels(&[(2, 1), (9, 1), (1, 0)]);
    let mut fan_out = FanOut::default();
    gather(&mut fan_out, &mut locals, keys[0], BATCH_BYTES_MAX / 2);
    gather(&mut fan_out, &mut locals, keys[2], BATCH_BYTES_MAX / 2);
    gather(&mut fan_out, &mut locals, keys[1], BATCH_BYTES_MAX / 2 - 1);
    assert!(!is_full(&fan_out));
    gather(&mut fan_out, &mut locals, keys[1], 1);
    assert!(is_full(&fan_out));
}

#[test]
fn channels_that_compress_are_full_with_what_is_to_be_deflated() {
    let (mut locals, keys) = channels(&[(2, 0), (9, 0), (1, 0)]);
    for (key, offers) in [
        (0, &["permessage-deflate"][..]),
        (
            1,
            &[
                "permessage-deflate",
                "permessage-deflate; server_max_window_bits=9",
            ],
        ),
    ] {
        for offer in offers {
            locals[keys[key] as usize].compressing.add(params(offer));
        }
    }
    let mut fan_out = FanOut::default();
    gather(&mut fan_out, &mut locals, keys[2], DEFLATED_BYTES_MAX - 1);
    let short = DEFLATE_BYTES_MIN - 1;
    for _ in 0..DEFLATED_BYTES_MAX / DEFLATE_FIXED_BYTES {
        gather(&mut fan_out, &mut locals, keys[0], short);
    }
    assert!(!is_full(&fan_out), "none of it is deflated");
    let half = DEFLATED_BYTES_MAX / 2;
    gather(
        &mut fan_out,
        &mut locals,
        keys[0],
        half - DEFLATE_FIXED_BYTES,
    );
    // Once for each kind of parameters.
    let quarter = half / 2 - DEFLATE_FIXED_BYTES;
    gather(&mut fan_out, &mut locals, keys[1], quarter - 1);
    assert!(!is_full(&fan_out));
    let mut last = fan_out;
    let least = DEFLATE_BYTES_MIN;
    gather(&mut last, &mut locals, keys[1], least);
    assert!(is_full(&last));
}

#[test]
fn no_more_is_deflated_at_once_than_there_is_room_for() {
    let mut world = World::new();
    let each = DEFLATED_BYTES_MAX / 2;
    let channels: Vec<_> = (0..4).map(|n| format!("room{n}")).collect();
    for (slot, channel) in (0..).zip(&channels) {
        world.open_channel(10 + u64::from(slot), channel);
        world.connect(slot, VHOST);
        let text = format!(r#"{{"subscribe":{{"channel":"{channel}"}}}}"#);
        world.message(slot, &text);
        // Of those whose frames lie there already when somebody comes who compresses.
        let event = event_of(channel, each);
        world.message(slot, &event);
        let key = world.hub.local_keys[&ChannelId(10 + u64::from(slot))];
        let compressing = &mut world.hub.locals[key as usize].compressing;
        compressing.add(params("permessage-deflate"));
    }
    world.hub.flush(usize::MAX, &mut world.port);
    // The second one passes the bound.
    assert_eq!(world.hub.meter.compressed.count(), 2);
    for (slot, channel) in (0..).zip(&channels) {
        world.message(slot, &event_of(channel, DEFLATE_BYTES_MIN));
    }
    world.hub.flush(usize::MAX, &mut world.port);
    assert_eq!(
        world.hub.meter.compressed.count(),
        2 + 4,
        "the bound is one freeze's"
    );
}

/// A broadcast with a text of so many bytes.
fn event_of(channel: &str, bytes: usize) -> String {
    let text = "x".repeat(bytes);
    format!(r#"{{"broadcast":{{"channel":"{channel}","event":"a","data":{{"t":"{text}"}}}}}}"#)
}

fn params(offer: &str) -> Option<Params> {
    Agreement::choose(offer.as_bytes()).map(|it| it.params)
}

#[test]
fn all_channels_are_full_together() {
    const EACH: usize = BATCH_BYTES_MAX / 2;
    let (mut locals, keys) = channels(&[(1, 0); GATHERED_BYTES_MAX / EACH]);
    let mut fan_out = FanOut::default();
    let (&last, others) = keys.split_last().expect("channels");
    for &key in others {
        gather(&mut fan_out, &mut locals, key, EACH);
    }
    gather(&mut fan_out, &mut locals, last, EACH - 1);
    assert!(!is_full(&fan_out));
    gather(&mut fan_out, &mut locals, last, 1);
    assert!(is_full(&fan_out));
}

#[test]
fn what_was_gathered_is_forgotten_once_it_is_sent() {
    let mut world = World::new();
    world.subscribe(0);
    world.backend_says("room", 1);
    assert!(world.hub.is_gathering());
    world.message(0, &event_of("room", BATCH_BYTES_MAX));
    assert!(world.hub.is_saturated());
    world.hub.flush(0, &mut world.port);
    assert!(!world.hub.is_gathering() && !world.hub.is_saturated());
    assert!(world.hub.has_deliveries(), "it is being sent");
    assert_eq!(world.hub.flush(1, &mut world.port), 1);
    assert!(!world.hub.has_deliveries());
}

#[test]
fn knows_which_channels_share_subscribers() {
    let mut world = World::new();
    let shared = |world: &World| {
        let key = |channel| world.hub.local_keys.get(&ChannelId(channel));
        [1, 2, 4].map(|channel| key(channel).map(|&key| world.hub.locals[key as usize].shared))
    };
    world.open_channel(4, "third");
    for slot in 0..3 {
        world.subscribe(slot);
    }
    assert_eq!(shared(&world), [Some(0), None, None]);
    let say = |world: &mut World, slot, what: &str, channel: &str| {
        world.message(slot, &format!(r#"{{"{what}":{{"channel":"{channel}"}}}}"#));
    };
    say(&mut world, 0, "subscribe", "quiet");
    say(&mut world, 1, "subscribe", "quiet");
    assert_eq!(shared(&world), [Some(2), Some(2), None]);
    say(&mut world, 1, "subscribe", "third");
    assert_eq!(shared(&world), [Some(2), Some(2), Some(1)]);
    say(&mut world, 1, "unsubscribe", "room");
    assert_eq!(shared(&world), [Some(1), Some(2), Some(1)]);
    say(&mut world, 1, "unsubscribe", "third");
    assert_eq!(shared(&world), [Some(1), Some(1), None]);
    world.hub.close(conn(0), &mut world.port);
    assert_eq!(shared(&world), [Some(0), Some(0), None]);
}
