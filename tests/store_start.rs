//! Who comes while a node is still reading its store waits, and then finds all
//! that was stored.

mod support;

use std::net::{SocketAddr, TcpListener};
use std::thread;
use std::time::Instant;

use futures_util::future::join_all;
use kosmonaut::Client;
use support::serve::{Host, Serve};
use support::{Browser, PATIENCE, admin};
use webrocket::limits::REQUESTS_IN_FLIGHT_MAX;

/// Many enough that shards take more than a moment to learn them.
const CHANNELS: usize = 2000;

#[test]
fn who_comes_early_waits_and_finds_what_was_stored() {
    let host = Host::new();
    let mut node = host.start(&["--shards", "2"]);
    let cookie = node.cookie().to_owned();
    let token = fill(&node);
    for _ in 0..3 {
        node.kill();
        let [websocket, backend, admin] = free_addresses();
        let addresses = [websocket, backend, admin].map(|addr| addr.to_string());
        let [first, second, third] = &addresses;
        let flags = [
            "--shards",
            "2",
            "--websocket-addr",
            first,
            "--backend-addr",
            second,
            "--admin-addr",
            third,
        ];
        thread::scope(|scope| {
            scope.spawn(|| {
                wait_for(websocket);
                // Known to each shard, whichever took the connection.
                for _ in 0..4 {
                    let mut browser = Browser::connect(websocket, "/v");
                    browser.subscribe(&channel(CHANNELS - 1));
                }
            });
            scope.spawn(|| {
                wait_for(backend);
                let url = format!("wr://{token}@{backend}/v");
                let client = Client::with_timeout(url.parse().expect("a URL"), PATIENCE);
                block_on(client.close_channel(&channel(0))).expect("known");
                block_on(client.open_channel(&channel(0))).expect("opened");
            });
            scope.spawn(|| {
                wait_for(admin);
                let answer = admin::request(admin, &cookie, "GET", "/v").json();
                let size = answer["vhost"]["channels"]["size"].as_u64();
                // The backend may have one of them closed at the moment.
                assert!(size >= Some(CHANNELS as u64 - 1), "{answer}");
            });
            node = host.start(&flags);
        });
    }
}

/// Opens the channels; gives the vhost's access token.
fn fill(node: &Serve) -> String {
    node.admin("POST", "/v").expect_found("/v");
    let vhost = node.admin("GET", "/v").json();
    let token = vhost["vhost"]["accessToken"].as_str().expect("a token");
    let url = format!("wr://{token}@{}/v", node.backend_addr());
    let client = Client::with_timeout(url.parse().expect("a URL"), PATIENCE);
    let names: Vec<_> = (0..CHANNELS).map(channel).collect();
    block_on(async {
        // As many as one connection may have under way.
        for names in names.chunks(REQUESTS_IN_FLIGHT_MAX) {
            let opened = join_all(names.iter().map(|name| client.open_channel(name))).await;
            opened
                .into_iter()
                .for_each(|opened| opened.expect("opened"));
        }
    });
    token.to_owned()
}

fn channel(number: usize) -> String {
    format!("channel-{number}")
}

/// Addresses that nobody has, for the moment. Not those that connections are
/// made from: who tries again and again to reach a port at his own address that
/// nobody listens on meets himself there in the end, and holds the port.
fn free_addresses() -> [SocketAddr; 3] {
    let listeners = [(); 3].map(|()| TcpListener::bind("127.0.0.2:0").expect("a port"));
    listeners.map(|listener| listener.local_addr().expect("bound"))
}

fn wait_for(addr: SocketAddr) {
    let begun = Instant::now();
    while std::net::TcpStream::connect(addr).is_err() {
        assert!(begun.elapsed() < PATIENCE, "nobody listens");
        thread::yield_now();
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.expect("a runtime").block_on(future)
}
