//! Every route of section 5 with its answers.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::sleep;

use super::client::Admin;
use crate::control::tests::path;
use crate::control::tests::shard::SUBSCRIBERS;
use crate::hub::envelope::ToControl;
use crate::limits::CHANNEL_NAME_BYTES_MAX;
use crate::model::{ConnId, Peer, VhostId, WorkerId};

/// The links of an entry, in any order.
fn links(entry: &Value) -> Vec<(String, String)> {
    let links = entry["links"].as_array().expect("links");
    let text = |link: &Value, key: &str| link[key].as_str().expect("a text").to_owned();
    let mut links: Vec<_> = links
        .iter()
        .map(|link| (text(link, "rel"), text(link, "href")))
        .collect();
    links.sort();
    links
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    let owned = |(rel, href): &(&str, &str)| ((*rel).to_owned(), (*href).to_owned());
    expected.iter().map(owned).collect()
}

#[tokio::test]
async fn vhosts_come_and_go() {
    let admin = Admin::start().await;
    let empty = admin.ask("GET", "/").await;
    assert_eq!((empty.status, empty.json()), (200, json!({"vhosts": []})));

    let created = admin.ask("POST", "/b").await;
    assert_eq!((created.status, created.body.as_str()), (302, ""));
    assert_eq!(created.header("location"), Some("/b"));
    admin.ask("POST", "/a").await;
    let again = admin.ask("POST", "/b").await;
    assert_eq!(again.status, 400);
    assert_eq!(again.error(), "vhost already exists");

    let listed = admin.ask("GET", "/").await.json();
    let listed = listed["vhosts"].as_array().expect("a list");
    assert_eq!(listed.len(), 2);
    assert_eq!(
        (&listed[0]["path"], &listed[1]["path"]),
        (&json!("/a"), &json!("/b"))
    );
    assert_eq!(links(&listed[1]), pairs(&[("self", "/b")]));

    let shown = admin.ask("GET", "/b").await.json();
    let vhost = &shown["vhost"];
    assert_eq!(vhost["path"], "/b");
    assert_eq!(vhost["accessToken"], listed[1]["accessToken"]);
    let token = vhost["accessToken"].as_str().expect("a text");
    assert_eq!(token.len(), 40);
    assert_eq!(vhost["channels"], json!({"size": 0}));
    assert_eq!(
        links(vhost),
        pairs(&[("channels", "/b/channels"), ("self", "/b")])
    );

    let replaced = admin.ask("PUT", "/b/token").await;
    assert_eq!((replaced.status, replaced.body.as_str()), (302, ""));
    assert_eq!(replaced.header("location"), Some("/b"));
    let shown = admin.ask("GET", "/b").await.json();
    assert_ne!(shown["vhost"]["accessToken"], token);

    let deleted = admin.ask("DELETE", "/b").await;
    assert_eq!((deleted.status, deleted.body.as_str()), (202, ""));
    assert_eq!(admin.ask("GET", "/b").await.status, 404);
    assert_eq!(admin.ask("DELETE", "/").await.status, 202);
    assert_eq!(admin.ask("GET", "/").await.json(), json!({"vhosts": []}));
    admin.stop().await;
}

