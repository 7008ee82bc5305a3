//! Where the cookie is found, and what is said where it is not.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use tempfile::TempDir;

use crate::support::Broker;
use crate::{run, webrocket};

/// A node, and a storage directory in which the cookie of `test-node` is the node's.
fn node_with_storage() -> (Broker, TempDir) {
    let broker = Broker::start(1);
    let storage = tempfile::tempdir().expect("a temporary directory");
    let file = storage.path().join("test-node.cookie");
    fs::write(file, broker.node().cookie()).expect("written");
    (broker, storage)
}

fn list(broker: &Broker, arguments: &[&str]) -> Command {
    let mut command = webrocket(&["admin", "list-vhosts"]);
    command.args(arguments).env(
        "WEBROCKET_ADMIN_ADDR",
        broker.node().admin_addr().to_string(),
    );
    command
}

#[test]
fn it_is_read_from_the_nodes_storage() {
    let (broker, storage) = node_with_storage();
    let dir = storage.path().to_str().expect("text");
    let options = ["--storage-dir", dir, "--node", "test-node"];
    run(&mut list(&broker, &options)).prints("/test\n");
    let mut command = list(&broker, &[]);
    command
        .env("WEBROCKET_NODE_STORAGE_DIR", dir)
        .env("WEBROCKET_NODE_NAME", "test-node");
    run(&mut command).prints("/test\n");

    // Without a name it is the host's.
    let host = fs::read_to_string("/proc/sys/kernel/hostname").expect("a name");
    let file = storage.path().join(format!("{}.cookie", host.trim()));
    run(&mut list(&broker, &["--storage-dir", dir])).fails_with(4, &[file.to_str().expect("text")]);
    fs::write(&file, broker.node().cookie()).expect("written");
    run(&mut list(&broker, &["--storage-dir", dir])).prints("/test\n");
}

#[test]
fn a_file_may_end_its_line() {
    let (broker, storage) = node_with_storage();
    let file = storage.path().join("mine");
    for end in ["", "\n", "\r\n"] {
        fs::write(&file, format!("{}{end}", broker.node().cookie())).expect("written");
        let name = file.to_str().expect("text");
        run(&mut list(&broker, &["--cookie-file", name])).prints("/test\n");
    }
}

#[test]
fn the_command_line_is_stronger_than_the_environment() {
    let (broker, storage) = node_with_storage();
    let file = storage.path().join("test-node.cookie");
    let (file, good) = (file.to_str().expect("text"), broker.node().cookie());
    let wrong = "0".repeat(40);
    let missing = "/no/such/file";
    let cases: &[(&[&str], [&str; 2], bool)] = &[
        (&["--cookie", good], [&wrong, missing], true),
        (&["--cookie-file", file], [&wrong, missing], true),
        (&["--cookie", &wrong], [good, file], false),
        (&["--cookie-file", missing], [good, file], false),
        (
            &["--cookie", good, "--cookie-file", missing],
            [&wrong, missing],
            true,
        ),
        (&[], [good, missing], true),
        (&[], [&wrong, file], false),
    ];
    for (arguments, [cookie, cookie_file], works) in cases {
        let mut command = list(&broker, arguments);
        command
            .env("WEBROCKET_COOKIE", cookie)
            .env("WEBROCKET_COOKIE_FILE", cookie_file);
        let run = run(&mut command);
        assert_eq!(
            run.code,
            if *works { 0 } else { 4 },
            "{arguments:?}: {run:?}"
        );
    }
    run(list(&broker, &[]).env("WEBROCKET_COOKIE_FILE", file)).prints("/test\n");
}

#[test]
fn a_wrong_cookie_is_told_with_where_it_comes_from() {
    let (broker, storage) = node_with_storage();
    let file = storage.path().join("test-node.cookie");
    fs::write(&file, "0".repeat(40)).expect("written");
    let file = file.to_str().expect("text");
    let addr = broker.node().admin_addr().to_string();
    let parts = ["no valid answer", file, &addr];
    run(&mut list(&broker, &["--cookie-file", file])).fails_with(4, &parts);
    let wrong = "0".repeat(40);
    let by_option = run(&mut list(&broker, &["--cookie", &wrong]));
    by_option.fails_with(4, &["no valid answer", "--cookie"]);
    assert!(!by_option.stderr.contains(&wrong), "a secret is printed");
    let of_2012 = [
        "admin",
        "-cookie",
        &wrong,
        "-admin-addr",
        &addr,
        "list_vhosts",
    ];
    run(&mut webrocket(&of_2012)).fails_with(1, &["no valid answer"]);
}

#[test]
fn what_is_no_cookie_is_not_sent() {
    let (broker, storage) = node_with_storage();
    let file = storage.path().join("mine");
    let name = file.to_str().expect("text");
    let good = broker.node().cookie();
    for bad in [
        "",
        "secret",
        &good[1..],
        &format!("{good}0"),
        &good.to_uppercase(),
        "a\r\nb: c",
    ] {
        if bad == good {
            continue;
        }
        run(&mut list(&broker, &["--cookie", bad])).fails_with(4, &["--cookie", "40"]);
        fs::write(&file, bad).expect("written");
        run(&mut list(&broker, &["--cookie-file", name])).fails_with(4, &[name, "40"]);
    }
}

#[test]
fn a_file_that_cannot_be_read_says_what_to_do() {
    let (broker, storage) = node_with_storage();
    let missing = storage.path().join("missing");
    let name = missing.to_str().expect("text");
    let parts = [name, "No such file", "--storage-dir", "--cookie-file"];
    run(&mut list(&broker, &["--cookie-file", name])).fails_with(4, &parts);
    let folder = storage.path().to_str().expect("text");
    run(&mut list(&broker, &["--cookie-file", folder])).fails_with(4, &[folder, "directory"]);
    // Who may read everything anyway can't be refused.
    let locked = storage.path().join("locked");
    fs::write(&locked, broker.node().cookie()).expect("written");
    fs::set_permissions(&locked, fs::Permissions::from_mode(0o000)).expect("set");
    if fs::read(&locked).is_err() {
        let name = locked.to_str().expect("text");
        let parts = [name, "denied", "node's user"];
        run(&mut list(&broker, &["--cookie-file", name])).fails_with(4, &parts);
    }
}
