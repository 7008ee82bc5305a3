//! Kosmonaut's packets over `wrs`.

use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::sync::Arc;

use rustls::ClientConfig;

use crate::SHARDS;
use crate::authority::{Authority, Files, broker, broker_with};
use crate::peer::{Secured, backend_addr, browser, over, tcp, trusting};
use crate::support::Broker;

fn backend(broker: &Broker, config: &Arc<ClientConfig>) -> Secured {
    over(tcp(backend_addr(broker)), config)
}

/// Everything up to `close_notify`.
fn rest(stream: &mut Secured) -> String {
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("close_notify");
    text
}

fn expect(stream: &mut Secured, packet: &str) {
    let mut bytes = vec![0; packet.len()];
    stream.read_exact(&mut bytes).expect("an answer");
    assert_eq!(String::from_utf8_lossy(&bytes), packet);
}

const OK: &str = "OK\n\n\r\n\r\n";

#[test]
fn requests_are_answered_and_the_end_is_said() {
    for shards in SHARDS {
        let files = Files::new();
        let broker = broker(shards, &files);
        let config = trusting(&files.authority, None);
        let mut once = backend(&broker, &config);
        once.write_all(&broker.packet("req", &["OC", "news"]))
            .expect("sent");
        assert_eq!(rest(&mut once), OK);
        let mut listener = browser(&broker, &files.authority);
        listener.subscribe("news");
        let mut kept = backend(&broker, &config);
        kept.write_all(&broker.packet("req", &["KA"]))
            .expect("sent");
        expect(&mut kept, OK);
        // Many requests in one record, and one over many.
        let large = "z".repeat(200_000);
        let mut packets = Vec::new();
        for n in 0..50 {
            let data = format!("{{\"n\":{n}}}");
            packets.extend(crate::support::backend::bare(&[
                "BC", "news", "said", &data,
            ]));
        }
        let data = format!("{{\"text\":\"{large}\"}}");
        packets.extend(crate::support::backend::bare(&[
            "BC", "news", "said", &data,
        ]));
        kept.write_all(&packets).expect("sent");
        for n in 0..50 {
            expect(&mut kept, OK);
            listener.expect(serde_json::json!({"said": {"n": n, "channel": "news"}}));
        }
        expect(&mut kept, OK);
        listener.expect(serde_json::json!({"said": {"text": large, "channel": "news"}}));
        // It says that it ends, and hears so.
        kept.conn.send_close_notify();
        kept.flush().expect("sent");
        assert_eq!(rest(&mut kept), "");
    }
}

#[test]
fn a_request_in_a_cut_stream_is_not_answered() {
    let files = Files::new();
    let broker = broker(1, &files);
    let config = trusting(&files.authority, None);
    let packet = broker.packet("req", &["OC", "cut"]);
    // Said to be all: it is no packet, and told so [BE-21].
    let mut said = backend(&broker, &config);
    said.write_all(&packet[..packet.len() - 6]).expect("sent");
    said.conn.send_close_notify();
    said.flush().expect("sent");
    assert_eq!(rest(&mut said), "ER\n400\n\r\n\r\n");
    // Cut by whoever: nothing is believed, and nothing said.
    let mut cut = backend(&broker, &config);
    cut.write_all(&packet[..packet.len() - 6]).expect("sent");
    cut.flush().expect("sent");
    cut.sock.shutdown(Shutdown::Write).expect("connected");
    let error = cut.read(&mut [0; 16]).expect_err("no answer");
    assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
    // Neither has opened the channel.
    let mut browser = broker.browser();
    browser.send(serde_json::json!({"subscribe": {"channel": "cut"}}));
    browser.expect_error(454);
}

#[test]
fn a_worker_beats_and_works_over_tls() {
    let files = Files::new();
    let trusted = Authority::new("the backends' authority");
    let ca = files.write("backends.pem", &trusted.pem);
    let broker = broker_with(2, &files, Some(&ca));
    let own = trusted.certify(&["worker"]);
    let mut worker = backend(&broker, &trusting(&files.authority, Some(&own)));
    worker
        .write_all(&broker.packet("dlr", &["RD"]))
        .expect("sent");
    const HEARTBEAT: &str = "HB\n\n\r\n\r\n";
    expect(&mut worker, HEARTBEAT);
    let mut user = broker.user("joe", ".*");
    user.send(serde_json::json!({"trigger": {"event": "buy", "data": {"n": 1}}}));
    // Heartbeats come in between.
    let mut text = String::new();
    let mut bytes = [0; 1024];
    while !text.contains("TR\n") || !text.ends_with("\r\n\r\n") {
        let count = worker.read(&mut bytes).expect("a trigger");
        text += std::str::from_utf8(&bytes[..count]).expect("text");
        worker.write_all(HEARTBEAT.as_bytes()).expect("sent");
    }
    assert!(
        text.contains(r#""buy""#) && text.contains(r#""n":1"#),
        "{text}"
    );
    worker.write_all(b"QT\n\n\r\n\r\n").expect("sent");
    broker.expect_no_workers();
}
