//! Today's names without a terminal: lines, JSON, and exit codes that tell causes apart.

use std::fs::File;
use std::io::Read;
use std::process::Stdio;

use serde_json::json;

use crate::support::Broker;
use crate::{admin, admin_at, run, webrocket};

#[test]
fn lines_are_those_of_2012() {
    let broker = Broker::with_channels(2, &["room", "a"]);
    let token = broker.token();
    admin(&broker, &["show-vhost", "test"]).prints(&format!("/test\n{token}\n"));
    admin(&broker, &["list-vhosts"]).prints("/test\n");
    let mut browser = broker.browser();
    browser.subscribe("a");
    let listed = "a\t(1 subscribers)\nroom\t(0 subscribers)\n";
    admin(&broker, &["list-channels", "test"]).prints(listed);
    admin(&broker, &["show-channel", "test", "a"]).prints("a\t(1 subscribers)\n");
    admin(&broker, &["list-workers", "test"]).prints("");
    admin(&broker, &["delete-channel", "test", "a"]).prints("");
    admin(&broker, &["clear-channels", "test"]).prints("");
    admin(&broker, &["add-channel", "test", "b"]).prints("");
    admin(&broker, &["list-channels", "test"]).prints("b\t(0 subscribers)\n");
    let replaced = admin(&broker, &["regenerate-vhost-token", "test"]);
    let shown = admin(&broker, &["show-vhost", "test"]);
    shown.prints(&format!("/test\n{}", replaced.stdout));
    admin(&broker, &["add-vhost", "new"]);
    admin(&broker, &["delete-vhost", "new"]).prints("");
    admin(&broker, &["clear-vhosts"]).prints("");
    admin(&broker, &["list-vhosts"]).prints("");
}

#[test]
fn json_is_the_nodes_own() {
    let broker = Broker::with_channels(1, &["room"]);
    let rest = |path| crate::support::admin::admin(&broker, "GET", path);
    for (command, path) in [
        (&["list-vhosts", "--json"][..], "/"),
        (&["show-vhost", "test", "--json"], "/test"),
        (&["--json", "list-channels", "test"], "/test/channels"),
        (
            &["show-channel", "test", "room", "--json"],
            "/test/channels/room",
        ),
        (&["list-workers", "--json", "test"], "/test/workers"),
        // The names of 2012 had no such option; it is understood with them all the same.
        (&["list_workers", "--json", "test"], "/test/workers"),
    ] {
        admin(&broker, command).prints(&format!("{}\n", rest(path).body));
    }
    // What makes or changes something shows it.
    let added = admin(&broker, &["add-vhost", "a/b", "--json"]).json();
    assert_eq!(added["vhost"]["path"], "/a/b");
    let changed = admin(&broker, &["regenerate-vhost-token", "a/b", "--json"]).json();
    assert_ne!(
        changed["vhost"]["accessToken"],
        added["vhost"]["accessToken"]
    );
    let opened = admin(&broker, &["add-channel", "a/b", "x", "--json"]).json();
    assert_eq!(opened["channel"]["name"], "x");
    // What goes away leaves nothing to show.
    admin(&broker, &["delete-channel", "a/b", "x", "--json"]).prints("");
    admin(&broker, &["clear-channels", "a/b", "--json"]).prints("");
    admin(&broker, &["delete-vhost", "a/b", "--json"]).prints("");
    admin(&broker, &["clear-vhosts", "--json"]).prints("");
    assert_eq!(rest("/").json(), json!({"vhosts": []}));
}

#[test]
fn exit_codes_tell_refused_from_not_there() {
    let broker = Broker::with_channels(1, &["room"]);
    admin(&broker, &["add-vhost", "test"]).fails(1, "vhost already exists");
    admin(&broker, &["add-vhost", "a.b"]).fails(1, "invalid path");
    admin(&broker, &["add-channel", "test", "room"]).fails(1, "channel already exists");
    admin(&broker, &["add-channel", "test", "-x"]).refuses_line("unexpected argument '-x'");
    admin(&broker, &["add-channel", "test", "--", "-x"]).fails(1, "invalid channel name");
    for command in [
        &["show-vhost", "none"][..],
        &["delete-vhost", "none"],
        &["regenerate-vhost-token", "none"],
        &["list-channels", "none"],
        &["add-channel", "none", "room"],
        &["list-workers", "none"],
    ] {
        admin(&broker, command).fails(5, "vhost doesn't exist");
    }
    admin(&broker, &["show-channel", "test", "none"]).fails(5, "channel doesn't exist");
    admin(&broker, &["delete-channel", "test", "none"]).fails(5, "channel doesn't exist");
    // The same with --json: errors are for stderr.
    admin(&broker, &["show-vhost", "none", "--json"]).fails(5, "vhost doesn't exist");
}

#[test]
fn usage_of_the_command_that_was_meant() {
    let run = run(&mut webrocket(&["admin", "disconnect", "test"]));
    assert_eq!((run.code, run.stdout.as_str()), (1, ""), "{run:?}");
    assert!(run.stderr.contains("<--sid <SID>|--uid <UID>>"), "{run:?}");
    assert!(!run.stderr.contains("add-vhost"), "{run:?}");
    // Elsewhere a wrong line still exits with 2, and help is no failure.
    assert_eq!(crate::run(&mut webrocket(&["serve", "--nonsense"])).code, 2);
    let help = crate::run(&mut webrocket(&["admin", "--help"]));
    assert_eq!((help.code, help.stderr.as_str()), (0, ""), "{help:?}");
    for part in [
        "Exit codes",
        "5  there is no such",
        "WEBROCKET_COOKIE_FILE",
        "send-event",
    ] {
        assert!(help.stdout.contains(part), "{part}");
    }
    assert!(!help.stdout.contains("add-vhost, add_vhost"), "{help:?}");
}

#[test]
fn a_secret_in_the_environment_stays_out_of_help_and_logs() {
    let broker = Broker::start(1);
    let node = broker.node();
    for arguments in [&["--help"][..], &["list-vhosts", "--log", "trace"]] {
        let run = run(&mut admin_at(node.admin_addr(), node.cookie(), arguments));
        assert_eq!(run.code, 0, "{run:?}");
        assert!(!run.stdout.contains(node.cookie()), "{run:?}");
        assert!(!run.stderr.contains(node.cookie()), "{run:?}");
    }
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure_and_a_full_disk_is() {
    let names: Vec<_> = (0..2000).map(|n| format!("{n:0200}")).collect();
    let broker = Broker::start(1);
    broker.open_channels(&names);
    let node = broker.node();
    let mut command = admin_at(
        node.admin_addr(),
        node.cookie(),
        &["list-channels", "test", "--json"],
    );
    // More than a pipe holds, and nobody reads it to its end.
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program runs");
    let mut first = [0; 1];
    let mut stdout = child.stdout.take().expect("a pipe");
    stdout.read_exact(&mut first).expect("a byte");
    drop(stdout);
    let run = crate::Run::of(child.wait_with_output().expect("ended"));
    assert_eq!((run.code, run.stderr.as_str()), (0, ""), "{run:?}");

    let full = File::options().write(true).open("/dev/full");
    let output = command.stdout(full.expect("/dev/full")).output();
    crate::Run::of(output.expect("the program runs")).fails_with(1, &["stdout", "No space left"]);
}
