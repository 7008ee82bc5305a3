//! Section 6: the names and options of 2012, their output byte by byte.

use serde_json::json;

use crate::support::backend::Worker;
use crate::support::program::PROGRAM;
use crate::support::{Broker, fresh_id};
use crate::{admin, run, webrocket};

/// The vhost's token by the way that is not tested here.
fn token(broker: &Broker, path: &str) -> String {
    let shown = crate::support::admin::admin(broker, "GET", path).json();
    let token = shown["vhost"]["accessToken"].as_str();
    token.expect("a token").to_owned()
}

#[test]
fn vhosts() {
    let broker = Broker::start(1);
    admin(&broker, &["list_vhosts"]).prints("/test\n");
    let added = admin(&broker, &["add_vhost", "/b"]);
    added.prints(&format!("/b\n{}\n", token(&broker, "/b")));
    // A leading slash may be left out; inner ones stay.
    let added = admin(&broker, &["add_vhost", "a/inner"]);
    let first = token(&broker, "/a%2Finner");
    added.prints(&format!("/a/inner\n{first}\n"));
    admin(&broker, &["list_vhosts"]).prints("/a/inner\n/b\n/test\n");
    admin(&broker, &["show_vhost", "a/inner"]).prints(&format!("/a/inner\n{first}\n"));

    let replaced = admin(&broker, &["regenerate_vhost_token", "/a/inner"]);
    let second = token(&broker, "/a%2Finner");
    assert_ne!(first, second);
    replaced.prints(&format!("{second}\n"));

    admin(&broker, &["delete_vhost", "/a/inner"]).prints("");
    admin(&broker, &["list_vhosts"]).prints("/b\n/test\n");
    admin(&broker, &["clear_vhosts"]).prints("");
    admin(&broker, &["list_vhosts"]).prints("");
}

#[test]
fn channels() {
    let broker = Broker::start(2);
    admin(&broker, &["list_channels", "/test"]).prints("");
    for name in ["room", "a.b-c", "presence-x"] {
        admin(&broker, &["add_channel", "test", name]).prints("");
    }
    let mut browsers: Vec<_> = (0..3).map(|_| broker.browser()).collect();
    for browser in &mut browsers {
        browser.subscribe("room");
    }
    browsers[0].subscribe("a.b-c");
    let listed = "a.b-c\t(1 subscribers)\npresence-x\t(0 subscribers)\nroom\t(3 subscribers)\n";
    admin(&broker, &["list_channels", "/test"]).prints(listed);

    admin(&broker, &["delete_channel", "/test", "room"]).prints("");
    browsers[1].expect(json!({":unsubscribed": {"channel": "room"}}));
    browsers[1].send(json!({"subscribe": {"channel": "room"}}));
    browsers[1].expect_error(454);
    let listed = "a.b-c\t(1 subscribers)\npresence-x\t(0 subscribers)\n";
    admin(&broker, &["list_channels", "/test"]).prints(listed);
    admin(&broker, &["clear_channels", "/test"]).prints("");
    admin(&broker, &["list_channels", "/test"]).prints("");
}

#[test]
fn workers() {
    let broker = Broker::start(2);
    admin(&broker, &["list_workers", "/test"]).prints("");
    let mut ids: Vec<_> = (0..3).map(|_| fresh_id()).collect();
    let workers: Vec<_> = ids.iter().map(|id| Worker::ready_as(&broker, id)).collect();
    ids.sort_unstable();
    admin(&broker, &["list_workers", "test"]).prints(&format!("{}\n", ids.join("\n")));
    drop(workers);
}

