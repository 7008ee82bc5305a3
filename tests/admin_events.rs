//! Events that an operator sends, through a real node: to a channel as a backend
//! would, or to one session.

mod support;

use serde_json::json;
use support::Broker;
use support::admin::{admin, admin_post};
use webrocket::limits::ADMIN_BODY_BYTES_MAX;

const ROOM: &str = "/test/channels/room/events";

#[test]
fn a_channel_gets_an_event_as_from_a_backend() {
    for shards in [1, 2] {
        let broker = Broker::with_channels(shards, &["room", "other"]);
        let mut members: Vec<_> = (0..6).map(|_| broker.browser()).collect();
        members
            .iter_mut()
            .for_each(|member| member.subscribe("room"));
        let mut elsewhere = broker.browser();
        elsewhere.subscribe("other");
        let mut hidden = broker.browser();
        hidden.send(json!({"subscribe": {"channel": "room", "hidden": true}}));
        hidden.receive();
        // [BC-07]: `channel` is overridden, a `sid` passes; numbers stay as written.
        let event = r#"{"event":"notice","data":{"n":1.50,"channel":"forged","sid":"kept"}}"#;
        let answer = admin_post(&broker, ROOM, event);
        assert_eq!((answer.status, answer.body.as_str()), (202, ""));
        let empty = admin_post(&broker, ROOM, r#" {"event":"zwei \"ü\" :"} "#);
        assert_eq!(empty.status, 202);
        for member in &mut members {
            let text = member.receive_raw().into_text().expect("text");
            let expected = r#"{"notice":{"n":1.50,"sid":"kept","channel":"room"}}"#;
            assert_eq!(text.as_str(), expected);
            member.expect(json!({"zwei \"ü\" :": {"channel": "room"}}));
            member.expect_nothing_before();
        }
        elsewhere.expect_nothing_before();
        hidden.expect_nothing_before();
    }
}

#[test]
fn events_of_operator_and_backend_come_in_the_order_of_their_answers() {
    for shards in [1, 2] {
        let broker = Broker::with_channels(shards, &["room"]);
        let mut browser = broker.browser();
        browser.subscribe("room");
        for number in 0..20 {
            let event = json!({"event": "admin", "data": {"n": number}});
            assert_eq!(admin_post(&broker, ROOM, &event.to_string()).status, 202);
            let data = json!({"n": number}).to_string();
            broker.request(&["BC", "room", "backend", &data]);
        }
        for number in 0..20 {
            browser.expect(json!({"admin": {"n": number, "channel": "room"}}));
            browser.expect(json!({"backend": {"n": number, "channel": "room"}}));
        }
    }
}

#[test]
fn one_session_gets_an_event_of_no_channel() {
    for shards in [1, 2] {
        let broker = Broker::with_channels(shards, &["room"]);
        let mut browsers: Vec<_> = (0..6).map(|_| broker.browser()).collect();
        for (number, browser) in browsers.iter().enumerate() {
            let event = json!({"event": "you", "data": {"n": number, "channel": "passes"}});
            let path = format!("/test/sessions/{}/events", browser.sid);
            assert_eq!(admin_post(&broker, &path, &event.to_string()).status, 202);
        }
        for (number, browser) in browsers.iter_mut().enumerate() {
            browser.expect(json!({"you": {"n": number, "channel": "passes"}}));
            browser.expect_nothing_before();
        }
        // A hidden subscriber is as good a session as any.
        let hidden = &mut browsers[0];
        hidden.send(json!({"subscribe": {"channel": "room", "hidden": true}}));
        hidden.receive();
        let path = format!("/test/sessions/{}/events", hidden.sid);
        assert_eq!(admin_post(&broker, &path, r#"{"event":"you"}"#).status, 202);
        hidden.expect(json!({"you": {}}));
    }
}

#[test]
fn what_is_no_event_is_refused_and_reaches_nobody() {
    let broker = Broker::with_channels(2, &["room"]);
    let mut browser = broker.browser();
    browser.subscribe("room");
    let session = format!("/test/sessions/{}/events", browser.sid);
    for (body, reason) in [
        ("", "body is no event"),
        ("{", "body is no event"),
        ("[]", "body is no event"),
        ("null", "body is no event"),
        ("{}", "body is no event: missing field `event`"),
        (r#"{"event":null}"#, "body is no event"),
        (r#"{"event":7}"#, "body is no event"),
        (r#"{"event":"e"} x"#, "body is no event"),
        (
            r#"{"event":"e","event":"f"}"#,
            "body is no event: duplicate field",
        ),
        (
            r#"{"event":"e","dat":{}}"#,
            "body is no event: unknown field",
        ),
        (r#"{"event":"\ud800"}"#, "body is no event"),
        (r#"{"event":""}"#, "invalid event name"),
        (r#"{"event":":memberJoined"}"#, "invalid event name"),
        (r#"{"event":"\u003aerror"}"#, "invalid event name"),
        (r#"{"event":"e","data":[]}"#, "event data is no object"),
        (r#"{"event":"e","data":"x"}"#, "event data is no object"),
        (r#"{"event":"e","data":1}"#, "event data is no object"),
    ] {
        for path in [ROOM, &session] {
            let answer = admin_post(&broker, path, body);
            assert_eq!(answer.status, 400, "{body}");
            let error = answer.json()["error"]
                .as_str()
                .expect("a reason")
                .to_owned();
            assert!(error.starts_with(reason), "{body}: {error}");
        }
    }
    browser.expect_nothing_before();
}

#[test]
fn null_counts_as_no_data() {
    let broker = Broker::with_channels(1, &["room"]);
    let mut browser = broker.browser();
    browser.subscribe("room");
    let null = admin_post(&broker, ROOM, r#"{"event":"e","data":null}"#);
    assert_eq!(null.status, 202);
    browser.expect(json!({"e": {"channel": "room"}}));
}

#[test]
fn an_event_is_bounded() {
    let broker = Broker::with_channels(2, &["room"]);
    let mut browser = broker.browser();
    browser.subscribe("room");
    let around = r#"{"event":"e","data":{"x":""}}"#.len();
    let event = |bytes: usize| {
        let filling = "x".repeat(bytes - around);
        format!(r#"{{"event":"e","data":{{"x":"{filling}"}}}}"#)
    };
    let path = format!("/test/sessions/{}/events", browser.sid);
    for path in [ROOM, &path] {
        let past = admin_post(&broker, path, &event(ADMIN_BODY_BYTES_MAX + 1));
        past.expect_error(413, "body too large");
        let at_bound = admin_post(&broker, path, &event(ADMIN_BODY_BYTES_MAX));
        assert_eq!(at_bound.status, 202);
        let got = browser.receive();
        let filling = got["e"]["x"].as_str().expect("a text");
        assert_eq!(filling.len(), ADMIN_BODY_BYTES_MAX - around);
    }
    browser.expect_nothing_before();
    assert_eq!(admin(&broker, "GET", "/test").status, 200);
}
