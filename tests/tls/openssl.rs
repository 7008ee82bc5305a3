//! The node as `openssl s_client` sees it.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use webrocket::meter::Refused;
use webrocket::server::TlsFiles;

use crate::authority::{Authority, Files, broker, broker_of, broker_with};
use crate::peer::{backend_addr, refused, websocket_addr};
use crate::support::Broker;
use crate::support::serve::lines;

const UPGRADE: &str = "GET /test HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n\
    Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    Sec-WebSocket-Version: 13\r\n\r\n";

/// Runs s_client, says `text`, waits for the line `answer`, or a header of that
/// name, in what comes back or for the end, and leaves. Gives all that was
/// printed. No part of a line will do: certificates are printed too, and what
/// they are spelt with says any two letters now and then.
fn s_client(addr: SocketAddr, flags: &[&str], text: &str, answer: &str) -> String {
    let mut child = start(addr, flags);
    let mut stdin = child.stdin.take().expect("piped");
    let said = lines(child.stdout.take().expect("piped"));
    // It may have ended by itself already.
    let _ = stdin.write_all(text.as_bytes());
    let header = format!("{answer}:");
    let mut all = String::new();
    let mut seen = false;
    while let Ok(line) = said.recv_timeout(crate::support::PATIENCE) {
        all += &line;
        all.push('\n');
        if !seen && (line == answer || line.starts_with(&header)) {
            seen = true;
            // A line that begins so ends it, with close_notify.
            let _ = stdin.write_all(b"Q\n");
        }
    }
    let mut errors = String::new();
    let mut stderr = child.stderr.take().expect("piped");
    stderr.read_to_string(&mut errors).expect("text");
    child.wait().expect("ended");
    all + &errors
}

fn start(addr: SocketAddr, flags: &[&str]) -> Child {
    Command::new("openssl")
        .args(["s_client", "-connect", &addr.to_string()])
        .args(flags)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("openssl is installed")
}

fn upgrade(broker: &Broker, flags: &[&str]) -> String {
    s_client(
        websocket_addr(broker),
        flags,
        UPGRADE,
        "Sec-WebSocket-Accept",
    )
}

fn text(path: &Path) -> &str {
    path.to_str().expect("text")
}

#[test]
fn versions_and_verification() {
    let files = Files::new();
    let broker = broker(1, &files);
    let ca = files.authority();
    for (flag, version) in [("-tls1_3", "TLSv1.3"), ("-tls1_2", "TLSv1.2")] {
        let flags = [
            flag,
            "-CAfile",
            text(&ca),
            "-servername",
            "localhost",
            "-verify_hostname",
            "localhost",
            "-verify_return_error",
        ];
        let told = upgrade(&broker, &flags);
        assert!(told.contains("101 Switching Protocols"), "{told}");
        assert!(told.contains(&format!("New, {version}")), "{told}");
        assert!(told.contains("Verify return code: 0 (ok)"), "{told}");
    }
    let old = upgrade(&broker, &["-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0"]);
    assert!(!old.contains("101 Switching"), "{old}");
    assert!(old.contains("alert"), "{old}");
    assert_eq!(refused(&broker, Refused::Tls), 1);
}

#[test]
fn the_name_picks_the_certificate() {
    let files = Files::new();
    let made = [
        files.certify("first", &["first.example"]),
        files.certify("shop", &["shop.example", "*.shop.example"]),
    ];
    let (certificates, keys) = made.into_iter().unzip();
    let broker = broker_of(
        1,
        TlsFiles {
            certificates,
            keys,
            backend_authorities: None,
        },
    );
    for (name, subject) in [
        ("first.example", "first.example"),
        ("shop.example", "shop.example"),
        ("eu.shop.example", "shop.example"),
        ("elsewhere.example", "first.example"),
    ] {
        let told = upgrade(&broker, &["-servername", name]);
        // Versions differ in their spaces.
        let subject = format!("subject=CN={subject}");
        assert!(
            told.replace(" = ", "=").contains(&subject),
            "{name}: {told}"
        );
    }
    let told = upgrade(&broker, &["-noservername"]);
    let told = told.replace(" = ", "=");
    assert!(told.contains("subject=CN=first.example"), "{told}");
}

#[test]
fn http_1_1_is_agreed_on_and_nothing_else() {
    let files = Files::new();
    let broker = broker(1, &files);
    let told = upgrade(&broker, &["-alpn", "h2,http/1.1"]);
    assert!(told.contains("ALPN protocol: http/1.1"), "{told}");
    let told = upgrade(&broker, &[]);
    assert!(told.contains("No ALPN negotiated"), "{told}");
    assert!(told.contains("101 Switching"), "{told}");
    let told = upgrade(&broker, &["-alpn", "h2"]);
    assert!(!told.contains("101 Switching"), "{told}");
    assert!(told.contains("no application protocol"), "{told}");
    assert_eq!(refused(&broker, Refused::Tls), 1);
}

#[test]
fn a_session_is_resumed_on_any_shard() {
    let files = Files::new();
    let broker = broker(2, &files);
    let session = files.path("session");
    for version in ["-tls1_3", "-tls1_2"] {
        let first = upgrade(&broker, &[version, "-sess_out", text(&session)]);
        assert!(first.contains("New, TLSv1."), "{first}");
        // Whichever of them takes the connection.
        for _ in 0..6 {
            let again = upgrade(&broker, &[version, "-sess_in", text(&session)]);
            assert!(again.contains("Reused, TLSv1."), "{again}");
            assert!(again.contains("101 Switching"), "{again}");
        }
    }
    // A ticket of a browser opens nothing for a backend: another key.
    let backend = s_client(
        backend_addr(&broker),
        &["-tls1_3", "-sess_in", text(&session)],
        "req:nobody\n\nKA\n\r\n\r\n",
        "ER",
    );
    assert!(backend.contains("New, TLSv1.3"), "{backend}");
}

#[test]
fn backends_bring_a_certificate() {
    let files = Files::new();
    let trusted = Authority::new("the backends' authority");
    let ca = files.write("backends.pem", &trusted.pem);
    let broker = broker_with(1, &files, Some(&ca));
    let good = trusted.certify(&["orders"]);
    let wrong = Authority::new("the backends' authority").certify(&["orders"]);
    let packet = broker.packet("req", &["KA"]);
    let packet = String::from_utf8(packet).expect("text");
    let flags = |name: &str, made: &crate::authority::Certified| {
        let chain = files.write(&format!("{name}.pem"), &made.chain);
        let key = files.write(&format!("{name}.key"), &made.key);
        [
            "-cert".into(),
            text(&chain).to_owned(),
            "-key".into(),
            text(&key).to_owned(),
        ]
    };
    let ask = |version: &str, flags: &[String]| {
        let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
        let flags = [&[version][..], &flags].concat();
        s_client(backend_addr(&broker), &flags, &packet, "OK")
    };
    for version in ["-tls1_3", "-tls1_2"] {
        let told = ask(version, &flags("good", &good));
        assert!(told.lines().any(|line| line == "OK"), "{told}");
        assert_eq!(refused(&broker, Refused::Tls), 0);
    }
    let mut count = 0;
    for version in ["-tls1_3", "-tls1_2"] {
        for flags in [Vec::new(), flags("wrong", &wrong).to_vec()] {
            let told = ask(version, &flags);
            assert!(!told.lines().any(|line| line == "OK"), "{told}");
            assert!(told.contains("alert"), "{told}");
            count += 1;
            assert_eq!(refused(&broker, Refused::Tls), count);
        }
    }
    // Browsers need none.
    assert!(upgrade(&broker, &[]).contains("101 Switching"));
}