#[tokio::test]
async fn channels_come_and_go() {
    let admin = Admin::start().await;
    admin.ask("POST", "/v").await;
    let empty = admin.ask("GET", "/v/channels").await;
    // [AD-14]
    assert_eq!((empty.status, empty.json()), (200, json!({"channels": []})));

    let opened = admin.ask("POST", "/v/channels/presence-b").await;
    assert_eq!((opened.status, opened.body.as_str()), (302, ""));
    assert_eq!(opened.header("location"), Some("/v/channels/presence-b"));
    admin.ask("POST", "/v/channels/a").await;
    let again = admin.ask("POST", "/v/channels/a").await;
    assert_eq!(again.status, 400);
    assert_eq!(again.error(), "channel already exists");

    let listed = admin.ask("GET", "/v/channels").await.json();
    assert_eq!(listed["channels"][0]["name"], "a");
    assert_eq!(listed["channels"][1]["name"], "presence-b");
    let expected = pairs(&[("self", "/v/channels/a"), ("vhost", "/v")]);
    assert_eq!(links(&listed["channels"][0]), expected);
    let vhost = admin.ask("GET", "/v").await.json();
    assert_eq!(vhost["vhost"]["channels"]["size"], 2);

    let shown = admin.ask("GET", "/v/channels/a").await;
    assert_eq!(shown.status, 200);
    let shown = shown.json();
    assert_eq!(shown["channel"]["name"], "a");
    // [AD-20]
    assert_eq!(
        shown["channel"]["subscribers"],
        json!({"size": SUBSCRIBERS})
    );
    let expected = pairs(&[
        ("self", "/v/channels/a"),
        ("subscribers", "/v/channels/a/subscribers"),
        ("vhost", "/v"),
    ]);
    assert_eq!(links(&shown["channel"]), expected);

    assert_eq!(admin.ask("DELETE", "/v/channels/a").await.status, 202);
    let gone = admin.ask("GET", "/v/channels/a").await;
    assert_eq!(gone.status, 404);
    assert_eq!(gone.error(), "channel doesn't exist");
    let cleared = admin.ask("DELETE", "/v/channels").await;
    assert_eq!((cleared.status, cleared.body.as_str()), (202, ""));
    let empty = admin.ask("GET", "/v/channels").await.json();
    assert_eq!(empty, json!({"channels": []}));
    admin.stop().await;
}

#[tokio::test]
async fn workers_are_listed_ad_25() {
    let admin = Admin::start().await;
    admin.ask("POST", "/v").await;
    let empty = admin.ask("GET", "/v/workers").await;
    assert_eq!((empty.status, empty.json()), (200, json!({"workers": []})));
    let id = "0123456789abcdef-0123456789_ABCDEFGH";
    let conn = ConnId {
        slot: 0,
        generation: 0,
    };
    let ready = ToControl::WorkerReady {
        vhost: VhostId(0),
        worker: WorkerId::parse(id.as_bytes()).expect("valid"),
        from: Peer { shard: 1, conn },
    };
    let shard = &admin.node.shards[1];
    shard.outbox.lock().expect("lock").push(ready);
    while shard.answers.lock().expect("lock").is_empty() {
        sleep(Duration::from_millis(1)).await;
    }
    let listed = admin.ask("GET", "/v/workers").await.json();
    assert_eq!(listed["workers"].as_array().map(Vec::len), Some(1));
    let worker = &listed["workers"][0];
    assert_eq!(worker["id"], id);
    let href = format!("/v/workers/{id}");
    assert_eq!(links(worker), pairs(&[("self", &href), ("vhost", "/v")]));
    admin.stop().await;
}

#[tokio::test]
async fn what_is_not_there_is_404() {
    let admin = Admin::start().await;
    admin.ask("POST", "/v").await;
    let vhost_routes = [
        ("GET", ""),
        ("DELETE", ""),
        ("PUT", "/token"),
        ("GET", "/channels"),
        ("DELETE", "/channels"),
        ("POST", "/channels/a"),
        ("POST", "/channels/-bad"),
        ("GET", "/channels/a"),
        ("GET", "/channels/-bad"),
        ("DELETE", "/channels/a"),
        ("DELETE", "/channels/-bad"),
        ("GET", "/workers"),
    ];
    // Unknown ones, and what no vhost can be.
    for vhost in ["/missing", "/in.valid", "/%FF", "/%2Fv", "/v%2F"] {
        for (method, rest) in vhost_routes {
            let answer = admin.ask(method, &format!("{vhost}{rest}")).await;
            assert_eq!(answer.status, 404, "{method} {vhost}{rest}");
            assert_eq!(answer.error(), "vhost doesn't exist");
        }
    }
    for channel in ["missing", "-bad", "%FF"] {
        for method in ["GET", "DELETE"] {
            let answer = admin.ask(method, &format!("/v/channels/{channel}")).await;
            assert_eq!(answer.status, 404, "{method} {channel}");
            assert_eq!(answer.error(), "channel doesn't exist");
        }
    }
    admin.stop().await;
}

