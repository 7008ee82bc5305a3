//! Packets of backends: who they say they are, how their bytes are cut, and
//! where they end. Each case on a connection of its own, as the old clients do it.

mod support;

use serde_json::json;
use support::backend::{Backend, OK, error};
use support::{Broker, fresh_id};
use webrocket::limits::PACKET_BYTES_MAX;

const END: &str = "\n\r\n\r\n";

/// What the broker answers to these bytes, until it closes.
fn answer(broker: &Broker, bytes: &[u8]) -> String {
    let mut backend = Backend::connect(broker);
    backend.send(bytes);
    let answer = backend.receive().unwrap_or_default();
    backend.expect_end();
    answer
}

/// Whether the channel exists: a broadcast to it tells.
fn is_open(broker: &Broker, channel: &str) -> bool {
    match broker.request(&["BC", channel, "probe", "{}"]) {
        answer if answer == OK => true,
        answer if answer == error(454) => false,
        answer => panic!("{answer:?}"),
    }
}

#[test]
fn golden_bytes_be_01_be_02_be_03() {
    for shards in [1, 2, 4] {
        let broker = Broker::start(shards);
        for _ in 0..8 {
            assert_eq!(
                broker.request(&["OC", "room"]).as_bytes(),
                [0x4F, 0x4B, 0x0A, 0x0A, 0x0D, 0x0A, 0x0D, 0x0A]
            );
            assert_eq!(broker.request(&["CC", "no"]), "ER\n454\n\r\n\r\n");
            let token = broker.request(&["AT", "joe", ".*"]);
            let hex = token
                .strip_prefix("AT\n")
                .and_then(|rest| rest.strip_suffix(END))
                .expect("a token");
            assert_eq!(hex.len(), 128);
            assert!(hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')));
        }
    }
}

#[test]
fn a_wrong_identity_is_refused_with_402_be_04_be_07_be_08() {
    let broker = Broker::start(2);
    let token = broker.token();
    let (other, id) = (broker.add_vhost("/other"), fresh_id());
    let wrong = "0".repeat(40);
    let bad = [
        format!("req:/none:{token}:{id}"),
        format!("req:/test:{wrong}:{id}"),
        format!("req:/test:{other}:{id}"),
        format!("REQ:/test:{token}:{id}"),
        format!("sub:/test:{token}:{id}"),
        format!("req:test:{token}:{id}"),
        format!("req:/test/:{token}:{id}"),
        format!("req:/:{token}:{id}"),
        format!("req:/test:{}:{id}", &token[1..]),
        format!("req:/test:{token}0:{id}"),
        format!("req:/test:{token}:{}", &id[1..]),
        format!("req:/test:{token}:{id}0"),
        format!("req:/test:{token}:{}.", &id[1..]),
        format!("req:/test:{token}"),
        format!("req:/test:{token}:{id}:"),
        format!(" req:/test:{token}:{id}"),
        format!("req:/test:{token}:{id}\r"),
        String::from("junk"),
    ];
    for identity in &bad {
        for command in ["OC\nroom", "nonsense"] {
            let packet = format!("{identity}\n\n{command}{END}");
            assert_eq!(answer(&broker, packet.as_bytes()), error(402), "{identity}");
        }
    }
    // No identity at all, and none for want of the empty line.
    let good = format!("req:/test:{token}:{id}");
    for packet in [format!("OC\nroom{END}"), format!("{good}\nOC\nroom{END}")] {
        assert_eq!(answer(&broker, packet.as_bytes()), error(402), "{packet}");
    }
    assert!(!is_open(&broker, "room"));
}

#[test]
fn ids_have_36_characters_and_need_not_be_unique_be_05_be_06() {
    let broker = Broker::with_channels(2, &["room"]);
    let id = "abcdefghijklmnopqrstuvwxyz_ABCDE-019";
    let first = format!(
        "req:/test:{}:{id}\n\nBC\nroom\ne\n{{}}{END}",
        broker.token()
    );
    let mut waiting: Vec<_> = (0..8).map(|_| Backend::connect(&broker)).collect();
    for backend in &mut waiting {
        backend.send(first.as_bytes());
    }
    for backend in &mut waiting {
        backend.expect(OK);
        backend.expect_end();
    }
}

#[test]
fn an_unknown_command_is_refused_with_400_be_09_be_10_be_13() {
    let broker = Broker::start(2);
    for frames in [
        &["XX"][..],
        &["oc", "room"],
        &["RD"],
        &["HB"],
        &["QT"],
        &["TR", "{}"],
        &["OK"],
        &["OC\r", "room"],
        &[""],
        &["", "OC", "room"],
    ] {
        assert_eq!(broker.request(frames), error(400), "{frames:?}");
    }
    let identity = format!("req:/test:{}:{}\n", broker.token(), fresh_id());
    let commandless = format!("{identity}\n\r\n\r\n");
    assert_eq!(answer(&broker, commandless.as_bytes()), error(400));
    assert_eq!(answer(&broker, b"\r\n\r\n"), error(400));
    assert!(!is_open(&broker, "room"));
}

#[test]
fn lines_of_cr_lf_are_no_frames() {
    let broker = Broker::start(2);
    let identity = format!("req:/test:{}:{}\n\n", broker.token(), fresh_id());
    // One half of a terminator, followed by another line, is dropped.
    for (packet, channel) in [
        (format!("{identity}\r\nOC\none{END}"), "one"),
        (format!("{identity}OC\n\r\ntwo{END}"), "two"),
        (format!("\r\n{identity}OC\nthree\n\r\nmore{END}"), "three"),
    ] {
        assert_eq!(answer(&broker, packet.as_bytes()), OK, "{packet:?}");
        assert!(is_open(&broker, channel), "{channel}");
    }
    // A CR behind other bytes belongs to the frame: the packet has no end before the next.
    let packet = format!("{identity}OC\nroom\r\n\r\n\r\n");
    assert_eq!(answer(&broker, packet.as_bytes()), error(451));
    // The shipped clients' form without an empty line, and the server's own with it.
    for form in [
        format!("{identity}OC\nfour\n\r\n\r\n"),
        format!("{identity}OC\nfour\n\n\r\n\r\n"),
    ] {
        assert_eq!(answer(&broker, form.as_bytes()), OK);
    }
}

#[test]
fn surplus_frames_and_bytes_are_ignored_be_14_be_15_be_16() {
    let broker = Broker::start(2);
    let mut surplus = vec!["OC", "room"];
    surplus.extend(std::iter::repeat_n("surplus", 100));
    assert_eq!(broker.request(&surplus), OK);
    assert_eq!(broker.request(&["CC", "room", ""]), OK);
    for round in 0..20 {
        let mut bytes = broker.packet("req", &["OC", &format!("first{round}"), ""]);
        bytes.push(b'\n');
        bytes.extend(broker.packet("req", &["OC", &format!("second{round}")]));
        assert_eq!(answer(&broker, &bytes), OK);
    }
    for round in 0..20 {
        assert!(is_open(&broker, &format!("first{round}")));
        assert!(!is_open(&broker, &format!("second{round}")));
    }
}

#[test]
fn segments_do_not_matter_be_17_be_18_be_19() {
    for shards in [1, 2] {
        let broker = Broker::start(shards);
        let whole = broker.packet("req", &["OC", "split"]).len();
        let mut cut: Vec<_> = (1..whole)
            .map(|at| {
                let mut backend = Backend::connect(&broker);
                let packet = broker.packet("req", &["OC", &format!("split{at}")]);
                backend.send(&packet[..at]);
                (backend, packet[at..].to_vec())
            })
            .collect();
        // Meanwhile the broker has served another, so it has seen the beginnings.
        assert_eq!(broker.request(&["OC", "marker"]), OK);
        for (backend, rest) in &mut cut {
            backend.send(rest);
        }
        for (backend, _) in &mut cut {
            backend.expect(OK);
            backend.expect_end();
        }
        assert!((1..whole).all(|at| is_open(&broker, &format!("split{at}"))));

        let mut trickle = Backend::connect(&broker);
        for byte in broker.packet("req", &["OC", "trickle"]) {
            trickle.send(&[byte]);
        }
        trickle.expect(OK);
        trickle.expect_end();
    }
}

#[test]
fn a_packet_may_take_a_mebibyte_and_no_byte_more_be_27() {
    let broker = Broker::with_channels(2, &["room"]);
    let mut browser = broker.browser();
    browser.subscribe("room");
    for excess in [0, 1] {
        let empty = broker
            .packet("req", &["BC", "room", "big", r#"{"x":""}"#])
            .len();
        let text = "x".repeat(PACKET_BYTES_MAX - empty + excess);
        let packet = broker.packet(
            "req",
            &["BC", "room", "big", &json!({"x": text}).to_string()],
        );
        assert_eq!(packet.len(), PACKET_BYTES_MAX + excess);
        if excess == 0 {
            assert_eq!(answer(&broker, &packet), OK);
            browser.expect(json!({"big": {"x": text, "channel": "room"}}));
        } else {
            assert_eq!(answer(&broker, &packet), error(400));
            browser.expect_nothing_before();
        }
    }
    // No end in sight: refused without waiting for one.
    assert_eq!(
        answer(&broker, &vec![b'x'; 2 * PACKET_BYTES_MAX]),
        error(400)
    );
    assert_eq!(
        answer(&broker, &vec![b'\n'; 2 * PACKET_BYTES_MAX]),
        error(400)
    );
}

#[test]
fn half_a_megabyte_passes_bc_11() {
    for shards in [1, 2, 4] {
        let broker = Broker::with_channels(shards, &["room"]);
        let mut browsers: Vec<_> = (0..4).map(|_| broker.browser()).collect();
        browsers.iter_mut().for_each(|it| it.subscribe("room"));
        let text = "y".repeat(500_000);
        let data = json!({"x": text}).to_string();
        assert_eq!(broker.request(&["BC", "room", "big", &data]), OK);
        for browser in &mut browsers {
            browser.expect(json!({"big": {"x": text, "channel": "room"}}));
        }
    }
}
