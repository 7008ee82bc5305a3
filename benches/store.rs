//! What durability costs: changes through Kosmonaut on a store on disk and on
//! one in memory (a tmpfs), and the time that a start takes to read a store.
//!
//! `cargo bench --bench store`; `WEBROCKET_BENCH_DIR` names another place on a
//! disk than the temporary directory.

#![forbid(unsafe_code)]

use std::env;
use std::hint::black_box;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use futures_util::future::join_all;
use kosmonaut::Client;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use webrocket::control::{DiskStore, Record, Store};
use webrocket::model::{AccessToken, ChannelId, ChannelName, Quotas, VhostId, VhostPath};
use webrocket::server::{Config, Node};

/// Changes under way at once, each over a connection of its own: one connection
/// has its changes made one after the other.
const IN_FLIGHT: [usize; 3] = [1, 16, 256];

/// Channels of the store that a start reads; few where it only has to work.
fn channels() -> u64 {
    let measured = env::args().any(|arg| arg == "--bench");
    if measured { 100_000 } else { 1_000 }
}

/// Records of one commit while that store is filled.
const BATCH: usize = 4096;

fn places() -> [(&'static str, PathBuf); 2] {
    let disk = env::var_os("WEBROCKET_BENCH_DIR").map_or_else(env::temp_dir, PathBuf::from);
    [("disk", disk), ("memory", "/dev/shm".into())]
}

fn runtime() -> Runtime {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.expect("a runtime")
}

/// A change is acknowledged when the store has it and every shard knows it.
fn changes(criterion: &mut Criterion) {
    let runtime = runtime();
    for in_flight in IN_FLIGHT {
        let mut group = criterion.benchmark_group(format!("changes_{in_flight}_in_flight"));
        // Each is opened, then closed.
        group.throughput(Throughput::Elements(2 * in_flight as u64));
        for (place, dir) in places() {
            let (node, storage) = node(&dir);
            let url = runtime.block_on(url(&node));
            let clients = (0..in_flight).map(|number| {
                let client = Client::new(url.parse().expect("a URL"));
                (client, format!("c{number}"))
            });
            let clients: Vec<_> = clients.collect();
            group.bench_function(BenchmarkId::from_parameter(place), |bencher| {
                bencher.iter(|| {
                    runtime.block_on(async {
                        let changed = clients.iter().map(|(client, name)| async {
                            client.open_channel(name).await?;
                            client.close_channel(name).await
                        });
                        let changed = join_all(changed).await;
                        assert!(changed.iter().all(Result::is_ok));
                    });
                });
            });
            drop(clients);
            assert!(node.stop(std::time::Duration::from_secs(20)));
            drop(storage);
        }
        group.finish();
    }
}

fn node(dir: &Path) -> (Node, TempDir) {
    let storage = tempfile::tempdir_in(dir).expect("a directory");
    let any: SocketAddr = "127.0.0.1:0".parse().expect("an address");
    let node = Node::start(Config {
        websocket_addr: any,
        backend_addr: any,
        admin_addr: any,
        storage_dir: storage.path().into(),
        node_name: "bench".into(),
        shards: 1,
        quotas: Quotas::default(),
        drain_window: Duration::ZERO,
        tls: None,
    });
    (node.expect("started"), storage)
}

async fn url(node: &Node) -> String {
    let path = VhostPath::parse("/bench").expect("a path");
    let vhost = node.handle().create_vhost(path).await.expect("created");
    format!("wr://{}@{}/bench", vhost.token, node.backend_addr())
}

/// With every page checked, as at each start.
fn open(criterion: &mut Criterion) {
    let storage = tempfile::tempdir().expect("a directory");
    fill(storage.path());
    let mut group = criterion.benchmark_group("open");
    group.sample_size(10);
    group.throughput(Throughput::Elements(channels()));
    group.bench_function(BenchmarkId::from_parameter(channels()), |bencher| {
        bencher.iter(|| black_box(DiskStore::open(storage.path(), "bench").expect("opened")));
    });
    group.finish();
}

fn fill(storage: &Path) {
    let vhost = VhostId(0);
    let mut records = vec![Record::VhostAdded {
        vhost,
        path: VhostPath::parse("/bench").expect("a path"),
        token: AccessToken::from_random([1; 20]),
    }];
    records.extend((0..channels()).map(|number| Record::ChannelOpened {
        vhost,
        channel: ChannelId(number),
        name: ChannelName::parse(&format!("private-{number}")).expect("a name"),
    }));
    let mut store = DiskStore::open(storage, "bench").expect("made");
    for batch in records.chunks(BATCH) {
        let committed = runtime().block_on(store.commit(batch.to_vec()));
        committed.expect("committed");
    }
}

criterion_group!(benches, changes, open);
criterion_main!(benches);
