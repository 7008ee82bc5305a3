//! Admin REST through a real node: every route, every error, what it answers.

mod support;

use serde_json::json;
use support::admin::{Answer, admin, admin_with};
use support::backend::Worker;
use support::{Broker, fresh_id};
use webrocket::limits::ADMIN_BODY_BYTES_MAX;

/// The links of `value`, by relation; their order is free.
fn links(value: &serde_json::Value) -> Vec<(&str, &str)> {
    let mut links: Vec<_> = value["links"]
        .as_array()
        .expect("links")
        .iter()
        .map(|link| {
            assert_eq!(link.as_object().expect("a link").len(), 2);
            (
                link["rel"].as_str().expect("a relation"),
                link["href"].as_str().expect("a path"),
            )
        })
        .collect();
    links.sort_unstable();
    links
}

fn expect_accepted(answer: &Answer) {
    assert_eq!(
        (answer.status, answer.body.as_str()),
        (202, ""),
        "{answer:?}"
    );
}

#[test]
fn without_the_cookie_nothing_is_done_ad_01_ad_02() {
    let broker = Broker::start(2);
    let wrong = [
        String::new(),
        format!("X-WebRocket-Cookie: {}\r\n", "0".repeat(40)),
        format!("X-WebRocket-Cookie: {}0\r\n", broker.node().cookie()),
        format!("X-WebRocket-Cookie: {}\r\n", &broker.node().cookie()[1..]),
        format!("Cookie: {}\r\n", broker.node().cookie()),
        String::from("X-WebRocket-Cookie: \r\n"),
    ];
    for headers in &wrong {
        for (method, path) in [
            ("GET", "/"),
            ("DELETE", "/"),
            ("DELETE", "/test"),
            ("POST", "/new"),
            ("GET", "/no/such/route"),
            ("PATCH", "/"),
        ] {
            let answer = admin_with(&broker, method, path, headers, "");
            assert_eq!(
                (answer.status, answer.body.as_str()),
                (403, ""),
                "{headers}"
            );
        }
    }
    let vhosts = admin(&broker, "GET", "/").json();
    assert_eq!(vhosts["vhosts"].as_array().expect("a list").len(), 1);
}

#[test]
fn accepted_requests_get_json_and_their_cookie_back_ad_03() {
    let broker = Broker::start(2);
    let cookie = broker.node().cookie();
    for (method, path) in [
        ("GET", "/"),
        ("GET", "/none"),
        ("POST", "/new"),
        ("PUT", "/"),
    ] {
        let answer = admin(&broker, method, path);
        assert_eq!(
            answer.header("content-type"),
            Some("application/json"),
            "{path}"
        );
        assert_eq!(answer.header("x-webrocket-cookie"), Some(cookie), "{path}");
    }
    // The name of a header does not depend on case.
    let headers = format!("x-wEBROCKET-cOOKIE: {cookie}\r\n");
    assert_eq!(admin_with(&broker, "GET", "/", &headers, "").status, 200);
}

#[test]
fn vhosts_are_created_shown_and_deleted_ad_12() {
    for shards in [1, 2, 4] {
        let broker = Broker::start(shards);
        admin(&broker, "POST", "/new").expect_found("/new");
        admin(&broker, "POST", "/new").expect_error(400, "vhost already exists");
        let shown = admin(&broker, "GET", "/new").json();
        let vhost = &shown["vhost"];
        let token = vhost["accessToken"].as_str().expect("a token");
        assert_eq!(token.len(), 40);
        assert!(
            token
                .bytes()
                .all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
        );
        assert_eq!(
            (&vhost["path"], &vhost["channels"]),
            (&json!("/new"), &json!({"size": 0}))
        );
        assert_eq!(
            links(vhost),
            [("channels", "/new/channels"), ("self", "/new")]
        );
        assert_eq!(vhost.as_object().expect("an object").len(), 4);

        let all = admin(&broker, "GET", "/").json();
        let all = all["vhosts"].as_array().expect("a list");
        let paths: Vec<_> = all
            .iter()
            .map(|it| it["path"].as_str().expect("a path"))
            .collect();
        assert_eq!(paths, ["/new", "/test"]);
        assert_eq!(all[0]["accessToken"], token);
        assert_eq!(all[1]["accessToken"], broker.token());
        assert_eq!(links(&all[0]), [("self", "/new")]);

        expect_accepted(&admin(&broker, "DELETE", "/new"));
        for (method, path) in [
            ("GET", "/new"),
            ("DELETE", "/new"),
            ("PUT", "/new/token"),
            ("GET", "/new/channels"),
            ("DELETE", "/new/channels"),
            ("POST", "/new/channels/room"),
            ("POST", "/new/channels/-no"),
            ("GET", "/new/channels/room"),
            ("DELETE", "/new/channels/room"),
            ("GET", "/new/workers"),
        ] {
            admin(&broker, method, path).expect_error(404, "vhost doesn't exist");
        }
        // A new one of that name starts empty with another token.
        admin(&broker, "POST", "/new").expect_found("/new");
        let again = admin(&broker, "GET", "/new").json();
        assert_ne!(again["vhost"]["accessToken"], token);

        expect_accepted(&admin(&broker, "DELETE", "/"));
        assert_eq!(admin(&broker, "GET", "/").json(), json!({"vhosts": []}));
        expect_accepted(&admin(&broker, "DELETE", "/"));
    }
}

