//! On a terminal: tables, indented JSON, red errors. The names of 2012 stay as they were.

use std::fs::File;
use std::io::Read;
use std::process::Command;

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use crate::fake::Fake;
use crate::support::Broker;
use crate::{admin_at, fake};

/// What a terminal shows of a run, and the exit code.
fn on_terminal(mut command: Command) -> (i32, String) {
    let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
    grantpt(&terminal).expect("granted");
    unlockpt(&terminal).expect("unlocked");
    let name = ptsname(&terminal, Vec::new()).expect("a name");
    let path = name.to_str().expect("text");
    let end = File::options()
        .read(true)
        .write(true)
        .open(path)
        .expect("its end");
    command.stdout(end.try_clone().expect("cloned")).stderr(end);
    let mut child = command.spawn().expect("the program runs");
    // It holds the terminal's other end too.
    drop(command);
    let mut shown = Vec::new();
    // It ends with an error once nobody holds its other end.
    let _ = File::from(terminal).read_to_end(&mut shown);
    let code = child.wait().expect("ended").code().expect("an exit code");
    let text = String::from_utf8(shown).expect("text");
    (code, text.replace("\r\n", "\n"))
}

#[track_caller]
fn shows(broker: &Broker, arguments: &[&str], text: &str) {
    let node = broker.node();
    let command = admin_at(node.admin_addr(), node.cookie(), arguments);
    assert_eq!(on_terminal(command), (0, text.to_owned()), "{arguments:?}");
}

#[test]
fn tables_for_people_and_lines_for_the_names_of_2012() {
    let broker = Broker::with_channels(1, &["room", "presence-lobby"]);
    let mut browser = broker.browser();
    browser.subscribe("room");
    let token = broker.token();
    shows(&broker, &["list-vhosts"], "VHOST\n/test\n");
    let channels = "CHANNEL         SUBSCRIBERS\npresence-lobby  0\nroom            1\n";
    shows(&broker, &["list-channels", "test"], channels);
    let vhost = format!("vhost         /test\naccess token  {token}\nchannels      2\n");
    shows(&broker, &["show-vhost", "test"], &vhost);
    shows(
        &broker,
        &["show-channel", "test", "room"],
        "channel      room\nsubscribers  1\n",
    );
    shows(&broker, &["list-workers", "test"], "WORKER\n");
    shows(&broker, &["list_vhosts"], "/test\n");
    shows(
        &broker,
        &["show_vhost", "test"],
        &format!("/test\n{token}\n"),
    );
    let lines = "presence-lobby\t(0 subscribers)\nroom\t(1 subscribers)\n";
    let node = broker.node();
    let command = admin_at(node.admin_addr(), node.cookie(), &["list_channels", "test"]);
    // A terminal may show a TAB as spaces.
    let (code, text) = on_terminal(command);
    assert_eq!((code, text.as_str()), (0, lines));
    shows(&broker, &["delete-channel", "test", "room"], "");
}

#[test]
fn json_is_indented() {
    let fake = Fake::answering(&[(200, "", r#"{"vhosts":[{"path":"/a\u009b"}]}"#)]);
    let command = admin_at(fake.addr, fake::COOKIE, &["list-vhosts", "--json"]);
    let text = "{\n  \"vhosts\": [\n    {\n      \"path\": \"/a\\u009b\"\n    }\n  ]\n}\n";
    assert_eq!(on_terminal(command), (0, text.to_owned()));
}

#[test]
fn tables_of_what_came_after_2012() {
    let cases = [
        (
            &["list-subscribers", "v", "c"][..],
            r#"{"subscribers":[{"sid":"s1","uid":"joe","hidden":true,"data":{"a":1}},{"sid":"s0","hidden":false}]}"#,
            "SID  UID  PRESENCE  DATA\ns0        visible\ns1   joe  hidden    {\"a\":1}\n",
        ),
        (
            &["list-sessions", "v"],
            r#"{"sessions":[{"sid":"s1","uid":"joe","subscriptions":12}]}"#,
            "SID  UID  SUBSCRIPTIONS\ns1   joe  12\n",
        ),
        (
            &["show-session", "v", "s1"],
            r#"{"session":{"sid":"s1","uid":"joe","channels":[{"name":"b","hidden":true},{"name":"a","hidden":false}]}}"#,
            "session  s1\nuid      joe\nchannel  a\nchannel  b (hidden)\n",
        ),
        (
            &["disconnect", "v", "--uid", "joe"],
            r#"{"disconnected":2}"#,
            "sessions disconnected  2\n",
        ),
        (
            &["vhost-stats", "v"],
            r#"{"stats":{"sessions":2,"workers":{"ready":1}}}"#,
            "sessions       2\nworkers.ready  1\n",
        ),
    ];
    for (arguments, answer, text) in cases {
        let fake = Fake::answering(&[(200, "", answer)]);
        let command = admin_at(fake.addr, fake::COOKIE, arguments);
        assert_eq!(on_terminal(command), (0, text.to_owned()));
    }
}

#[test]
fn errors_are_red_unless_colours_are_unwanted() {
    let broker = Broker::start(1);
    let node = broker.node();
    let command = admin_at(node.admin_addr(), node.cookie(), &["show-vhost", "none"]);
    let red = "\x1b[31mERR: vhost doesn't exist\x1b[0m\n".to_owned();
    assert_eq!(on_terminal(command), (5, red));
    let mut command = admin_at(node.admin_addr(), node.cookie(), &["show_vhost", "none"]);
    command.env("NO_COLOR", "1");
    let plain = "ERR: vhost doesn't exist\n".to_owned();
    assert_eq!(on_terminal(command), (1, plain));
}
