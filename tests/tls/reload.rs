//! SIGHUP and the start: certificates as files that change.

use rustix::process::Signal;

use crate::authority::{Authority, Files};
use crate::peer::{Secured, over, tcp, trusting};
use crate::support::Browser;
use crate::support::admin::request_open;
use crate::support::serve::{Host, Serve};
use std::io::{Read, Write};

fn configure(host: &Host, files: &Files, more: &str) {
    let path = |name: &str| files.path(name).display().to_string();
    host.configure(&format!(
        "[listen]\nwebsocket_tls = \"127.0.0.1:0\"\nbackend_tls = \"127.0.0.1:0\"\n\
         [tls]\ncertificates = {:?}\nkeys = {:?}\n{more}",
        path("node.pem"),
        path("node.key"),
    ));
}

fn enter(node: &Serve, authority: &Authority) -> Browser<Secured> {
    let stream = over(tcp(node.tls_websocket_addr()), &trusting(authority, None));
    Browser::upgrade(stream, "wss://localhost/test")
}

#[test]
fn new_connections_get_the_new_certificate_and_old_ones_live_on() {
    let files = Files::new();
    files.certify("node", &["localhost"]);
    let host = Host::new();
    configure(&host, &files, "");
    let mut node = host.start(&["--shards", "2"]);
    node.expect_log(&["TLS certificates loaded", "localhost"]);
    node.admin("POST", "/test").expect_found("/test");
    let mut old = enter(&node, &files.authority);

    let renewed = Files::new();
    let made = renewed.authority.certify(&["localhost", "renewed.example"]);
    files.write("node.key", &made.key);
    files.write("node.pem", &made.chain);
    node.signal(Signal::HUP);
    node.expect_log(&["TLS certificates loaded", "renewed.example"]);
    node.expect_log(&["settings reloaded", "changes=0"]);
    let mut new = enter(&node, &renewed.authority);
    old.expect_nothing_before();
    new.expect_nothing_before();

    // A bad file changes nothing, settings beside it included.
    for (name, text, told) in [
        ("node.pem", "no PEM at all", "no certificate in it"),
        ("node.key", "", "no private key in it"),
        (
            "node.key",
            &*files.authority.certify(&["localhost"]).key,
            "keys may not be consistent: KeyMismatch",
        ),
    ] {
        configure(&host, &files, "[limits]\nsubscriptions = 7");
        files.write(name, text);
        node.signal(Signal::HUP);
        let path = files.path(name).display().to_string();
        node.expect_log(&[
            "ERROR",
            "certificates refused, the old ones and all settings stay",
            &path,
            told,
        ]);
        enter(&node, &renewed.authority).expect_nothing_before();
        files.write("node.key", &made.key);
        files.write("node.pem", &made.chain);
    }
    assert!(!node.logged().join("\n").contains("setting changed"));
    // Whole again, it is taken with the rest.
    node.signal(Signal::HUP);
    node.expect_log(&["setting changed", "limits.subscriptions", "new=7"]);
    old.expect_nothing_before();
    node.signal(Signal::TERM);
    drop((old, new));
    assert_eq!(node.end().0, 0);
}

#[test]
fn a_refused_backend_is_told_of_in_the_log() {
    let files = Files::new();
    files.certify("node", &["localhost"]);
    let trusted = Authority::new("backends");
    files.write("backends.pem", &trusted.pem);
    let host = Host::new();
    let ca = format!(
        "backend_ca = {:?}",
        files.path("backends.pem").display().to_string()
    );
    configure(&host, &files, &ca);
    let mut node = host.start(&["--shards", "1"]);
    let wrong = Authority::new("backends").certify(&["b"]);
    for (own, told) in [
        (None, "peer sent no certificates"),
        (Some(&wrong), "invalid peer certificate"),
    ] {
        let config = trusting(&files.authority, own);
        let mut stream = over(tcp(node.tls_backend_addr()), &config);
        let _ = stream.write_all(b"req:x\n\nKA\n\r\n\r\n");
        let mut answer = Vec::new();
        assert!(stream.read_to_end(&mut answer).is_err() && answer.is_empty());
        let line = node.expect_log(&["refused", "cause=\"tls\"", "listener=\"backend\"", told]);
        assert!(line.contains("peer=\"127.0.0.1:"), "{line}");
    }
    // Another authority from now on; tickets of before are worth nothing.
    files.write("backends.pem", &files.authority.pem);
    node.signal(Signal::HUP);
    node.expect_log(&["settings reloaded"]);
    let config = trusting(&files.authority, Some(&trusted.certify(&["b"])));
    let mut stream = over(tcp(node.tls_backend_addr()), &config);
    let _ = stream.write_all(b"req:x\n\nKA\n\r\n\r\n");
    assert!(stream.read_to_end(&mut Vec::new()).is_err());
    node.expect_log(&["refused", "invalid peer certificate"]);
    let metrics = request_open(node.admin_addr(), "/metrics").body;
    assert!(metrics.contains("cause=\"tls\"} 3"), "{metrics}");
    node.stop();
}

#[test]
fn files_that_can_not_be_used_stop_the_start_and_the_check() {
    let files = Files::new();
    files.certify("node", &["localhost"]);
    let host = Host::new();
    configure(&host, &files, "");
    let output = host.run(&["--check", "--storage-dir", "/tmp"]);
    assert!(output.status.success(), "{output:?}");
    std::fs::remove_file(files.path("node.key")).expect("removed");
    let path = files.path("node.key").display().to_string();
    let (code, lines) = host.refusal(&[]);
    assert_eq!(code, 1, "{lines:?}");
    let told = lines.join("\n");
    assert!(
        told.contains(&path) && told.contains("No such file"),
        "{told}"
    );
    let output = host.run(&["--check"]);
    assert!(!output.status.success());
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        told.contains(&path) && told.contains("No such file"),
        "{told}"
    );
    // As many certificates as a node may have, and one more.
    let made = files.authority.certify(&["localhost"]);
    let both = files.write("both.pem", &format!("{}{}", made.chain, made.key));
    let many = |count: usize| webrocket::server::TlsFiles {
        certificates: vec![both.clone(); count],
        ..Default::default()
    };
    let max = webrocket::limits::TLS_CERTIFICATES_MAX;
    assert!(many(max).load().is_ok());
    let error = many(max + 1).load().map(|_| ()).expect_err("refused");
    assert!(
        error
            .to_string()
            .starts_with("1025 certificates and 0 keys")
    );
    // A file past its bound, and one at it.
    let made = files.authority.certify(&["localhost"]);
    files.write("node.key", &made.key);
    let max = webrocket::limits::TLS_FILE_BYTES_MAX;
    let padded = |bytes: usize| {
        let pad = "\n".repeat(bytes - made.chain.len());
        format!("{pad}{}", made.chain)
    };
    files.write("node.pem", &padded(max));
    assert!(host.run(&["--check"]).status.success());
    files.write("node.pem", &padded(max + 1));
    let output = host.run(&["--check"]);
    assert!(!output.status.success());
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(told.contains("1048576 bytes"), "{told}");
}
