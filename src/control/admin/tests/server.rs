//! Connections: how many, how long, how large a head. The clock is paused, so
//! that what takes its time is over at once.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use super::client::Admin;
use crate::limits::{
    ADMIN_CONNECTION_AGE_MAX, ADMIN_CONNECTIONS_MAX, ADMIN_HEAD_BYTES_MAX, ADMIN_HEAD_TIMEOUT,
};

/// The clock jumps to the next deadline whenever nothing else is to be done;
/// a socket may be a moment behind it.
const SLACK: Duration = Duration::from_secs(5);

/// Reads until one answer without a body is there; false at the end.
async fn answered(stream: &mut TcpStream) -> bool {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return false,
        }
    }
    head.starts_with(b"HTTP/1.1 ")
}

#[tokio::test(start_paused = true)]
async fn who_sends_no_request_is_closed_in_time() {
    let admin = Admin::start().await;
    admin.node.end_shards();
    for begun in ["", "GET / HTTP/1.1\r\nHost: x\r\n"] {
        let mut stream = TcpStream::connect(admin.address).await.expect("connected");
        stream.write_all(begun.as_bytes()).await.expect("written");
        let since = Instant::now();
        let mut rest = Vec::new();
        drop(stream.read_to_end(&mut rest).await);
        let waited = since.elapsed();
        let expected = ADMIN_HEAD_TIMEOUT - SLACK..ADMIN_HEAD_TIMEOUT + SLACK;
        assert!(expected.contains(&waited), "{begun:?}: {waited:?}");
    }
    admin.stop().await;
}

#[tokio::test(start_paused = true)]
async fn no_connection_lives_for_ever() {
    let admin = Admin::start().await;
    admin.node.end_shards();
    let mut stream = TcpStream::connect(admin.address).await.expect("connected");
    let since = Instant::now();
    let request = b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n";
    while stream.write_all(request).await.is_ok() && answered(&mut stream).await {
        sleep(ADMIN_HEAD_TIMEOUT / 3).await;
        assert!(
            since.elapsed() < 2 * ADMIN_CONNECTION_AGE_MAX,
            "still served"
        );
    }
    assert!(since.elapsed() >= ADMIN_CONNECTION_AGE_MAX - SLACK);
    admin.stop().await;
}

#[tokio::test]
async fn so_many_connections_and_no_more() {
    let admin = Admin::start().await;
    let mut connected = Vec::new();
    for _ in 0..ADMIN_CONNECTIONS_MAX {
        let mut stream = TcpStream::connect(admin.address).await.expect("connected");
        let request = b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n";
        stream.write_all(request).await.expect("written");
        assert!(answered(&mut stream).await);
        connected.push(stream);
    }
    let mut waiting = Box::pin(admin.ask("GET", "/"));
    let early = timeout(Duration::from_millis(50), &mut waiting).await;
    assert!(early.is_err(), "past the bound it waits in the kernel");
    drop(connected.pop());
    assert_eq!(waiting.as_mut().await.status, 200);
    drop((waiting, connected));
    admin.stop().await;
}

#[tokio::test]
async fn a_request_head_is_bounded() {
    let admin = Admin::start().await;
    let uid = "u".repeat(ADMIN_HEAD_BYTES_MAX / 2);
    let long = admin.ask("DELETE", &format!("/v/users/{uid}")).await;
    assert_eq!(
        (long.status, long.error().as_str()),
        (404, "vhost doesn't exist")
    );
    let uid = "u".repeat(ADMIN_HEAD_BYTES_MAX);
    let too_long = admin.ask("DELETE", &format!("/v/users/{uid}")).await;
    assert!(matches!(too_long.status, 414 | 431), "{}", too_long.status);
    admin.stop().await;
}

#[tokio::test]
async fn requests_that_were_begun_are_answered_at_the_end() {
    let admin = Admin::start().await;
    let mut stream = TcpStream::connect(admin.address).await.expect("connected");
    let head = format!(
        "POST /v HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nX-WebRocket-Cookie: {}\r\n\r\n",
        admin.cookie
    );
    stream.write_all(head.as_bytes()).await.expect("written");
    // Served only once its body is there.
    let mut idle = TcpStream::connect(admin.address).await.expect("connected");
    admin.ask("GET", "/").await;
    let handle = admin.node.handle.clone();
    let stopping = tokio::spawn(admin.stop_server());
    // An idle connection is closed at once, the other one waits for its answer.
    assert!(!answered(&mut idle).await);
    stream.write_all(b"x").await.expect("written");
    assert!(answered(&mut stream).await);
    assert_eq!(handle.vhosts().await.expect("listed").len(), 1);
    stopping.await.expect("no panic").stop().await;
}
