//! What came after 2012: subscribers, sessions, events, statistics. A server that
//! answers as a node does shows what is asked and how answers are printed.

use serde_json::{Value, json};

use crate::fake::{COOKIE, Fake};
use crate::{admin_at, run_with};

/// The answer to this command, and that it asked for exactly `line`.
#[track_caller]
fn shows(arguments: &[&str], line: &str, (status, body): (u16, Value), plain: &str) {
    let body = body.to_string();
    let fake = Fake::answering(&[(status, "", &body), (status, "", &body)]);
    fake.admin(arguments).prints(plain);
    assert_eq!(fake.was_asked(line).body, "");
    let json = [arguments, &["--json"]].concat();
    fake.admin(&json).prints(&format!("{body}\n"));
    fake.was_asked(line);
}

#[test]
fn subscribers() {
    let answer = json!({"subscribers": [
        {"sid": "b", "uid": "joe", "hidden": false, "data": {"n": 1, "a": "x\ty"}, "links": []},
        {"sid": "c", "uid": "e\u{1b}[2J\tv\nil", "hidden": true},
        {"sid": "a", "hidden": false},
    ]});
    shows(
        &["list-subscribers", "a/b", "presence-x.y"],
        "GET /a%2Fb/channels/presence-x%2Ey/subscribers?limit=10000",
        (200, answer),
        "a\t\tvisible\t\n\
         b\tjoe\tvisible\t{\"a\":\"x\\ty\",\"n\":1}\n\
         c\te\\u001b[2J\\u0009v\\u000ail\thidden\t\n",
    );
}

#[test]
fn sizes_of_channels_come_with_the_list_or_one_by_one() {
    let listed = json!({"channels": [
        {"name": "b", "subscribers": {"size": 7}, "links": []},
        {"name": "a", "subscribers": {"size": 0}, "links": []},
    ]});
    let plain = "a\t(0 subscribers)\nb\t(7 subscribers)\n";
    shows(
        &["list-channels", "v"],
        "GET /v/channels",
        (200, listed),
        plain,
    );

    let listed = json!({"channels": [{"name": "b"}, {"name": "gone"}, {"name": "a"}]}).to_string();
    let shown = |name: &str, size: u32| {
        json!({"channel": {"name": name, "subscribers": {"size": size}}}).to_string()
    };
    let (b, a) = (shown("b", 3), shown("a", 4));
    let gone = r#"{"error":"channel doesn't exist"}"#;
    let fake = Fake::answering(&[
        (200, "", &listed),
        (200, "", &b),
        (404, "", gone),
        (200, "", &a),
    ]);
    let plain = "a\t(4 subscribers)\nb\t(3 subscribers)\ngone\t(0 subscribers)\n";
    fake.admin(&["list_channels", "v"]).prints(plain);
    fake.was_asked("GET /v/channels");
    fake.was_asked("GET /v/channels/b");
}

#[test]
fn sessions() {
    let answer = json!({"sessions": [
        {"sid": "y", "uid": "joe", "subscriptions": 2},
        {"sid": "x", "subscriptions": 0},
    ]});
    let plain = "x\t\t0\ny\tjoe\t2\n";
    let list = ["list-sessions", "/v"];
    shows(
        &list,
        "GET /v/sessions?limit=10000",
        (200, answer.clone()),
        plain,
    );
    let limited = ["list-sessions", "v", "--limit", "5"];
    shows(&limited, "GET /v/sessions?limit=5", (200, answer), plain);
    let answer = json!({"session": {"sid": "y", "uid": "joe", "channels": [
        {"name": "room", "hidden": false},
        {"name": "presence-x", "hidden": true},
    ]}});
    let plain = "y\tjoe\npresence-x\thidden\nroom\tvisible\n";
    shows(
        &["show-session", "v", "y"],
        "GET /v/sessions/y",
        (200, answer),
        plain,
    );
    let answer = json!({"session": {"sid": "y", "channels": []}});
    shows(
        &["show-session", "v", "y"],
        "GET /v/sessions/y",
        (200, answer),
        "y\t\n",
    );
}

