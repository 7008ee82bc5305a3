//! The program `kosmonaut`: output, exit codes, signals.
#![cfg(feature = "cli")]

mod fake_server;

use std::process::{Output, Stdio};

use fake_server::{FakeServer, OK, Peer, TOKEN, error, hang_guard, trigger};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::Command;

fn kosmonaut(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kosmonaut"));
    command
        .args(arguments)
        .stdin(Stdio::null())
        .kill_on_drop(true);
    command
}

async fn run(arguments: &[&str]) -> Output {
    hang_guard(kosmonaut(arguments).output())
        .await
        .expect("starts")
}

fn text(bytes: &[u8]) -> &str {
    str::from_utf8(bytes).expect("text")
}

/// Answers one request over a kept connection; gives its frames.
async fn answer(server: &FakeServer, answer: &str) -> Vec<String> {
    let mut peer: Peer = server.accept_kept().await;
    let packet = peer.packet().await;
    peer.send(answer).await;
    packet
}

#[tokio::test]
async fn done_is_0() {
    let server = FakeServer::start().await;
    let url = server.url_text();
    for (arguments, request) in [
        (&["open", &url, "news"][..], &["OC", "news"][..]),
        (&["close", &url, "news"], &["CC", "news"]),
        (
            &["broadcast", &url, "news", "flash", "{\"a\": 1.50}"],
            &["BC", "news", "flash", "{\"a\": 1.50}"],
        ),
        (
            &["broadcast", &url, "news", "flash"],
            &["BC", "news", "flash", "{}"],
        ),
    ] {
        let (output, packet) = tokio::join!(run(arguments), answer(&server, OK));
        assert_eq!(packet, request);
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        assert!(output.stdout.is_empty() && output.stderr.is_empty());
    }
}

#[tokio::test]
async fn token_is_printed() {
    let server = FakeServer::start().await;
    let url = server.url_text();
    let arguments = ["token", &url, "joe", ".*"];
    let (output, packet) = tokio::join!(run(&arguments), answer(&server, "AT\nfeed42\n\r\n\r\n"));
    assert_eq!(packet, ["AT", "joe", ".*"]);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(text(&output.stdout), "feed42\n");
}

#[tokio::test]
async fn payload_comes_from_stdin() {
    let server = FakeServer::start().await;
    let url = server.url_text();
    let call = async {
        let mut child = kosmonaut(&["broadcast", &url, "news", "flash", "-"])
            .stdin(Stdio::piped())
            .spawn()
            .expect("starts");
        let mut stdin = child.stdin.take().expect("piped");
        stdin.write_all(b"{\n\"a\": 1\n}\n").await.expect("reads");
        drop(stdin);
        hang_guard(child.wait()).await.expect("ends")
    };
    let (status, packet) = tokio::join!(call, answer(&server, OK));
    assert_eq!(packet, ["BC", "news", "flash", "{ \"a\": 1 }"]);
    assert_eq!(status.code(), Some(0));
}

#[tokio::test]
async fn refused_is_1_with_code_and_reason() {
    let server = FakeServer::start().await;
    let url = server.url_text();
    let (arguments, refusal) = (["close", &url, "news"], error(454));
    let (output, _) = tokio::join!(run(&arguments), answer(&server, &refusal));
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(text(&output.stderr), "kosmonaut: channel not found (454)\n");
}

#[tokio::test]
async fn wrong_usage_is_2_and_never_shows_the_token() {
    let wrong_url = format!("wr://{TOKEN}@host:port/v");
    let url = format!("wr://{TOKEN}@127.0.0.1:1/v");
    for (arguments, reason) in [
        (&["open", "http://x", "news"][..], "wr://"),
        (&["open", &wrong_url, "news"], "port"),
        (&["open", &url], "<CHANNEL>"),
        (&["fly", &url], "fly"),
        (&["broadcast", &url, "a", "b", "{"], "JSON"),
        (&["broadcast", &url, "a", "b", "[]"], "JSON object"),
    ] {
        let output = run(arguments).await;
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        let stderr = text(&output.stderr);
        assert!(stderr.contains(reason), "{stderr}");
        assert!(!stderr.contains(TOKEN), "{stderr}");
    }
}

#[tokio::test]
async fn cannot_connect_is_3() {
    let server = FakeServer::start().await;
    let url = server.url_text();
    drop(server);
    let output = run(&["open", &url, "news"]).await;
    assert_eq!(output.status.code(), Some(3));
    let stderr = text(&output.stderr);
    assert!(
        stderr.starts_with("kosmonaut: cannot connect: "),
        "{stderr}"
    );
}

#[tokio::test]
async fn help_lists_the_exit_codes() {
    let output = run(&["--help"]).await;
    assert_eq!(output.status.code(), Some(0));
    for code in ["0  done", "1  the broker refused", "2  wrong", "3  cannot"] {
        assert!(text(&output.stdout).contains(code), "{code}");
    }
}

#[tokio::test]
async fn listen_prints_a_line_per_trigger_and_quits_on_signals() {
    for signal in ["-TERM", "-INT"] {
        let server = FakeServer::start().await;
        let url = server.url_text();
        let mut child = kosmonaut(&["listen", &url, "--event", "buy"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("starts");
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let mut notes = BufReader::new(child.stderr.take().expect("piped")).lines();
        let mut peer = server.accept_worker().await;
        let note = hang_guard(notes.next_line()).await.expect("text");
        let address = url.replace(&format!("{TOKEN}@"), "");
        assert_eq!(note, Some(format!("kosmonaut: listening on {address}")));
        peer.send(&trigger(r#"{"sell":{"sid":"s"}}"#)).await;
        peer.send(&trigger(r#"{"buy":{"sid":"s","n":1.50}}"#)).await;
        let line = hang_guard(lines.next_line()).await.expect("text");
        let expected = r#"{"event":"buy","data":{"sid":"s","n":1.50}}"#;
        assert_eq!(line.as_deref(), Some(expected));
        let id = child.id().expect("runs").to_string();
        let sent = Command::new("kill").args([signal, &id]).status().await;
        assert!(sent.expect("kill runs").success());
        assert_eq!(peer.packet_between_heartbeats().await, ["QT"]);
        drop(peer);
        let status = hang_guard(child.wait()).await.expect("ends");
        assert_eq!(status.code(), Some(0));
    }
}

#[tokio::test]
async fn listen_stops_with_1_on_a_wrong_token() {
    let server = FakeServer::start().await;
    let url = server.url_text();
    let script = async {
        let mut peer = server.accept().await;
        peer.packet().await;
        peer.send(&error(402)).await;
    };
    let arguments = ["listen", url.as_str()];
    let (output, ()) = tokio::join!(run(&arguments), script);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("402"));
}