#[test]
fn names_are_decoded_before_they_are_checked_ad_07_ad_17_ad_30() {
    let broker = Broker::start(2);
    for path in [
        "/a%20b", "/a.b", "/%2F", "/a%2F", "/%C3%A4", "/%FF", "/a%3Fb",
    ] {
        admin(&broker, "POST", path).expect_error(400, "invalid path");
        admin(&broker, "GET", path).expect_error(404, "vhost doesn't exist");
    }
    admin(&broker, "POST", "/de%63oded").expect_found("/decoded");
    admin(&broker, "POST", "/a%2Fb_%2fc").expect_found("/a%2Fb_%2Fc");
    let nested = admin(&broker, "GET", "/a%2Fb_%2Fc").json();
    assert_eq!(nested["vhost"]["path"], "/a/b_/c");
    admin(&broker, "POST", "/a%2Fb_%2Fc/channels/room").expect_found("/a%2Fb_%2Fc/channels/room");
    broker.browser_on("/a/b_/c").subscribe("room");
    expect_accepted(&admin(&broker, "DELETE", "/a%2Fb_%2Fc"));

    for name in ["-a", "a%20b", "%2E", "a%2Fb", "%C3%A4", "%FF", "a%0D"] {
        let path = format!("/test/channels/{name}");
        admin(&broker, "POST", &path).expect_error(400, "invalid channel name");
        admin(&broker, "GET", &path).expect_error(404, "channel doesn't exist");
        admin(&broker, "DELETE", &path).expect_error(404, "channel doesn't exist");
    }
    admin(&broker, "POST", "/test/channels/r%6Fom%2Ex").expect_found("/test/channels/room.x");
    // Case counts, and a query does not.
    admin(&broker, "GET", "/TEST").expect_error(404, "vhost doesn't exist");
    assert_eq!(admin(&broker, "GET", "/test?x=/none").status, 200);
}

#[test]
fn channels_are_opened_listed_and_closed_ad_14() {
    for shards in [1, 2, 4] {
        let broker = Broker::start(shards);
        assert_eq!(
            admin(&broker, "GET", "/test/channels").json(),
            json!({"channels": []})
        );
        for name in ["b", "a", "presence-x"] {
            let path = format!("/test/channels/{name}");
            admin(&broker, "GET", &path).expect_error(404, "channel doesn't exist");
            admin(&broker, "POST", &path).expect_found(&path);
            admin(&broker, "POST", &path).expect_error(400, "channel already exists");
        }
        let listed = admin(&broker, "GET", "/test/channels").json();
        let listed = listed["channels"].as_array().expect("a list");
        let names: Vec<_> = listed
            .iter()
            .map(|it| it["name"].as_str().expect("a name"))
            .collect();
        assert_eq!(names, ["a", "b", "presence-x"]);
        assert_eq!(
            links(&listed[0]),
            [("self", "/test/channels/a"), ("vhost", "/test")]
        );
        let shown = admin(&broker, "GET", "/test").json();
        assert_eq!(shown["vhost"]["channels"]["size"], 3);

        let shown = admin(&broker, "GET", "/test/channels/a").json();
        let channel = &shown["channel"];
        assert_eq!(
            (&channel["name"], &channel["subscribers"]),
            (&json!("a"), &json!({"size": 0}))
        );
        let (this, subscribers) = ("/test/channels/a", "/test/channels/a/subscribers");
        let expected = [
            ("self", this),
            ("subscribers", subscribers),
            ("vhost", "/test"),
        ];
        assert_eq!(links(channel), expected);

        expect_accepted(&admin(&broker, "DELETE", "/test/channels/a"));
        admin(&broker, "DELETE", "/test/channels/a").expect_error(404, "channel doesn't exist");
        expect_accepted(&admin(&broker, "DELETE", "/test/channels"));
        expect_accepted(&admin(&broker, "DELETE", "/test/channels"));
        assert_eq!(
            admin(&broker, "GET", "/test/channels").json(),
            json!({"channels": []})
        );
    }
}

