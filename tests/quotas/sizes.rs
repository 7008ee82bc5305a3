//! Messages larger than the default: what is configured reaches the wire, and
//! no bound on the way is made for smaller ones.

use std::io::Write;

use tokio_tungstenite::tungstenite::Message;
use webrocket::limits::{
    CONFIGURED_MESSAGE_BYTES_MAX, CONFIGURED_OUTBOX_BYTES_MAX, MESSAGE_BYTES_MAX, outbox_bytes_min,
};
use webrocket::meter::Refused;
use webrocket::model::{Quotas, VhostQuota};

use crate::support::backend::Worker;
use crate::support::{Broker, Browser, unhurried};
use crate::{SHARDS, expect_refused, path, refused};

const MIB: usize = 1024 * 1024;

/// `/test` takes messages of so many bytes, other vhosts what is usual. The
/// outbox is as small as the configuration lets it be.
fn quotas(message_bytes: usize) -> Quotas {
    let own = VhostQuota {
        message_bytes_max: message_bytes as u32,
        outbox_bytes_max: outbox_bytes_min(message_bytes) as u32,
        messages_per_second_max: u32::MAX,
        bytes_per_second_max: u32::MAX,
        ..VhostQuota::default()
    };
    Quotas {
        vhosts: [(path("/test"), own)].into(),
        ..unhurried()
    }
}

/// A message of so many bytes that says `verb`, and the text in it.
fn message_of(verb: &str, bytes: usize) -> (String, String) {
    let with = |text: &str| {
        format!(r#"{{"{verb}":{{"channel":"room","event":"e","data":{{"t":"{text}"}}}}}}"#)
    };
    let text = "x".repeat(bytes - with("").len());
    (with(&text), text)
}

/// One that takes messages of any size.
fn browser(broker: &Broker) -> Browser {
    let mut browser = broker.user("joe", ".*");
    browser.socket.set_config(|config| {
        config.max_frame_size = None;
        config.max_message_size = None;
    });
    browser.subscribe("room");
    browser
}

/// Parsing it would take a while.
fn expect_text(browser: &mut Browser, text: &str) {
    match browser.receive_raw() {
        Message::Text(message) => {
            assert!(message.starts_with(r#"{"e":{"#), "{}", &message[..100]);
            assert!(message.contains(text));
        }
        other => panic!("no text: {other:?}"),
    }
}

/// One that is within every bound but that of its size.
fn expect_too_big(mut browser: Browser, bytes: usize) {
    let mut frame = vec![0x81, 0xff];
    frame.extend((bytes as u64).to_be_bytes());
    frame.extend([0; 4]);
    browser.socket.get_mut().write_all(&frame).expect("sent");
    assert_eq!(browser.expect_close().0, 1009);
}

#[test]
fn messages_of_a_vhost_that_takes_larger_ones_fr_09() {
    for shards in SHARDS {
        let broker = Broker::with_quotas(shards, quotas(4 * MIB));
        broker.open_channel("room");
        broker.add_vhost("/other");
        let mut worker = Worker::ready(&broker);
        // On every shard, whatever the kernel deals.
        let mut watchers: Vec<_> = (0..4).map(|_| browser(&broker)).collect();
        let mut speaker = browser(&broker);
        for bytes in [MESSAGE_BYTES_MAX + 1, 3 * MIB, 4 * MIB - 1, 4 * MIB] {
            let (message, text) = message_of("broadcast", bytes);
            speaker.send_text(&message);
            expect_text(&mut speaker, &text);
            watchers.iter_mut().for_each(|it| expect_text(it, &text));
            let (message, text) = message_of("trigger", bytes);
            speaker.send_text(&message);
            let packet = worker.receive().expect("a trigger");
            assert!(packet.starts_with("TR\n") && packet.contains(&text));
        }
        // In two fragments, both larger than what is usual.
        let (message, text) = message_of("broadcast", 3 * MIB);
        let (front, back) = message.split_at(message.len() / 2);
        let mut frames = Vec::new();
        for (head, part) in [(0x01, front), (0x80, back)] {
            frames.extend([head, 0xff]);
            frames.extend((part.len() as u64).to_be_bytes());
            frames.extend([0; 4]);
            frames.extend(part.as_bytes());
        }
        speaker.socket.get_mut().write_all(&frames).expect("sent");
        expect_text(&mut speaker, &text);
        watchers.iter_mut().for_each(|it| expect_text(it, &text));
        assert_eq!(refused(&broker, Refused::MessageBytes), 0);

        expect_too_big(speaker, 4 * MIB + 1);
        expect_refused(&broker, Refused::MessageBytes, 1);
        expect_too_big(broker.browser_on("/other"), MESSAGE_BYTES_MAX + 1);
        expect_refused(&broker, Refused::MessageBytes, 2);
        for watcher in &mut watchers {
            watcher.expect_nothing_before();
        }
        drop((watchers, worker));
        assert!(broker.stop());
    }
}

/// Nobody who reads is evicted by messages that are as large as they can be.
#[test]
fn the_largest_messages_that_can_be_configured_fr_09() {
    let quotas = quotas(CONFIGURED_MESSAGE_BYTES_MAX);
    let outbox = quotas.vhosts[&path("/test")].outbox_bytes_max as usize;
    assert!(outbox <= CONFIGURED_OUTBOX_BYTES_MAX);
    let broker = Broker::with_quotas(2, quotas);
    broker.open_channel("room");
    let mut watchers = [browser(&broker), browser(&broker)];
    let mut speaker = browser(&broker);
    let (message, text) = message_of("broadcast", CONFIGURED_MESSAGE_BYTES_MAX);
    for _ in 0..3 {
        speaker.send_text(&message);
        expect_text(&mut speaker, &text);
        watchers.iter_mut().for_each(|it| expect_text(it, &text));
    }
    expect_too_big(speaker, CONFIGURED_MESSAGE_BYTES_MAX + 1);
    expect_refused(&broker, Refused::MessageBytes, 1);
    drop(watchers);
    assert!(broker.stop());
}
