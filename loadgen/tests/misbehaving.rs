//! Against a broker of the test's own that loses, doubles, swaps or dies: the
//! report has to say just that.

use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio_tungstenite::tungstenite::Message;

/// What becomes of every tenth broadcast, at every receiver.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    Lost,
    Doubled,
    /// Comes behind the one that follows it.
    Swapped,
    /// From the hundredth on there is no broker.
    Dead,
}

#[derive(Default)]
struct Room {
    subscribers: Vec<UnboundedSender<Message>>,
    broadcasts: usize,
    held: Option<Message>,
}

impl Room {
    fn broadcast(&mut self, event: Message, fault: Fault) {
        self.broadcasts += 1;
        if fault == Fault::Dead && self.broadcasts > 100 {
            self.subscribers.clear();
        }
        let tenth = self.broadcasts.is_multiple_of(10);
        match fault {
            Fault::Lost if tenth => {}
            Fault::Doubled if tenth => {
                self.send(&event);
                self.send(&event);
            }
            Fault::Swapped if tenth => self.held = Some(event),
            _ => {
                self.send(&event);
                if let Some(held) = self.held.take() {
                    self.send(&held);
                }
            }
        }
    }

    fn send(&self, event: &Message) {
        for subscriber in &self.subscribers {
            // One that left is no concern of the test.
            let _ = subscriber.send(event.clone());
        }
    }
}

async fn serve(stream: TcpStream, room: Arc<Mutex<Room>>, fault: Fault) {
    let Ok(socket) = tokio_tungstenite::accept_async(stream).await else {
        return;
    };
    let (mut sink, mut source) = socket.split();
    let (sender, mut queue) = unbounded_channel();
    let text = |value: Value| Message::text(value.to_string());
    let sid = "00000000-0000-4000-8000-000000000000";
    let _ = sender.send(text(json!({":connected": {"sid": sid}})));
    tokio::spawn(async move {
        while let Some(message) = queue.recv().await {
            if sink.send(message).await.is_err() {
                return;
            }
        }
        // The last sender is gone: the broker is dead.
        let _ = sink.close().await;
    });
    let mut own = Some(sender);
    while let Some(Ok(message)) = source.next().await {
        let Ok(said) = message.to_text().map(serde_json::from_str::<Value>) else {
            continue;
        };
        let said = said.unwrap_or_default();
        let mut room = room.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(channel) = said["subscribe"]["channel"].as_str() {
            if let Some(own) = own.take() {
                let _ = own.send(text(json!({":subscribed": {"channel": channel}})));
                room.subscribers.push(own);
            }
        } else if let Some(event) = said["broadcast"]["event"].as_str() {
            let mut data = said["broadcast"]["data"].clone();
            data["sid"] = sid.into();
            data["channel"] = said["broadcast"]["channel"].clone();
            room.broadcast(text(json!({ event: data })), fault);
        }
    }
}

/// The report of a short run, and the exit status.
fn run(fault: Fault) -> (Value, Option<i32>) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let listener = runtime
        .block_on(TcpListener::bind("127.0.0.1:0"))
        .expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let room = Arc::new(Mutex::new(Room::default()));
    runtime.spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, Arc::clone(&room), fault));
        }
    });
    let output = Command::new(env!("CARGO_BIN_EXE_loadgen"))
        .args(["--url", &format!("ws://127.0.0.1:{port}/any"), "--json"])
        .args(["--clients", "4", "--rate", "200", "--warmup", "50ms"])
        .args(["--duration", "1s", "--drain", "2s"])
        .output()
        .expect("it runs");
    let report = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
        panic!(
            "no report: {error}: {}",
            String::from_utf8_lossy(&output.stderr)
        )
    });
    (report, output.status.code())
}

/// Lost, duplicated, reordered.
fn counts(report: &Value) -> [u64; 3] {
    let count = |name: &str| report["deliveries"][name].as_u64().expect("a count");
    assert_eq!(
        count("expected"),
        count("delivered") + count("lost"),
        "{report}"
    );
    ["lost", "duplicated", "reordered"].map(count)
}

#[test]
fn a_good_broker_passes() {
    let (report, status) = run(Fault::None);
    assert_eq!(counts(&report), [0, 0, 0]);
    assert_eq!(status, Some(0), "{report}");
}

#[test]
fn what_is_lost_is_counted() {
    let (report, status) = run(Fault::Lost);
    let [lost, duplicated, reordered] = counts(&report);
    // Every tenth, at each of four clients.
    assert!(lost > 0 && lost % 4 == 0, "{report}");
    assert_eq!([duplicated, reordered], [0, 0], "{report}");
    assert_eq!(status, Some(1));
}

#[test]
fn what_comes_twice_is_counted() {
    let (report, status) = run(Fault::Doubled);
    let [lost, duplicated, reordered] = counts(&report);
    assert!(duplicated > 0 && duplicated % 4 == 0, "{report}");
    assert_eq!([lost, reordered], [0, 0], "{report}");
    assert_eq!(status, Some(1));
}

#[test]
fn what_comes_out_of_order_is_counted() {
    let (report, status) = run(Fault::Swapped);
    let [lost, duplicated, reordered] = counts(&report);
    assert!(reordered > 0 && reordered % 4 == 0, "{report}");
    // The last may have been held back for ever.
    assert!(lost <= 4, "{report}");
    assert_eq!(duplicated, 0, "{report}");
    assert_eq!(status, Some(1));
}

#[test]
fn a_broker_that_dies_fails_the_run() {
    let (report, status) = run(Fault::Dead);
    assert!(counts(&report)[0] > 0, "{report}");
    assert_eq!(report["connections"]["lost"], 4, "{report}");
    assert_eq!(status, Some(1));
}
