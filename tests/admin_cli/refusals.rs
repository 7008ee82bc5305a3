//! No node, or something else in its place.

use std::net::{SocketAddr, TcpListener};

use socket2::{Domain, Socket, Type};

use crate::fake::{COOKIE, Fake};
use crate::{admin_at, run, webrocket};

#[test]
fn nobody_listens() {
    // Bound and never listening: nobody else gets the port meanwhile.
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    let any: SocketAddr = "127.0.0.1:0".parse().expect("an address");
    socket.bind(&any.into()).expect("a port");
    let addr = socket.local_addr().expect("bound").as_socket();
    let addr = addr.expect("an address");
    let parts = ["cannot reach the server", &addr.to_string(), "refused"];
    run(&mut admin_at(addr, COOKIE, &["list-vhosts"])).fails_with(3, &parts);
    run(&mut admin_at(addr, COOKIE, &["list_vhosts"])).fails_with(1, &parts);
    let mut unknown = webrocket(&["admin", "list-vhosts", "--cookie", COOKIE]);
    unknown.args(["--admin-addr", "no-such-host.invalid:8082"]);
    run(&mut unknown).fails_with(3, &["cannot reach", "no-such-host.invalid:8082"]);
    for bad in [
        "8082",
        "host",
        "http://127.0.0.1:8082",
        "u@host:1",
        "host:0",
    ] {
        let mut command = webrocket(&["admin", "list-vhosts", "--admin-addr", bad]);
        run(&mut command).refuses_line("HOST:PORT");
    }
}

#[test]
fn somebody_listens_and_never_answers() {
    // The kernel takes the connection; nobody takes it from there.
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let addr = silent.local_addr().expect("bound");
    let parts = ["cannot reach the server", &addr.to_string(), "in time"];
    let line = ["list-vhosts", "--timeout", "1"];
    run(&mut admin_at(addr, COOKIE, &line)).fails_with(3, &parts);
    let mut command = admin_at(addr, COOKIE, &["list_vhosts"]);
    run(command.env("WEBROCKET_ADMIN_TIMEOUT", "1")).fails_with(1, &parts);
    for bad in ["0", "3601", "x"] {
        let line = ["list-vhosts", "--timeout", bad];
        run(&mut admin_at(addr, COOKIE, &line)).refuses_line("--timeout");
    }
    let fake = Fake::answering(&[(200, "", r#"{"vhosts":[]}"#)]);
    fake.admin(&["list-vhosts", "--timeout", "3600"]).prints("");
}

#[test]
fn something_else_listens() {
    let cases: &[&[u8]] = &[
        b"",
        b"\x00\x01\x02 no HTTP at all\r\n\r\n",
        b"ER\n400\n\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"vhosts\":[",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n{\"vhosts\":3}",
        b"HTTP/1.1 200 OK\r\nContent-Length: 15\r\n\r\n{\"vhosts\":[\xff\xff]}",
        b"HTTP/1.1 404 Not Found\r\nContent-Length: 9\r\n\r\nnot found",
        b"HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n",
    ];
    for answer in cases {
        let fake = Fake::raw(vec![answer.to_vec()]);
        let addr = fake.addr.to_string();
        fake.admin(&["list-vhosts"]).fails_with(3, &[&addr]);
    }
    for answer in ["hello", "{\"a\"", ""] {
        let fake = Fake::answering(&[(200, "", answer)]);
        let run = fake.admin(&["list-vhosts", "--json"]);
        if answer.is_empty() {
            run.prints("");
        } else {
            run.fails_with(3, &["no valid answer"]);
        }
    }
}

#[test]
fn the_nodes_words_cannot_steer_a_terminal() {
    let fake = Fake::answering(&[(400, "", r#"{"error":"a\u001b[2Jb\nc"}"#)]);
    fake.admin(&["add-vhost", "x"])
        .fails(1, "a\\u001b[2Jb\\u000ac");
}

#[test]
fn a_busy_node_is_told_as_it_says() {
    let fake = Fake::answering(&[(503, "", r#"{"error":"no answer in time"}"#)]);
    fake.admin(&["list-vhosts"]).fails(1, "no answer in time");
}

#[test]
fn the_cookie_follows_a_redirect_and_goes_nowhere_else() {
    let shown = r#"{"vhost":{"path":"/a/b","accessToken":"t","channels":{"size":0}}}"#;
    for location in ["/a%2Fb", "http://elsewhere.invalid:1/a%2Fb"] {
        let header = format!("Location: {location}\r\n");
        let fake = Fake::answering(&[(302, &header, ""), (200, "", shown)]);
        fake.admin(&["add-vhost", "a/b"]).prints("/a/b\nt\n");
        fake.was_asked("POST /a%2Fb");
        fake.was_asked("GET /a%2Fb");
        fake.was_asked_no_more();
    }
    // No proxy of the environment gets to see it.
    let fake = Fake::answering(&[(200, "", r#"{"vhosts":[]}"#)]);
    let mut command = admin_at(fake.addr, COOKIE, &["list-vhosts"]);
    for name in ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"] {
        command.env(name, "http://127.0.0.1:1");
    }
    run(&mut command).prints("");
    let round = [(302, "Location: /x\r\n", ""), (302, "Location: /x\r\n", "")];
    let fake = Fake::answering(&round);
    fake.admin(&["add-vhost", "x"])
        .fails_with(3, &["redirected twice"]);
}
