//! A node at its limit of descriptors tells of it, and does not fill the log
//! with it. Method: a node with few descriptors, and more connections than that.

#![forbid(unsafe_code)]

mod support;

use std::net::TcpStream;

use support::serve::{Host, start};

#[test]
fn a_shortage_is_told_at_once_and_then_summed_up() {
    const DESCRIPTORS: usize = 80;
    let host = Host::new();
    let setup = format!("ulimit -n {DESCRIPTORS};");
    let mut node = start(host.command_after(&setup, &["--shards", "1"]));
    // The kernel takes in those for which the node has no descriptor.
    let connect = |_| TcpStream::connect(node.websocket_addr()).expect("connected");
    let streams: Vec<_> = (0..DESCRIPTORS).map(connect).collect();
    node.expect_log(&["WARN", "accepting paused; the shard keeps what it has"]);
    // More of them in the first second than pauses double within it.
    let sum = node.expect_log(&["WARN", "accepting paused again and again shard=0 untold="]);
    let (_, untold) = sum.rsplit_once('=').expect("a number");
    assert!(
        untold.parse::<u64>().is_ok_and(|untold| untold > 0),
        "{sum}"
    );
    let told = node.logged().iter();
    let told = told.filter(|line| line.contains("accepting paused; "));
    assert_eq!(told.count(), 1, "one line a second: {:#?}", node.logged());

    // There is room again: it goes on, and stops in order.
    drop(streams);
    node.admin("POST", "/test").expect_found("/test");
    drop(node.browser());
    node.stop();
}
