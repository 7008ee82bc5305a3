//! Admin REST and sessions, through a real node: who is there, what they are
//! subscribed to, and sending them away.

mod support;

use serde_json::{Value, json};
use support::admin::{admin, admin_with};
use support::backend::Worker;
use support::{Broker, Browser};
use webrocket::limits::{ADMIN_LIST_DEFAULT, ADMIN_LIST_MAX};

/// A list in the order of `key`; that of admin is free.
fn sorted(list: &Value, key: &str) -> Vec<Value> {
    let mut list = list.as_array().expect("a list").clone();
    list.sort_by_key(|it| it[key].as_str().expect("a text").to_owned());
    list
}

/// A presence member with this data, its `:subscribed` and `:memberJoined` taken.
fn join(browser: &mut Browser, channel: &str, data: &Value, hidden: bool) {
    browser.send(json!({"subscribe": {"channel": channel, "data": data, "hidden": hidden}}));
    assert!(browser.receive()[":subscribed"].is_object());
    if !hidden {
        assert!(browser.receive()[":memberJoined"].is_object());
    }
}

#[test]
fn subscribers_are_listed_with_their_presence_data() {
    for shards in [1, 2] {
        let broker = Broker::with_channels(shards, &["room", "presence-x"]);
        let path = "/test/channels/presence-x/subscribers";
        assert_eq!(
            admin(&broker, "GET", path).json(),
            json!({"subscribers": []})
        );
        // Enough that every shard has some.
        let mut members: Vec<_> = (0..8)
            .map(|number| broker.user(&format!("user-{number}"), ".*"))
            .collect();
        for (number, member) in members.iter_mut().enumerate() {
            let data = json!({"number": number, "uid": "forged"});
            join(member, "presence-x", &data, number == 7);
        }
        let listed = admin(&broker, "GET", path).json();
        let listed = sorted(&listed["subscribers"], "uid");
        assert_eq!(listed.len(), 8);
        for (number, (entry, member)) in listed.iter().zip(&members).enumerate() {
            let uid = format!("user-{number}");
            let session = format!("/test/sessions/{}", member.sid);
            let mut expected = json!({
                "sid": member.sid,
                "uid": uid,
                "hidden": number == 7,
                "links": [{"rel": "session", "href": session}],
            });
            if number < 7 {
                expected["data"] = json!({"number": number, "uid": uid, "channel": "presence-x"});
            }
            assert_eq!(*entry, expected);
        }
        // Elsewhere nobody sees data, and nobody need be a user.
        let mut nobody = broker.browser();
        nobody.subscribe("room");
        let listed = admin(&broker, "GET", "/test/channels/room/subscribers").json();
        let entry = &listed["subscribers"][0];
        assert_eq!(
            (&entry["sid"], &entry["hidden"]),
            (&json!(nobody.sid), &json!(false))
        );
        assert_eq!(
            (&entry["uid"], &entry["data"]),
            (&Value::Null, &Value::Null)
        );

        let sizes = admin(&broker, "GET", "/test/channels").json();
        let sizes: Vec<_> = sorted(&sizes["channels"], "name")
            .iter()
            .map(|it| it["subscribers"].clone())
            .collect();
        assert_eq!(sizes, [json!({"size": 8}), json!({"size": 1})]);
        let limited = admin(&broker, "GET", &format!("{path}?limit=3")).json();
        assert_eq!(limited["subscribers"].as_array().expect("a list").len(), 3);
    }
}

#[test]
fn what_is_missing_is_404_the_vhost_first() {
    let broker = Broker::with_channels(2, &["room"]);
    let sid = "6f0b2c1e-3c8a-4d0f-9f5e-0a1b2c3d4e5f";
    let session = format!("sessions/{sid}");
    let events = format!("sessions/{sid}/events");
    let body = r#"{"event":"e"}"#;
    for (method, path, missing) in [
        ("GET", "channels/none/subscribers", "channel doesn't exist"),
        ("GET", "channels/-/subscribers", "channel doesn't exist"),
        ("POST", "channels/none/events", "channel doesn't exist"),
        ("POST", "channels/-/events", "channel doesn't exist"),
        ("GET", &session, "session doesn't exist"),
        ("GET", "sessions/no-sid", "session doesn't exist"),
        ("DELETE", &session, "session doesn't exist"),
        ("DELETE", "sessions/no-sid", "session doesn't exist"),
        ("POST", &events, "session doesn't exist"),
        ("POST", "sessions/no-sid/events", "session doesn't exist"),
        ("DELETE", "users/joe", "user has no session"),
    ] {
        let cookie = broker.node().cookie();
        let headers = format!(
            "X-WebRocket-Cookie: {cookie}\r\nContent-Length: {}\r\n",
            body.len()
        );
        let ask = |vhost| admin_with(&broker, method, &format!("/{vhost}/{path}"), &headers, body);
        ask("test").expect_error(404, missing);
        ask("none").expect_error(404, "vhost doesn't exist");
        ask("no.vhost").expect_error(404, "vhost doesn't exist");
    }
    for path in [
        "/none/sessions",
        "/none/stats",
        "/none/channels/room/subscribers",
    ] {
        admin(&broker, "GET", path).expect_error(404, "vhost doesn't exist");
    }
}