#[test]
fn workers_are_listed_ad_25() {
    for shards in [1, 2, 4] {
        let broker = Broker::start(shards);
        assert_eq!(
            admin(&broker, "GET", "/test/workers").json(),
            json!({"workers": []})
        );
        let mut ids: Vec<_> = (0..3).map(|_| fresh_id()).collect();
        let workers: Vec<_> = ids.iter().map(|id| Worker::ready_as(&broker, id)).collect();
        let listed = admin(&broker, "GET", "/test/workers").json();
        let listed = listed["workers"].as_array().expect("a list");
        ids.sort_unstable();
        assert_eq!(listed.len(), 3);
        for (worker, id) in listed.iter().zip(&ids) {
            assert_eq!(worker["id"], **id);
            let this = format!("/test/workers/{id}");
            assert_eq!(links(worker), [("self", this.as_str()), ("vhost", "/test")]);
        }
        drop(workers);
        while admin(&broker, "GET", "/test/workers").json() != json!({"workers": []}) {}
    }
}

#[test]
fn nothing_falls_through_to_all_vhosts_ad_27_ad_28_ad_29() {
    let broker = Broker::with_channels(2, &["room"]);
    for (method, path) in [
        ("DELETE", "/test/chanels"),
        ("DELETE", "/test/channels/room/x"),
        ("DELETE", "/test/"),
        ("DELETE", "//"),
        ("DELETE", "//test"),
        ("DELETE", "/test/channels/"),
        ("DELETE", "/a/b/c/d/e"),
        ("GET", "/test/workers/x"),
    ] {
        assert_eq!(admin(&broker, method, path).status, 404, "{method} {path}");
    }
    for (method, path) in [
        ("POST", "/"),
        ("PUT", "/"),
        ("PUT", "/test"),
        ("GET", "/test/token"),
        ("DELETE", "/test/token"),
        ("POST", "/test/channels"),
        ("PUT", "/test/channels/room"),
        ("DELETE", "/test/workers"),
        ("PATCH", "/test"),
    ] {
        let answer = admin(&broker, method, path);
        answer.expect_error(405, "method not allowed");
    }
    assert_eq!(admin(&broker, "GET", "/test/channels/room").status, 200);
}

#[test]
fn head_is_get_without_body_ad_26() {
    let broker = Broker::with_channels(2, &["room"]);
    for path in [
        "/",
        "/test",
        "/test/channels",
        "/test/channels/room",
        "/test/workers",
        "/no",
    ] {
        let (get, head) = (admin(&broker, "GET", path), admin(&broker, "HEAD", path));
        assert_eq!(
            (head.status, head.body.as_str()),
            (get.status, ""),
            "{path}"
        );
        assert_eq!(head.header("content-type"), get.header("content-type"));
    }
}

#[test]
fn a_body_may_come_and_is_bounded_ad_32() {
    let broker = Broker::start(2);
    let cookie = broker.node().cookie();
    for (size, status) in [
        (1, 302),
        (ADMIN_BODY_BYTES_MAX, 302),
        (ADMIN_BODY_BYTES_MAX + 1, 413),
    ] {
        let headers = format!("X-WebRocket-Cookie: {cookie}\r\nContent-Length: {size}\r\n");
        let path = format!("/new{size}");
        let answer = admin_with(&broker, "POST", &path, &headers, &"x".repeat(size));
        assert_eq!(answer.status, status, "{size}");
        let created = admin(&broker, "GET", &path).status == 200;
        assert_eq!(created, status == 302);
    }
}

#[test]
fn of_concurrent_creations_one_wins_ad_31() {
    let broker = Broker::start(2);
    for path in ["/race", "/test/channels/race"] {
        let statuses: Vec<_> = std::thread::scope(|scope| {
            // The broker's own runtime stays out of the threads.
            let (addr, cookie) = (broker.node().admin_addr(), broker.node().cookie());
            let racers: Vec<_> = (0..8)
                .map(|_| scope.spawn(move || support::admin::request(addr, cookie, "POST", path)))
                .collect();
            let answers = racers.into_iter().map(|it| it.join().expect("answered"));
            answers.map(|answer| answer.status).collect()
        });
        let won = statuses.iter().filter(|&&status| status == 302).count();
        let lost = statuses.iter().filter(|&&status| status == 400).count();
        assert_eq!((won, lost), (1, 7));
    }
}