#[test]
fn a_list_at_its_limit_says_that_there_may_be_more() {
    let answer = json!({"sessions": [
        {"sid": "x", "subscriptions": 1},
        {"sid": "y", "subscriptions": 2},
    ]});
    let answer = answer.to_string();
    for (limit, whole) in [("3", true), ("2", false)] {
        let fake = Fake::answering(&[(200, "", &answer)]);
        let run = fake.admin(&["list-sessions", "v", "--limit", limit]);
        assert_eq!((run.code, run.stdout.as_str()), (0, "x\t\t1\ny\t\t2\n"));
        assert_eq!(run.stderr.starts_with("NOTE: "), !whole, "{run:?}");
        assert_eq!(run.stderr.is_empty(), whole, "{run:?}");
    }
    let refusal = r#"{"error":"limit is no number from 1 to 10000"}"#;
    let fake = Fake::answering(&[(400, "", refusal)]);
    let run = fake.admin(&["list-subscribers", "v", "c", "--limit", "0"]);
    run.fails(1, "limit is no number from 1 to 10000");
    fake.was_asked("GET /v/channels/c/subscribers?limit=0");
}

#[test]
fn disconnecting_a_session_or_a_user() {
    let by_sid = ["disconnect", "v", "--sid", "abc"];
    let done = (202, json!({"disconnected": 1}));
    shows(&by_sid, "DELETE /v/sessions/abc", done, "1\n");
    let by_uid = ["disconnect", "v", "--uid", "joe/ä?"];
    let done = (202, json!({"disconnected": 3}));
    shows(&by_uid, "DELETE /v/users/joe%2F%C3%A4%3F", done, "3\n");
    let fake = Fake::answering(&[(404, "", r#"{"error":"session doesn't exist"}"#)]);
    fake.admin(&by_sid).fails(5, "session doesn't exist");
    // One of both, and never an empty one: that would be the path of all.
    let fake = Fake::answering(&[]);
    for (rest, part) in [
        (&[][..], "<--sid <SID>|--uid <UID>>"),
        (&["--sid", "a", "--uid", "b"], "cannot be used with"),
        (&["--sid", ""], "--sid"),
        (&["--uid", ""], "--uid"),
    ] {
        let line = [&["disconnect", "v"], rest].concat();
        fake.admin(&line).refuses_line(part);
    }
    fake.was_asked_no_more();
}

#[test]
fn sending_an_event() {
    let data = r#"{"n": 1.50, "big": 123456789012345678901}"#;
    let cases: &[(&[&str], &str, &str)] = &[
        (
            &["send-event", "v", "--sid", "abc", "said", data],
            "POST /v/sessions/abc/events",
            data,
        ),
        (
            &["send-event", "v", "said", "--channel", "room"],
            "POST /v/channels/room/events",
            "{}",
        ),
        // What is wrong with it is for the node to say.
        (
            &["send-event", "v", "said", "-1", "--channel", "room"],
            "POST /v/channels/room/events",
            "-1",
        ),
    ];
    for (arguments, line, data) in cases {
        let fake = Fake::answering(&[(202, "", "")]);
        fake.admin(arguments).prints("");
        let body = format!(r#"{{"event":"said","data":{data}}}"#);
        assert_eq!(fake.was_asked(line).body, body);
    }
    let fake = Fake::answering(&[(202, "", ""), (400, "", r#"{"error":"reserved"}"#)]);
    let stdin = ["send-event", "v", "--channel", "room", "a\"b", "-"];
    let mut command = admin_at(fake.addr, COOKIE, &stdin);
    run_with(&mut command, "{\"text\":\n\"ä\"}\n").prints("");
    let asked = fake.was_asked("POST /v/channels/room/events");
    assert_eq!(
        asked.body,
        "{\"event\":\"a\\\"b\",\"data\":{\"text\":\n\"ä\"}\n}"
    );
    let reserved = ["send-event", "v", "--sid", "x", ":closed"];
    fake.admin(&reserved).fails(1, "reserved");

    // What is no JSON would break the body it is put into.
    let fake = Fake::answering(&[]);
    for bad in ["", "{", "{} {}", "{}}", "nope"] {
        let line = ["send-event", "v", "--sid", "x", "said", bad];
        fake.admin(&line).fails_with(1, &["DATA"]);
    }
    let line = ["send-event", "v", "said"];
    fake.admin(&line).refuses_line("--channel");
    fake.was_asked_no_more();
}

#[test]
fn statistics_of_a_vhost() {
    let answer = json!({"stats": {
        "sessions": 3,
        "rates": {"broadcasts": 1.5},
        "note": "a\tb",
        "none": null,
    }});
    let plain = "none\tnull\nnote\ta\\u0009b\nrates.broadcasts\t1.5\nsessions\t3\n";
    shows(&["vhost-stats", "v"], "GET /v/stats", (200, answer), plain);
}