#[test]
fn sessions_are_listed_to_a_limit() {
    for shards in [1, 2] {
        let broker = Broker::with_channels(shards, &["room"]);
        broker.add_vhost("/other");
        let none = json!({"sessions": []});
        assert_eq!(admin(&broker, "GET", "/test/sessions").json(), none);
        let _elsewhere = broker.browser_on("/other");
        let mut browsers: Vec<_> = (0..ADMIN_LIST_DEFAULT).map(|_| broker.browser()).collect();
        browsers[0].subscribe("room");
        let count = |query: &str| {
            let listed = admin(&broker, "GET", &format!("/test/sessions{query}")).json();
            listed["sessions"].as_array().expect("a list").len()
        };
        assert_eq!(count(""), ADMIN_LIST_DEFAULT);
        browsers.push(broker.user("joe", ".*"));
        assert_eq!(count(""), ADMIN_LIST_DEFAULT);
        let all = ADMIN_LIST_DEFAULT + 1;
        assert_eq!(count(&format!("?limit={ADMIN_LIST_MAX}")), all);
        assert_eq!((count("?limit=1"), count("?limit=7&x=y")), (1, 7));
        for bad in ["0", "10001", "-1", "x", "", "1.5", "1&limit=2"] {
            let answer = admin(&broker, "GET", &format!("/test/sessions?limit={bad}"));
            answer.expect_error(400, "limit is no number from 1 to 10000");
        }
        let listed = admin(&broker, "GET", "/test/sessions?limit=1000").json();
        let listed = listed["sessions"].as_array().expect("a list");
        let entry = |browser: &Browser| {
            let found = listed.iter().find(|it| it["sid"] == browser.sid);
            found.expect("listed").clone()
        };
        let joe = &browsers[ADMIN_LIST_DEFAULT];
        let this = format!("/test/sessions/{}", joe.sid);
        let expected = json!({
            "sid": joe.sid,
            "uid": "joe",
            "subscriptions": 0,
            "links": [{"rel": "self", "href": this}, {"rel": "vhost", "href": "/test"}],
        });
        assert_eq!(entry(joe), expected);
        let first = entry(&browsers[0]);
        assert_eq!(
            (&first["subscriptions"], &first["uid"]),
            (&json!(1), &Value::Null)
        );
    }
}

#[test]
fn a_session_is_shown_with_its_channels() {
    for shards in [1, 2] {
        let broker = Broker::with_channels(shards, &["a", "private-b"]);
        let mut joe = broker.user("joe \"ü\"", ".*");
        let path = format!("/test/sessions/{}", joe.sid);
        let shown = admin(&broker, "GET", &path).json();
        assert_eq!(shown["session"]["channels"], json!([]));
        joe.subscribe("a");
        joe.send(json!({"subscribe": {"channel": "private-b", "hidden": true}}));
        joe.receive();
        let shown = admin(&broker, "GET", &path).json();
        let session = &shown["session"];
        assert_eq!(
            (&session["sid"], &session["uid"]),
            (&json!(joe.sid), &json!("joe \"ü\""))
        );
        let channel = |name: &str, hidden| {
            let href = format!("/test/channels/{name}");
            json!({"name": name, "hidden": hidden, "links": [{"rel": "channel", "href": href}]})
        };
        let channels = sorted(&session["channels"], "name");
        assert_eq!(channels, [channel("a", false), channel("private-b", true)]);
        // A session of another vhost is not found here.
        broker.add_vhost("/other");
        let elsewhere = broker.browser_on("/other");
        let path = format!("/test/sessions/{}", elsewhere.sid);
        admin(&broker, "GET", &path).expect_error(404, "session doesn't exist");
        admin(&broker, "DELETE", &path).expect_error(404, "session doesn't exist");
    }
}

