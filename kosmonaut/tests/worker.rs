//! The worker against a scripted broker: registration, order, heartbeats,
//! reconnection and the graceful stop.

mod fake_server;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use fake_server::{FakeServer, HB, QT, error, hang_guard, trigger};
use kosmonaut::{Disconnect, Error, Event, Notice, Worker};
use tokio::sync::{Notify, Semaphore, mpsc, oneshot};

#[tokio::test]
async fn events_reach_their_handlers_in_order_wk_21() {
    let server = FakeServer::start().await;
    let (seen, mut events) = mpsc::unbounded_channel();
    let (named, other) = (seen.clone(), seen);
    let worker = Worker::new(server.url())
        .on("buy", move |event: Event| {
            let named = named.clone();
            async move {
                // Later ones must not overtake this one.
                tokio::task::yield_now().await;
                let _ = named.send(format!("buy {}", event.data().get()));
            }
        })
        .on_any(move |event: Event| {
            let other = other.clone();
            async move {
                let _ = other.send(format!("any {} {:?}", event.name, event.channel));
            }
        });
    let (stop, stopped) = oneshot::channel::<()>();
    let running = tokio::spawn(worker.run_until(stopped));
    let mut peer = server.accept_worker().await;
    let burst = [
        trigger(r#"{"buy":{"sid":"s","n":1}}"#),
        trigger(r#"{"sell":{"sid":"s","channel":"shop"}}"#),
        trigger(r#"{"buy":{"sid":"s","n":2}}"#),
    ];
    peer.send(&burst.concat()).await;
    let mut next = async || hang_guard(events.recv()).await.expect("an event");
    assert_eq!(next().await, r#"buy {"sid":"s","n":1}"#);
    assert_eq!(next().await, r#"any sell Some("shop")"#);
    assert_eq!(next().await, r#"buy {"sid":"s","n":2}"#);
    stop.send(()).expect("it runs");
    assert_eq!(peer.packet_between_heartbeats().await, ["QT"]);
    drop(peer);
    hang_guard(running).await.expect("no panic").expect("stops");
}

#[tokio::test]
async fn heartbeats_go_on_while_a_handler_is_busy_wk_09() {
    let server = FakeServer::start().await;
    let release = Arc::new(Notify::new());
    let (begun, mut busy) = mpsc::unbounded_channel();
    let held = Arc::clone(&release);
    let worker = Worker::new(server.url()).on_any(move |_| {
        let (held, begun) = (Arc::clone(&held), begun.clone());
        async move {
            let _ = begun.send(());
            held.notified().await;
        }
    });
    let running = tokio::spawn(worker.run());
    let mut peer = server.accept_worker().await;
    peer.send(&trigger(r#"{"slow":{"sid":"s"}}"#)).await;
    hang_guard(busy.recv()).await.expect("the handler runs");
    // The handler ends only after four beats have come.
    for _ in 0..4 {
        assert_eq!(peer.packet().await, ["HB"]);
        peer.send(HB).await;
    }
    release.notify_one();
    running.abort();
}

/// One event runs and 64 wait: the worker is full, and nothing waits in the socket.
#[tokio::test]
async fn a_full_worker_goes_on_beating_and_takes_no_offence_at_silence() {
    fill_worker(65).await;
}

#[tokio::test]
async fn what_a_full_worker_leaves_in_the_socket_is_not_lost() {
    fill_worker(100).await;
}

async fn fill_worker(events_sent: usize) {
    let server = FakeServer::start().await;
    let gate = Arc::new(Semaphore::new(0));
    let (seen, mut events) = mpsc::unbounded_channel();
    let held = Arc::clone(&gate);
    let worker = Worker::new(server.url()).on_any(move |event: Event| {
        let (held, seen) = (Arc::clone(&held), seen.clone());
        async move {
            let _permit = held.acquire().await;
            let _ = seen.send(event.name);
        }
    });
    let running = tokio::spawn(worker.run());
    let mut peer = server.accept_worker().await;
    for number in 0..events_sent {
        peer.send(&trigger(&format!(r#"{{"e{number}":{{"sid":"s"}}}}"#)))
            .await;
    }
    // Six beats are 3 s, longer than the silence a reading worker accepts; this
    // broker says nothing all the while.
    for _ in 0..6 {
        assert_eq!(peer.packet().await, ["HB"]);
    }
    gate.add_permits(events_sent);
    for number in 0..events_sent {
        let event = hang_guard(events.recv()).await.expect("none is lost");
        assert_eq!(event, format!("e{number}"));
    }
    // Still the same connection; at most one of the beats is an old one.
    for _ in 0..2 {
        assert_eq!(peer.packet().await, ["HB"]);
    }
    running.abort();
}

#[tokio::test]
async fn as_many_handlers_run_at_once_as_allowed() {
    let server = FakeServer::start().await;
    let barrier = Arc::new(tokio::sync::Barrier::new(3));
    let (seen, mut done) = mpsc::unbounded_channel();
    let worker = Worker::new(server.url()).concurrency(3).on_any(move |_| {
        let (barrier, seen) = (Arc::clone(&barrier), seen.clone());
        async move {
            // Passes only where three are here at the same time.
            barrier.wait().await;
            let _ = seen.send(());
        }
    });
    let running = tokio::spawn(worker.run());
    let mut peer = server.accept_worker().await;
    peer.send(&trigger(r#"{"e":{"sid":"s"}}"#).repeat(3)).await;
    for _ in 0..3 {
        hang_guard(done.recv()).await.expect("handled");
    }
    running.abort();
}

#[tokio::test]
async fn a_wrong_token_stops_the_worker_for_good_wk_02() {
    let server = FakeServer::start().await;
    let running = tokio::spawn(Worker::new(server.url()).run());
    let mut peer = server.accept().await;
    assert_eq!(peer.identified_packet("dlr").await, ["RD"]);
    peer.send(&error(402)).await;
    let ended = hang_guard(running).await.expect("no panic");
    assert!(matches!(ended, Err(Error::Unauthorized)));
}

#[tokio::test]
async fn a_lost_connection_is_opened_anew_under_a_fresh_id() {
    let server = FakeServer::start().await;
    let (tell, mut notices) = mpsc::unbounded_channel();
    let worker = Worker::new(server.url()).on_notice(move |notice| {
        let _ = tell.send(notice);
    });
    let running = tokio::spawn(worker.run());
    let mut ids = Vec::new();
    // Closed without a word, told to quit, refused with a code that may pass.
    for farewell in ["".to_owned(), QT.to_owned(), error(400)] {
        let mut peer = server.accept().await;
        ids.push(peer.packet().await.swap_remove(0));
        peer.send(HB).await;
        peer.send(&farewell).await;
    }
    // A broker that falls silent is left too.
    server.accept_worker().await.closed().await;
    server.accept_worker().await;
    ids.dedup();
    assert_eq!(ids.len(), 3);
    let mut causes = Vec::new();
    while causes.len() < 4 {
        match hang_guard(notices.recv()).await.expect("it runs") {
            Notice::Disconnected { cause, .. } => causes.push(cause),
            notice => assert!(matches!(notice, Notice::Ready)),
        }
    }
    assert!(matches!(
        causes[..],
        [
            Disconnect::Closed,
            Disconnect::Closed,
            Disconnect::Refused(400),
            Disconnect::Silent
        ]
    ));
    running.abort();
}

#[tokio::test]
async fn a_panicking_handler_does_not_end_the_worker() {
    let server = FakeServer::start().await;
    let (seen, mut events) = mpsc::unbounded_channel();
    let notices = seen.clone();
    let worker = Worker::new(server.url())
        .on("early", |_| -> std::future::Ready<()> {
            panic!("part of the test")
        })
        .on("late", |_| async { panic!("part of the test") })
        .on("good", move |_| {
            let seen = seen.clone();
            async move {
                let _ = seen.send("handled".to_owned());
            }
        })
        .on_notice(move |notice| {
            let _ = notices.send(match notice {
                Notice::HandlerPanicked { event } => event,
                notice => format!("{notice:?}"),
            });
        });
    let running = tokio::spawn(worker.run());
    let mut peer = server.accept_worker().await;
    for event in ["early", "late", "good"] {
        peer.send(&trigger(&format!(r#"{{"{event}":{{"sid":"s"}}}}"#)))
            .await;
    }
    peer.send(&trigger("no json")).await;
    let mut told = Vec::new();
    while told.len() < 5 {
        told.push(hang_guard(events.recv()).await.expect("it runs"));
    }
    told.sort();
    assert_eq!(
        told,
        ["Ready", "UnreadableTrigger", "early", "handled", "late"]
    );
    running.abort();
}

#[tokio::test]
async fn a_graceful_stop_handles_all_that_was_received() {
    let server = FakeServer::start().await;
    let gate = Arc::new(Semaphore::new(0));
    let handled = Arc::new(Mutex::new(Vec::new()));
    let (held, list) = (Arc::clone(&gate), Arc::clone(&handled));
    let worker = Worker::new(server.url()).on_any(move |event: Event| {
        let (held, list) = (Arc::clone(&held), Arc::clone(&list));
        async move {
            let _permit = held.acquire().await;
            list.lock().expect("not poisoned").push(event.name);
        }
    });
    let (stop, stopped) = oneshot::channel::<()>();
    let running = tokio::spawn(worker.run_until(stopped));
    let mut peer = server.accept_worker().await;
    peer.send(&trigger(r#"{"running":{"sid":"s"}}"#)).await;
    peer.send(&trigger(r#"{"waiting":{"sid":"s"}}"#)).await;
    stop.send(()).expect("it runs");
    assert_eq!(peer.packet_between_heartbeats().await, ["QT"]);
    // Dealt out before the broker saw the farewell.
    peer.send(&trigger(r#"{"on its way":{"sid":"s"}}"#)).await;
    drop(peer);
    assert!(!running.is_finished());
    gate.add_permits(3);
    hang_guard(running).await.expect("no panic").expect("stops");
    let handled = handled.lock().expect("not poisoned");
    assert_eq!(*handled, ["running", "waiting", "on its way"]);
}

#[tokio::test]
async fn a_stop_needs_no_broker() {
    let server = FakeServer::start().await;
    let url = server.url();
    drop(server);
    let (tell, mut notices) = mpsc::unbounded_channel();
    let (stop, stopped) = oneshot::channel::<()>();
    let worker = Worker::new(url).on_notice(move |notice| {
        let _ = tell.send(notice);
    });
    let running = tokio::spawn(worker.run_until(stopped));
    let notice = hang_guard(notices.recv()).await.expect("it runs");
    let Notice::Disconnected { cause, retry_in } = notice else {
        panic!("{notice:?}");
    };
    assert!(matches!(cause, Disconnect::Connect(_)));
    assert!(retry_in <= Duration::from_millis(100));
    stop.send(()).expect("it runs");
    hang_guard(running).await.expect("no panic").expect("stops");
}
