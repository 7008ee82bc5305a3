//! The `kosmonaut` crate against the real broker: what a backend developer gets.

mod support;

use std::thread::JoinHandle;
use std::time::Duration;

use kosmonaut::{Client, Error, Event, Notice, Url, Worker};
use serde_json::json;
use support::{Broker, PATIENCE, unhurried};
use tokio::sync::{mpsc, oneshot};
use webrocket::limits::CONFIGURED_MESSAGE_BYTES_MAX;

fn url(broker: &Broker) -> Url {
    let addr = broker.node().backend_addr();
    format!("wr://{}@{addr}/test", broker.token())
        .parse()
        .expect("a URL")
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.expect("a runtime").block_on(async {
        tokio::time::timeout(PATIENCE, future)
            .await
            .expect("in time")
    })
}

/// A worker of `/test` that takes `work`, on a thread of its own.
struct Work {
    events: mpsc::UnboundedReceiver<Event>,
    stop: oneshot::Sender<()>,
    running: JoinHandle<Result<(), Error>>,
}

impl Work {
    /// Returns when the worker is ready.
    fn begin(broker: &Broker) -> Self {
        let (seen, events) = mpsc::unbounded_channel::<Event>();
        let (ready, is_ready) = std::sync::mpsc::channel();
        let (stop, stopped) = oneshot::channel::<()>();
        let worker = Worker::new(url(broker))
            .on("work", move |event: Event| {
                let _ = seen.send(event);
                async {}
            })
            .on_notice(move |notice| {
                if matches!(notice, Notice::Ready) {
                    let _ = ready.send(());
                }
            });
        let running = std::thread::spawn(move || {
            block_on(worker.run_until(async {
                let _ = stopped.await;
            }))
        });
        is_ready.recv_timeout(PATIENCE).expect("ready");
        Self {
            events,
            stop,
            running,
        }
    }

    fn end(self) {
        self.stop.send(()).expect("running");
        let ended = self.running.join().expect("no panic");
        ended.expect("an orderly end");
    }
}

#[test]
fn a_client_opens_broadcasts_and_closes() {
    for shards in [1, 2, 4] {
        let broker = Broker::start(shards);
        let client = Client::new(url(&broker));
        let mut browser = broker.browser();
        block_on(async {
            client.open_channel("news").await.expect("opened");
            client.open_channel("news").await.expect("opened again");
            let refused = client.open_channel("no way").await;
            assert!(
                matches!(refused, Err(Error::InvalidChannelName)),
                "{refused:?}"
            );
            browser.subscribe("news");
            client
                .broadcast("news", "sale", &json!({"percent": 20}))
                .await
                .expect("sent");
            let refused = client.broadcast("nowhere", "sale", &json!({})).await;
            assert!(
                matches!(refused, Err(Error::ChannelNotFound)),
                "{refused:?}"
            );
            client.close_channel("news").await.expect("closed");
            let refused = client.close_channel("news").await;
            assert!(
                matches!(refused, Err(Error::ChannelNotFound)),
                "{refused:?}"
            );
        });
        browser.expect(json!({"sale": {"percent": 20, "channel": "news"}}));
        browser.expect(json!({":unsubscribed": {"channel": "news"}}));
        drop((client, browser));
        assert!(broker.stop());
    }
}

#[test]
fn pipelined_broadcasts_arrive_in_order_bc_13() {
    let broker = Broker::with_channels(2, &["a", "b", "c", "d"]);
    let client = Client::new(url(&broker));
    let mut browser = broker.browser();
    let channels = ["a", "b", "c", "d"];
    channels
        .iter()
        .for_each(|channel| browser.subscribe(channel));
    block_on(async {
        for channel in channels {
            let sent = (0..500).map(|n| {
                let client = client.clone();
                tokio::spawn(async move { client.broadcast(channel, "n", &json!({"n": n})).await })
            });
            for outcome in sent.collect::<Vec<_>>() {
                outcome.await.expect("no panic").expect("sent");
            }
        }
    });
    for channel in channels {
        for n in 0..500 {
            browser.expect(json!({"n": {"n": n, "channel": channel}}));
        }
    }
}

#[test]
fn a_token_from_the_client_admits_one_session() {
    let broker = Broker::with_channels(2, &["private-room"]);
    let client = Client::new(url(&broker));
    let token = block_on(client.request_single_access_token("joe", "private-.*")).expect("a token");
    let mut browser = broker.browser();
    browser.send(json!({"auth": {"token": token.as_str()}}));
    browser.expect(json!({":authenticated": {}}));
    browser.send(json!({"subscribe": {"channel": "private-room"}}));
    browser.expect(json!({":subscribed": {"channel": "private-room", "uid": "joe"}}));
    let mut other = broker.browser();
    other.send(json!({"auth": {"token": token.as_str()}}));
    other.expect_error(402);
    let refused = block_on(client.request_single_access_token("joe", "("));
    assert!(matches!(refused, Err(Error::InternalError)), "{refused:?}");
}

#[test]
fn a_worker_takes_what_browsers_trigger_and_stops_in_order() {
    let broker = Broker::start(2);
    let mut work = Work::begin(&broker);
    let mut user = broker.user("joe", ".*");
    for n in 0..50 {
        user.send(json!({"trigger": {"event": "work", "data": {"n": n}}}));
    }
    block_on(async {
        for n in 0..50 {
            let event = work.events.recv().await.expect("an event");
            assert_eq!(event.sid, user.sid);
            let data: serde_json::Value = event.deserialize().expect("JSON");
            assert_eq!(data["n"], n);
        }
    });
    work.end();
    // Gone at once: nobody is left to take it ([WK-13]).
    loop {
        user.send(json!({"trigger": {"event": "work", "data": {}}}));
        user.send_text("no JSON");
        let answer = user.receive();
        if answer[":error"]["code"] == 503 {
            break;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The largest message that a broker can be set to take reaches a worker.
#[test]
fn a_worker_takes_the_largest_trigger() {
    let mut quotas = unhurried();
    quotas.default.message_bytes_max = CONFIGURED_MESSAGE_BYTES_MAX as u32;
    let broker = Broker::with_quotas(2, quotas);
    let mut work = Work::begin(&broker);
    let mut user = broker.user("joe", ".*");
    let with = |text: &str| format!(r#"{{"trigger":{{"event":"work","data":{{"t":"{text}"}}}}}}"#);
    let text = "x".repeat(CONFIGURED_MESSAGE_BYTES_MAX - with("").len());
    user.send_text(&with(&text));
    let event = block_on(work.events.recv()).expect("an event");
    let data: serde_json::Value = event.deserialize().expect("JSON");
    assert!(data["t"] == text);
    work.end();
}

#[test]
fn a_wrong_token_is_told_402() {
    let broker = Broker::start(2);
    let addr = broker.node().backend_addr();
    let wrong: Url = format!("wr://{}@{addr}/test", "0".repeat(40))
        .parse()
        .expect("a URL");
    let refused = block_on(Client::new(wrong.clone()).open_channel("news"));
    assert!(matches!(refused, Err(Error::Unauthorized)), "{refused:?}");
    let refused = block_on(Worker::new(wrong).run());
    assert!(matches!(refused, Err(Error::Unauthorized)), "{refused:?}");
}