#[test]
fn a_session_is_disconnected_and_its_members_are_told() {
    for shards in [1, 2] {
        let broker = Broker::with_channels(shards, &["presence-x"]);
        let mut joe = broker.user("joe", ".*");
        join(&mut joe, "presence-x", &json!({}), false);
        let mut ann = broker.user("ann", ".*");
        join(&mut ann, "presence-x", &json!({}), false);
        assert!(joe.receive()[":memberJoined"].is_object());
        let path = format!("/test/sessions/{}", joe.sid);
        let answer = admin(&broker, "DELETE", &path);
        assert_eq!(
            (answer.status, answer.json()),
            (202, json!({"disconnected": 1}))
        );
        let reason = String::from("disconnected by the operator");
        assert_eq!(joe.expect_close(), (1008, reason));
        ann.expect(json!({":memberLeft": {"uid": "joe", "channel": "presence-x"}}));
        admin(&broker, "DELETE", &path).expect_error(404, "session doesn't exist");
        ann.expect_nothing_before();
        assert_eq!(broker.subscribers("presence-x"), 1);
    }
}

#[test]
fn all_sessions_of_a_user_are_disconnected() {
    for shards in [1, 2] {
        let broker = Broker::start(shards);
        let uid = "joe/& ü";
        let mut joes: Vec<_> = (0..6).map(|_| broker.user(uid, ".*")).collect();
        let mut ann = broker.user("ann", ".*");
        let mut nobody = broker.browser();
        let path = "/test/users/joe%2F%26%20%C3%BC";
        let answer = admin(&broker, "DELETE", path);
        assert_eq!(
            (answer.status, answer.json()),
            (202, json!({"disconnected": 6}))
        );
        for joe in &mut joes {
            assert_eq!(joe.expect_close().0, 1008);
        }
        ann.expect_nothing_before();
        nobody.expect_nothing_before();
        admin(&broker, "DELETE", path).expect_error(404, "user has no session");
    }
}

#[test]
fn a_vhost_shows_its_numbers() {
    for shards in [1, 2] {
        let broker = Broker::with_channels(shards, &["a", "b"]);
        broker.add_vhost("/other");
        let stats = |vhost: &str| {
            let answer = admin(&broker, "GET", &format!("/{vhost}/stats"));
            answer.json()["stats"].clone()
        };
        let numbers = |path: &str, numbers: [u64; 8]| {
            json!({
                "path": path,
                "sessions": numbers[0],
                "subscriptions": numbers[1],
                "channels": numbers[2],
                "workers": numbers[3],
                "unusedTokens": numbers[4],
                "broadcasts": numbers[5],
                "deliveries": numbers[6],
                "triggers": numbers[7],
            })
        };
        assert_eq!(stats("test"), numbers("/test", [0, 0, 2, 0, 0, 0, 0, 0]));
        let mut browsers: Vec<_> = (0..5).map(|_| broker.browser()).collect();
        browsers
            .iter_mut()
            .for_each(|browser| browser.subscribe("a"));
        browsers[0].subscribe("b");
        let mut joe = broker.user("joe", ".*");
        broker.single_access_token("ann", ".*");
        broker.single_access_token("ann", ".*");
        let worker = Worker::ready(&broker);
        // The used token is forgotten a moment after `:authenticated`.
        let expected = numbers("/test", [6, 6, 2, 1, 2, 0, 0, 0]);
        support::eventually(|| stats("test") == expected);
        // One broadcast to five subscribers, one to a single one, one trigger.
        browsers[0].broadcast("a", "said", json!({}));
        browsers[0].broadcast("b", "said", json!({}));
        joe.send(json!({"trigger": {"event": "go", "data": {}}}));
        let expected = numbers("/test", [6, 6, 2, 1, 2, 2, 6, 1]);
        support::eventually(|| stats("test") == expected);
        assert_eq!(stats("other"), numbers("/other", [0; 8]));
        drop((browsers, joe, worker));
        let expected = numbers("/test", [0, 0, 2, 0, 2, 2, 6, 1]);
        support::eventually(|| stats("test") == expected);
    }
}

#[test]
fn the_top_channels_are_those_with_most_broadcasts() {
    for shards in [1, 2] {
        let broker = Broker::with_channels(shards, &["a", "b", "c", "d"]);
        let mut browser = broker.browser();
        browser.subscribe("b");
        for (channel, times) in [("a", 1), ("b", 5), ("c", 3)] {
            for _ in 0..times {
                assert_eq!(
                    broker.request(&["BC", channel, "e", "{}"]),
                    support::backend::OK
                );
            }
        }
        let top = broker.top_channels(2);
        let top: Vec<_> = top
            .iter()
            .map(|it| {
                (
                    it.vhost.as_str(),
                    it.channel.as_str(),
                    it.subscribers,
                    it.broadcasts,
                )
            })
            .collect();
        assert_eq!(top, [("/test", "b", 1, 5), ("/test", "c", 0, 3)]);
        assert_eq!(broker.top_channels(10).len(), 3);
    }
}
