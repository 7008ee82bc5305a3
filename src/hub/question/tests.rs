//! Each question to a hub of one shard, with as many sessions as need pages.

use super::*;
use crate::hub::envelope::Change;
use crate::hub::tests::{OTHER, VHOST, World, conn};
use crate::limits::BUSY_INTERVAL;

fn event(name: &str, data: &str) -> OperatorEvent {
    OperatorEvent {
        name: name.into(),
        data: data.into(),
    }
}

#[test]
fn sizes_come_in_the_order_asked_and_closed_channels_are_empty() {
    let mut world = World::new();
    world.subscribe(0);
    world.subscribe(1);
    let channels = [2, 1, 77].map(ChannelId);
    let sizes = world.ask(Question::Sizes(channels.into()));
    assert_eq!(sizes, Finding::Sizes(vec![0, 2, 0]));
    // Past the bound the rest is not visited.
    let many = vec![ChannelId(1); QUESTION_VISITS_MAX + 1];
    let Finding::Sizes(sizes) = world.ask(Question::Sizes(many.into())) else {
        panic!("no sizes");
    };
    assert_eq!(sizes.len(), QUESTION_VISITS_MAX);
}

#[test]
fn subscribers_come_in_pages_and_none_is_missed_when_others_leave() {
    let mut world = World::new();
    let count = QUESTION_VISITS_MAX as u32 + 10;
    let sids: Vec<Sid> = (0..count).map(|slot| world.subscribe(slot)).collect();
    let page = |world: &mut World, below| {
        let channel = ChannelId(1);
        match world.ask(Question::Subscribers { channel, below }) {
            Finding::Subscribers { found, next } => (found, next),
            other => panic!("no subscribers: {other:?}"),
        }
    };
    let (first, next) = page(&mut world, u32::MAX);
    assert_eq!((first.len(), next), (QUESTION_VISITS_MAX, Some(10)));
    // The last one, which was listed, takes the place of the first, which was not.
    world.hub.close(conn(0), &mut world.port);
    let (second, next) = page(&mut world, 10);
    assert_eq!((second.len(), next), (10, None));
    let listed: std::collections::HashSet<Sid> =
        first.iter().chain(&second).map(|it| it.sid).collect();
    assert!(sids[1..].iter().all(|sid| listed.contains(sid)));
    let (none, next) = page(&mut world, 0);
    assert_eq!((none.len(), next), (0, None));
    let channel = ChannelId(77);
    let below = u32::MAX;
    let unknown = world.ask(Question::Subscribers { channel, below });
    let (found, next) = (Vec::new(), None);
    assert_eq!(unknown, Finding::Subscribers { found, next });
}

#[test]
fn sessions_are_visited_in_pages_and_by_vhost() {
    let mut world = World::new();
    let count = QUESTION_VISITS_MAX as u32 + 1;
    for slot in 0..count {
        match slot {
            7 => drop(world.connect(slot, OTHER)),
            8 => drop(world.subscribe(slot)),
            _ => drop(world.connect(slot, VHOST)),
        }
    }
    let first = world.errand(Whose::All, 0, Errand::Count);
    let sessions = QUESTION_VISITS_MAX as u64 - 1;
    let next = Some(QUESTION_VISITS_MAX as u32);
    let counted = |sessions, subscriptions, next| Finding::Counted {
        sessions,
        subscriptions,
        next,
    };
    assert_eq!(first, counted(sessions, 1, next));
    let rest = world.errand(Whose::All, QUESTION_VISITS_MAX as u32, Errand::Count);
    assert_eq!(rest, counted(1, 0, None));
    let past = world.errand(Whose::All, u32::MAX, Errand::Count);
    assert_eq!(past, counted(0, 0, None));
}

