//! Kept connections: pipelined requests, answered in order, none forgotten.

mod support;

use support::backend::{Backend, OK, bare, error};
use support::{Broker, Browser};
use webrocket::limits::REQUESTS_IN_FLIGHT_MAX;

#[test]
fn pipelined_requests_are_answered_in_order() {
    for shards in [1, 2] {
        let broker = Broker::with_channels(shards, &["room"]);
        let mut client = Backend::connect(&broker);
        let mut packets = broker.packet("req", &["KA"]);
        for frames in [
            &["OC", "a"][..],
            &["BC", "room", "e", "{}"],
            &["CC", "a"],
            &["XX"],
            &["CC", "a"],
        ] {
            packets.extend(bare(frames));
        }
        client.send(&packets);
        for answer in [OK, OK, OK, OK, &error(400), &error(454)] {
            client.expect(answer);
        }
    }
}

#[test]
fn more_requests_than_may_be_under_way_wait_their_turn() {
    for shards in [1, 2] {
        let broker = Broker::with_channels(shards, &["a", "b", "c", "d"]);
        let mut client = Backend::kept(&broker);
        let count = 4 * REQUESTS_IN_FLIGHT_MAX + 1;
        let packets: Vec<u8> = (0..count)
            .flat_map(|i| bare(&["BC", ["a", "b", "c", "d"][i % 4], "e", "{}"]))
            .collect();
        client.send(&packets);
        (0..count).for_each(|_| client.expect(OK));
    }
}

/// More answers than are queued before the connection is no longer read.
#[test]
fn requests_before_the_end_of_the_stream_are_all_answered() {
    let broker = Broker::with_channels(1, &["room"]);
    let mut browser: Browser = broker.browser();
    browser.subscribe("room");
    let mut client = Backend::kept(&broker);
    let count = 12_000;
    let packets: Vec<u8> = (0..count).flat_map(|_| bare(&["XX"])).collect();
    client.send(&packets);
    client.send(&bare(&["BC", "room", "last", "{}"]));
    client.finish();
    (0..count).for_each(|_| client.expect(&error(400)));
    client.expect(OK);
    client.expect_end();
    browser.expect(serde_json::json!({"last": {"channel": "room"}}));
}