#[tokio::test]
async fn names_are_checked_after_decoding_ad_07_ad_17() {
    let admin = Admin::start().await;
    for bad in ["/in.valid", "/%20", "/%C3%A4", "/%FF", "/a%2F", "/%2Fa"] {
        let answer = admin.ask("POST", bad).await;
        assert_eq!(answer.status, 400, "{bad}");
        assert_eq!(answer.error(), "invalid path");
    }
    let decoded = admin.ask("POST", "/%61b").await;
    assert_eq!(decoded.header("location"), Some("/ab"));
    let past = "c".repeat(CHANNEL_NAME_BYTES_MAX + 1);
    for bad in ["-a", ".a", "a%20b", "a%2Fb", "%C3%A4", "%FF", past.as_str()] {
        let answer = admin.ask("POST", &format!("/ab/channels/{bad}")).await;
        assert_eq!(answer.status, 400, "{bad}");
        assert_eq!(answer.error(), "invalid channel name");
    }
    let decoded = admin.ask("POST", "/ab/channels/%70rivate-x%2Ey").await;
    assert_eq!(decoded.status, 302);
    let location = decoded.header("location").expect("a location");
    assert_eq!(location, "/ab/channels/private-x.y");
    let at_bound = format!("/ab/channels/{}", &past[1..]);
    assert_eq!(admin.ask("POST", &at_bound).await.status, 302);
    admin.stop().await;
}

#[tokio::test]
async fn nested_vhosts_are_reached_with_escaped_slashes_ad_30() {
    let admin = Admin::start().await;
    admin.ask("POST", "/a").await;
    let created = admin.ask("POST", "/a%2Fb%2fc").await;
    assert_eq!(created.status, 302);
    let location = created.header("location").expect("a location");
    assert_eq!(location, "/a%2Fb%2Fc");
    let shown = admin.ask("GET", location).await.json();
    assert_eq!(shown["vhost"]["path"], "/a/b/c");
    let links = links(&shown["vhost"]);
    assert_eq!(
        links,
        pairs(&[("channels", "/a%2Fb%2Fc/channels"), ("self", location)])
    );
    let opened = admin.ask("POST", "/a%2Fb%2Fc/channels/x").await;
    let location = opened.header("location").expect("a location");
    assert_eq!(admin.ask("GET", location).await.status, 200);
    // The outer one is another world.
    assert_eq!(admin.ask("GET", "/a/channels/x").await.status, 404);
    assert_eq!(admin.ask("DELETE", "/a%2Fb%2Fc").await.status, 202);
    let left = admin.node.handle.vhosts().await.expect("listed");
    let left: Vec<_> = left.into_iter().map(|vhost| vhost.path).collect();
    assert_eq!(left, [path("/a")]);
    admin.stop().await;
}

#[tokio::test]
async fn of_concurrent_creations_one_wins_ad_31() {
    let admin = Admin::start().await;
    for target in ["/v", "/v/channels/a"] {
        let (a, b, c, d) = tokio::join!(
            admin.ask("POST", target),
            admin.ask("POST", target),
            admin.ask("POST", target),
            admin.ask("POST", target),
        );
        let mut statuses = [a.status, b.status, c.status, d.status];
        statuses.sort_unstable();
        assert_eq!(statuses, [302, 400, 400, 400], "{target}");
    }
    admin.stop().await;
}

#[tokio::test]
async fn a_query_is_ignored() {
    let admin = Admin::start().await;
    assert_eq!(admin.ask("POST", "/v?x=1").await.status, 302);
    assert_eq!(admin.ask("GET", "/v?y").await.status, 200);
    admin.stop().await;
}
