//! Kosmonaut's packets over `wrs`.

use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::sync::Arc;

use std::time::Duration;

use kosmonaut::{Client, Error, Event, Notice, Tls, Url, Worker};
use rustls::ClientConfig;
use serde_json::json;
use tokio::sync::mpsc;

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

/// The vhost `/test` over TLS.
fn url(broker: &Broker, tls: Tls) -> Url {
    let port = backend_addr(broker).port();
    let url = format!("wrs://{}@localhost:{port}/test", broker.token());
    url.parse::<Url>().expect("valid").with_tls(tls)
}

#[test]
fn kosmonaut_speaks_wrs_with_a_certificate() {
    for shards in SHARDS {
        let files = Files::new();
        let trusted = Authority::new("the backends' authority");
        let ca = files.write("backends.pem", &trusted.pem);
        let broker = broker_with(shards, &files, Some(&ca));
        let own = trusted.certify(&["orders"]);
        let tls = Tls::trusting(files.authority.pem.as_bytes()).expect("authorities");
        let tls = tls.with_certificate(own.chain.as_bytes(), own.key.as_bytes());
        let url = url(&broker, tls.expect("a certificate"));
        let client = Client::new(url.clone());
        let large = "z".repeat(300_000);
        broker.wait(async {
            client.open_channel("news").await.expect("opened");
        });
        let mut browser = browser(&broker, &files.authority);
        browser.subscribe("news");
        broker.wait(async {
            let payload = json!({"text": large});
            let asked = (0..20).map(|_| client.broadcast("news", "said", &payload));
            for asked in futures_util::future::join_all(asked).await {
                asked.expect("accepted");
            }
        });
        for _ in 0..20 {
            let event = json!({"said": {"text": large, "channel": "news"}});
            assert!(browser.receive() == event);
        }
        let token = broker.wait(client.request_single_access_token("joe", ".*"));
        browser.send(json!({"auth": {"token": token.expect("a token").as_str()}}));
        browser.expect(json!({":authenticated": {}}));
        // A worker: ready, a trigger, and a stop that takes leave.
        broker.wait(async {
            let (ready, mut is_ready) = mpsc::unbounded_channel();
            let (heard, mut hears) = mpsc::unbounded_channel();
            let worker = Worker::new(url)
                .on("buy", move |event: Event| {
                    let heard = heard.clone();
                    async move { drop(heard.send(event.data().to_string())) }
                })
                .on_notice(move |notice| match notice {
                    Notice::Ready => drop(ready.send(())),
                    // Where the machine starves it: it comes back.
                    Notice::Disconnected { .. } => {}
                    other => panic!("{other:?}"),
                });
            let stop = async {
                is_ready.recv().await.expect("ready");
                // Some heartbeats later it still is.
                tokio::time::sleep(Duration::from_secs(2)).await;
                let text = "b".repeat(100_000);
                browser.send(json!({"trigger": {"event": "buy", "data": {"text": text}}}));
                let data = hears.recv().await.expect("a trigger");
                assert!(data.contains(&text));
            };
            worker.run_until(stop).await.expect("stopped");
        });
        broker.expect_no_workers();
    }
}

#[test]
fn kosmonaut_trusts_no_other_authority_and_is_refused_without_a_certificate() {
    let files = Files::new();
    let trusted = Authority::new("the backends' authority");
    let ca = files.write("backends.pem", &trusted.pem);
    let broker = broker_with(1, &files, Some(&ca));
    let of = |authority: &Authority| Tls::trusting(authority.pem.as_bytes()).expect("PEM");
    let client = Client::new(url(&broker, of(&trusted)));
    match broker.wait(client.open_channel("news")) {
        Err(Error::Io(error)) => {
            assert!(error.to_string().contains("UnknownIssuer"), "{error}");
        }
        other => panic!("{other:?}"),
    }
    let client = Client::new(url(&broker, of(&files.authority)));
    match broker.wait(client.open_channel("news")) {
        Err(Error::ConnectionLost {
            may_have_run: false,
        }) => {}
        other => panic!("{other:?}"),
    }
    for bad in ["", "nothing", &trusted.pem.replace("-----END", "---")] {
        assert!(Tls::trusting(bad.as_bytes()).is_err());
    }
    let key = trusted.certify(&["a"]).key;
    let other = trusted.certify(&["b"]).chain;
    let mixed = of(&trusted).with_certificate(other.as_bytes(), key.as_bytes());
    assert!(mixed.is_err());
}