#[test]
fn every_failure_exits_with_1_and_the_nodes_words() {
    let broker = Broker::with_channels(1, &["room"]);
    let cases: &[(&[&str], &str)] = &[
        (&["add_vhost", "/test"], "vhost already exists"),
        (&["add_vhost", "/a b"], "invalid path"),
        (&["add_vhost", "//"], "invalid path"),
        (&["show_vhost", "/none"], "vhost doesn't exist"),
        (&["delete_vhost", "none"], "vhost doesn't exist"),
        (&["regenerate_vhost_token", "none"], "vhost doesn't exist"),
        (&["list_channels", "none"], "vhost doesn't exist"),
        (&["clear_channels", "none"], "vhost doesn't exist"),
        (&["list_workers", "none"], "vhost doesn't exist"),
        (&["add_channel", "none", "room"], "vhost doesn't exist"),
        (&["add_channel", "test", "room"], "channel already exists"),
        (&["add_channel", "test", "ro/om"], "invalid channel name"),
        (&["add_channel", "test", ".."], "invalid channel name"),
        (&["delete_channel", "test", "none"], "channel doesn't exist"),
    ];
    for (arguments, text) in cases {
        admin(&broker, arguments).fails(1, text);
    }
    // Nothing of it changed anything.
    admin(&broker, &["list_vhosts"]).prints("/test\n");
    admin(&broker, &["list_channels", "test"]).prints("room\t(0 subscribers)\n");
}

#[test]
fn options_with_one_dash_stand_before_the_command() {
    let broker = Broker::start(1);
    let node = broker.node();
    let addr = node.admin_addr().to_string();
    let joined = [
        format!("-admin-addr={addr}"),
        format!("-cookie={}", node.cookie()),
    ];
    let lines: &[&[&str]] = &[
        &[
            "-admin-addr",
            &addr,
            "-cookie",
            node.cookie(),
            "list_vhosts",
        ],
        &[&joined[0], &joined[1], "list_vhosts"],
        &[
            "-cookie",
            node.cookie(),
            "--admin-addr",
            &addr,
            "list-vhosts",
        ],
    ];
    for line in lines {
        run(webrocket(&["admin"]).args(*line)).prints("/test\n");
    }
    // `-node` names the cookie's file.
    let wrong = ["admin", "-node=no-such-node", "-admin-addr", &addr];
    run(webrocket(&wrong).arg("list_vhosts")).fails_with(1, &["no-such-node.cookie"]);
}

#[test]
fn a_link_called_as_in_2012_is_the_admin_command() {
    let broker = Broker::start(1);
    let folder = tempfile::tempdir().expect("a temporary directory");
    let link = folder.path().join("webrocket-admin");
    std::os::unix::fs::symlink(PROGRAM, &link).expect("linked");
    let node = broker.node();
    let output = std::process::Command::new(&link)
        .args(["-cookie", node.cookie(), "-admin-addr"])
        .arg(node.admin_addr().to_string())
        .args(["show_vhost", "test"])
        .output();
    crate::Run::of(output.expect("runs")).prints(&format!("/test\n{}\n", broker.token()));
}

#[test]
fn what_is_no_command_line_gets_the_usage_and_1() {
    for line in [
        &["admin"][..],
        &["admin", "no_such"],
        &["admin", "add_vhost"],
        &["admin", "add_vhost", "a", "b"],
        &["admin", "list_vhosts", "a"],
        &["admin", "add_channel", "a"],
        &["admin", "-cookie"],
        &["admin", "-nonsense", "list_vhosts"],
    ] {
        let run = run(&mut webrocket(line));
        assert_eq!((run.code, run.stdout.as_str()), (1, ""), "{line:?}");
        for part in [
            "Usage:",
            "add-vhost",
            "list-workers",
            "--admin-addr",
            "--node",
        ] {
            assert!(run.stderr.contains(part), "{line:?}: {run:?}");
        }
    }
}

#[test]
fn no_vhost_is_never_all_vhosts() {
    let broker = Broker::start(1);
    for nothing in ["", "/"] {
        for command in [
            "delete_vhost",
            "delete-vhost",
            "clear-channels",
            "add-vhost",
        ] {
            let run = admin(&broker, &[command, nothing]);
            assert_eq!((run.code, run.stdout.as_str()), (1, ""), "{run:?}");
            assert!(run.stderr.contains("a vhost has a name"), "{run:?}");
        }
        let run = admin(&broker, &["delete-channel", "test", ""]);
        assert_eq!(run.code, 1, "{run:?}");
    }
    admin(&broker, &["list_vhosts"]).prints("/test\n");
}
