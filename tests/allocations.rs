//! The steady fan-out path allocates nothing per message: not per broadcast,
//! not per delivery. A counting allocator looks at the whole process, broker
//! and test; the test's own loop uses buffers made before.

mod support;

use std::alloc::System;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use support::{Broker, PATIENCE};
use webrocket::wire::frame::{Opcode, write_client_frame};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const SUBSCRIBERS: usize = 40;
const WARM_UP: usize = 1000;
const BROADCASTS: usize = 2000;

#[test]
fn the_steady_fan_out_path_allocates_nothing_per_message() {
    for shards in [1, 2] {
        let broker = Broker::with_channels(shards, &["room"]);
        let mut subscribers: Vec<TcpStream> = (0..SUBSCRIBERS).map(|_| join(&broker)).collect();
        let mut frame = Vec::new();
        let event = br#"{"broadcast":{"channel":"room","event":"said","data":{"n":"0123456789"}}}"#;
        write_client_frame(&mut frame, Opcode::Text, [1, 2, 3, 4], event);
        // {"said":{"n":"0123456789","sid":"S","channel":"room"}} behind two bytes of header.
        let expected = br#"{"said":{"n":"0123456789","sid":"","channel":"room"}}"#.len() + 36 + 2;
        let mut buffer = vec![0; expected];
        for _ in 0..WARM_UP {
            one_round(&mut subscribers, &frame, &mut buffer);
        }
        // The node's own start, and threads that come up late, are over by now.
        std::thread::sleep(Duration::from_millis(50));
        let region = Region::new(ALLOCATOR);
        for _ in 0..BROADCASTS {
            one_round(&mut subscribers, &frame, &mut buffer);
        }
        let change = region.change();
        println!(
            "{shards} shards, {BROADCASTS} broadcasts to {SUBSCRIBERS}: {} allocations, {} reallocations",
            change.allocations, change.reallocations
        );
        assert!(buffer.starts_with(b"\x81"));
        // Frames that cross cores share buffers of hundreds: a few remain.
        let bound = if shards == 1 { 0 } else { BROADCASTS / 100 };
        assert!(
            change.allocations + change.reallocations <= bound,
            "{change:?}"
        );
        drop(subscribers);
        assert!(broker.stop());
    }
}

/// One broadcast, read by everybody.
fn one_round(subscribers: &mut [TcpStream], frame: &[u8], buffer: &mut [u8]) {
    subscribers[0].write_all(frame).expect("sent");
    for subscriber in subscribers {
        subscriber.read_exact(buffer).expect("the event");
    }
}

/// A raw subscriber, past its `:subscribed`.
fn join(broker: &Broker) -> TcpStream {
    let mut stream = TcpStream::connect(broker.node().websocket_addr()).expect("connected");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    stream.set_nodelay(true).expect("no delay");
    let upgrade = "GET /test HTTP/1.1\r\nHost: test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                   Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n";
    let mut hello = upgrade.as_bytes().to_vec();
    let subscribe = br#"{"subscribe":{"channel":"room"}}"#;
    write_client_frame(&mut hello, Opcode::Text, [5, 6, 7, 8], subscribe);
    stream.write_all(&hello).expect("sent");
    let end = br#"{":subscribed":{"channel":"room"}}"#;
    let mut received = Vec::new();
    let mut byte = [0];
    while !received.ends_with(end) {
        stream.read_exact(&mut byte).expect("an answer");
        received.push(byte[0]);
    }
    stream
}
