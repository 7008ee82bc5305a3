//! Subscribers, sessions, events and statistics of a running node.

use serde_json::json;

use crate::admin;
use crate::support::Broker;

/// One shard has every channel at home; two make them remote too.
const SHARDS: [u16; 2] = [1, 2];

#[test]
fn subscribers_and_sessions_are_listed_and_shown() {
    for shards in SHARDS {
        let broker = Broker::with_channels(shards, &["presence-x", "room"]);
        let mut joe = broker.user("joe", ".*");
        joe.send(json!({"subscribe": {"channel": "presence-x", "data": {"n": 1}}}));
        joe.receive();
        joe.receive();
        joe.subscribe("room");
        let mut ann = broker.user("ann", ".*");
        ann.send(json!({"subscribe": {"channel": "presence-x", "hidden": true}}));
        ann.receive();
        let nobody = broker.browser();
        // With his own `:memberJoined` this is his second delivery.
        joe.broadcast("room", "said", json!({}));
        assert!(
            joe.receive()["said"].is_object(),
            "counted before it is seen"
        );

        // What others see of joe.
        let record = json!({"uid": "joe", "channel": "presence-x", "n": 1});
        let mut lines = [
            format!("{}\tjoe\tvisible\t{record}\n", joe.sid),
            format!("{}\tann\thidden\t\n", ann.sid),
        ];
        lines.sort_unstable();
        admin(&broker, &["list-subscribers", "test", "presence-x"]).prints(&lines.concat());
        let mut lines = [
            format!("{}\tjoe\t2\n", joe.sid),
            format!("{}\tann\t1\n", ann.sid),
            format!("{}\t\t0\n", nobody.sid),
        ];
        lines.sort_unstable();
        admin(&broker, &["list-sessions", "test"]).prints(&lines.concat());
        let cut = admin(&broker, &["list-sessions", "test", "--limit", "2"]);
        assert_eq!((cut.code, cut.stdout.lines().count()), (0, 2), "{cut:?}");
        assert!(cut.stderr.starts_with("NOTE: "), "{cut:?}");

        let shown = format!("{}\tjoe\npresence-x\tvisible\nroom\tvisible\n", joe.sid);
        admin(&broker, &["show-session", "test", &joe.sid]).prints(&shown);
        let shown = format!("{}\tann\npresence-x\thidden\n", ann.sid);
        admin(&broker, &["show-session", "test", &ann.sid]).prints(&shown);
        let shown = admin(&broker, &["show-session", "test", &nobody.sid, "--json"]).json();
        assert_eq!(shown["session"]["sid"], nobody.sid);

        let listed = "presence-x\t(2 subscribers)\nroom\t(1 subscribers)\n";
        admin(&broker, &["list_channels", "test"]).prints(listed);
        let stats = admin(&broker, &["vhost-stats", "test"]);
        assert_eq!((stats.code, stats.stderr.as_str()), (0, ""), "{stats:?}");
        for line in [
            "sessions\t3",
            "subscriptions\t3",
            "channels\t2",
            "workers\t0",
            "broadcasts\t1",
            "deliveries\t2",
            "triggers\t0",
        ] {
            assert!(stats.stdout.lines().any(|it| it == line), "{stats:?}");
        }
    }
}

#[test]
fn sessions_and_users_are_disconnected() {
    for shards in SHARDS {
        let broker = Broker::start(shards);
        let mut one = broker.browser();
        admin(&broker, &["disconnect", "test", "--sid", &one.sid]).prints("1\n");
        assert_eq!(one.expect_close().0, 1008);
        // A user's identifier may hold what paths are made of.
        let uid = "joe/ä?#.. %2F";
        let mut joes = [broker.user(uid, ".*"), broker.user(uid, ".*")];
        let mut ann = broker.user("ann", ".*");
        admin(&broker, &["disconnect", "test", "--uid", uid]).prints("2\n");
        for joe in &mut joes {
            assert_eq!(joe.expect_close().0, 1008);
        }
        ann.expect_nothing_before();
        let gone = admin(&broker, &["disconnect", "test", "--sid", "0"]);
        gone.fails_with(5, &["session"]);
        let gone = admin(&broker, &["disconnect", "test", "--uid", "nobody"]);
        gone.fails_with(5, &["user"]);
        admin(&broker, &["disconnect", "none", "--uid", "joe"]).fails(5, "vhost doesn't exist");
    }
}

#[test]
fn events_reach_a_channel_and_a_session() {
    for shards in SHARDS {
        let broker = Broker::with_channels(shards, &["room"]);
        let mut browsers: Vec<_> = (0..3).map(|_| broker.browser()).collect();
        for browser in &mut browsers {
            browser.subscribe("room");
        }
        let to_channel = [
            "send-event",
            "test",
            "--channel",
            "room",
            "said",
            r#"{"n": 1.50}"#,
        ];
        admin(&broker, &to_channel).prints("");
        for browser in &mut browsers {
            browser.expect(json!({"said": {"n": 1.5, "channel": "room"}}));
        }
        let sid = browsers[1].sid.clone();
        admin(&broker, &["send-event", "test", "--sid", &sid, "hint"]).prints("");
        browsers[1].expect(json!({"hint": {}}));
        for browser in &mut browsers {
            browser.expect_nothing_before();
        }
        for (to, event, data) in [("room", ":closed", "{}"), ("room", "x", "[]")] {
            let line = ["send-event", "test", "--channel", to, event, data];
            admin(&broker, &line).fails_with(1, &[]);
        }
        let line = ["send-event", "test", "--channel", "none", "x"];
        admin(&broker, &line).fails(5, "channel doesn't exist");
    }
}