#[test]
fn a_session_is_listed_and_shown_with_its_user_and_channels() {
    let mut world = World::new();
    let nobody = world.subscribe(0);
    let sid = world.subscribe(5);
    world.authenticate(5, "joe");
    world.message(
        5,
        r#"{"subscribe":{"channel":"presence-x","data":{"a":1}}}"#,
    );
    world.message(5, r#"{"subscribe":{"channel":"quiet","hidden":true}}"#);
    let Finding::Sessions { found, next } = world.errand(Whose::All, 0, Errand::List) else {
        panic!("no sessions");
    };
    let info = |sid, uid: Option<&str>, subscriptions| SessionInfo {
        sid,
        uid: uid.map(Into::into),
        subscriptions,
    };
    assert_eq!(found, [info(nobody, None, 1), info(sid, Some("joe"), 3)]);
    assert_eq!(next, None);
    let Finding::Session { found, .. } = world.errand(Whose::Sid(sid), 0, Errand::Show) else {
        panic!("no session");
    };
    let shown = found.expect("known");
    assert_eq!((shown.sid, shown.uid.as_deref()), (sid, Some("joe")));
    let channels = shown.channels.iter();
    let mut channels: Vec<_> = channels
        .map(|(name, hidden)| (name.as_str(), *hidden))
        .collect();
    channels.sort_unstable();
    let expected = [("presence-x", false), ("quiet", true), ("room", false)];
    assert_eq!(channels, expected);
    let missing = Whose::Sid(Sid::from_random([9; 16]));
    let shown = world.errand(missing, 0, Errand::Show);
    let (found, next) = (None, None);
    assert_eq!(shown, Finding::Session { found, next });

    let peers = [0, 5].map(|slot| Peer {
        shard: 0,
        conn: conn(slot),
    });
    let records = world.ask(Question::Records {
        channel: ChannelId(3),
        peers: peers.into(),
    });
    let record = r#""a":1,"uid":"joe","channel":"presence-x""#;
    let expected = vec![None, Some(record.into())];
    assert_eq!(records, Finding::Records(expected));
}

#[test]
fn sends_away_whom_it_is_asked_to_and_nobody_else() {
    let mut world = World::new();
    for slot in 0..4 {
        world.connect(slot, if slot == 3 { OTHER } else { VHOST });
    }
    for (slot, uid) in [(0, "joe"), (1, "ann"), (2, "joe"), (3, "joe")] {
        world.authenticate(slot, uid);
    }
    let joe = world.errand(Whose::Uid("joe".into()), 0, Errand::Disconnect);
    assert!(matches!(joe, Finding::Counted { sessions: 2, .. }));
    assert_eq!(world.port.disconnected, [conn(0), conn(2)]);
    let nobody = world.errand(Whose::Uid("jo".into()), 0, Errand::Disconnect);
    assert!(matches!(nobody, Finding::Counted { sessions: 0, .. }));
    assert_eq!(world.port.disconnected.len(), 2);
}

#[test]
fn what_is_told_to_a_session_comes_behind_what_was_published() {
    let mut world = World::new();
    let sid = world.subscribe(0);
    world.subscribe(1);
    world.port.said.clear();
    world.backend_says("room", 1);
    let told = event("no\"tice", r#" {"n":1.50,"channel":"x"} "#);
    let told = world.errand(Whose::Sid(sid), 0, Errand::Tell(told));
    assert!(matches!(told, Finding::Counted { sessions: 1, .. }));
    let said = world.port.said_to(0);
    let broadcast = said.find(r#"{"said":{"channel":"room"}}"#);
    let direct = said.find(r#"{"no\"tice":{"n":1.50,"channel":"x"}}"#);
    assert!(broadcast.is_some() && broadcast < direct, "{said}");
    assert_eq!(world.port.said_to(1), "", "it waits for the turn's end");
}

#[test]
fn data_that_is_no_object_is_told_to_nobody() {
    let mut world = World::new();
    let sid = world.subscribe(0);
    world.port.said.clear();
    let deep = crate::limits::JSON_DEPTH_MAX;
    let nested = |depth| format!("{{\"a\":{}{}}}", "[".repeat(depth), "]".repeat(depth));
    let channel = ChannelId(1);
    for data in ["", "[]", "1", "null", "{", "{}x", &nested(deep + 1)] {
        let event = event("e", data);
        let tell = Errand::Tell(event.clone());
        assert_eq!(world.errand(Whose::Sid(sid), 0, tell), Finding::Malformed);
        let publish = Question::Publish { channel, event };
        assert_eq!(world.ask(publish), Finding::Malformed, "{data}");
    }
    world.hub.flush(100, &mut world.port);
    assert_eq!(world.port.said_to(0), "");
    let event = event("e", &nested(deep - 1));
    let published = world.ask(Question::Publish { channel, event });
    assert_eq!(published, Finding::Published(true));
}

/// However many deliveries a turn may have.
#[test]
fn a_turn_that_is_spent_leaves_the_rest_to_the_next() {
    let mut world = World::new();
    for slot in 0..5 {
        world.subscribe(slot);
    }
    let event = event("e", "{}");
    let channel = ChannelId(1);
    let published = world.ask(Question::Publish { channel, event });
    assert_eq!(published, Finding::Published(true));
    world.port.said.clear();
    world.port.deliveries_max = Some(2);
    let mut served = Vec::new();
    for expected in [2, 2, 1, 0] {
        assert_eq!(world.hub.flush(100, &mut world.port), expected);
        assert_eq!(world.hub.has_deliveries(), served.len() + expected < 5);
        served.extend(world.port.said.drain(..).map(|(slot, _)| slot));
    }
    served.sort_unstable();
    assert_eq!(served, [0, 1, 2, 3, 4]);
}

#[test]
fn an_operator_publishes_as_a_backend_does() {
    let mut world = World::new();
    world.subscribe(0);
    world.connect(1, VHOST);
    world.message(1, r#"{"subscribe":{"channel":"room","hidden":true}}"#);
    world.port.said.clear();
    let event = event("e", r#"{"channel":"forged","sid":"kept"}"#);
    let ask = |channel| Question::Publish {
        channel: ChannelId(channel),
        event: event.clone(),
    };
    assert_eq!(world.ask(ask(1)), Finding::Published(true));
    assert_eq!(world.ask(ask(77)), Finding::Published(false));
    world.hub.flush(100, &mut world.port);
    let expected = r#"{"e":{"sid":"kept","channel":"room"}}"#;
    assert!(world.port.said_to(0).ends_with(expected));
    assert_eq!(world.port.said_to(1), "", "[PR-11]");
}

#[test]
fn the_busiest_channels_come_first() {
    let mut world = World::new();
    world.hub.set_time(1_000_000, 0, &mut world.port);
    world.subscribe(0);
    world.backend_says("room", 2);
    world.backend_says("quiet", 3);
    let busiest = |world: &mut World, count| match world.ask(Question::Busiest(count)) {
        Finding::Busiest(found) => found,
        other => panic!("not the busiest: {other:?}"),
    };
    let found = busiest(&mut world, 10);
    let seen: Vec<_> = found
        .iter()
        .map(|it| (it.name.as_str(), it.subscribers, it.broadcasts, it.recent))
        .collect();
    assert_eq!(seen, [("quiet", 0, 3, 3), ("room", 1, 2, 2)]);
    assert!(found.iter().all(|it| it.vhost == VHOST));
    assert_eq!(busiest(&mut world, 1).len(), 1);
    // What members do is no broadcast.
    world.authenticate(0, "joe");
    world.message(0, r#"{"subscribe":{"channel":"presence-x"}}"#);
    assert_eq!(busiest(&mut world, 10).len(), 2);
    // A channel that was closed is not among them.
    world.change(Change::ChannelClosed {
        vhost: VHOST,
        channel: ChannelId(2),
        name: ChannelName::parse("quiet").expect("a name"),
    });
    assert_eq!(busiest(&mut world, 10).len(), 1);
    let later = 1_000_000 + 2 * BUSY_INTERVAL.as_millis() as u64;
    world.hub.set_time(later, 0, &mut world.port);
    assert!(busiest(&mut world, 10).is_empty());
}
