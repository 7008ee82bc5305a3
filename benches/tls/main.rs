//! What TLS costs a shard: CPU for a delivery, and for a connection from its
//! first packet to its upgrade, against plain in the same run.
//!
//! `cargo bench --bench tls`; `-- --samples 9` for other numbers. Without
//! `--bench` (as `cargo test --benches` runs it) everything is tiny and only has
//! to work.
//!
//! One node with one shard on core 0, the load on core 1. The kernel's own count
//! of the shard's CPU time is divided by what the shard has counted meanwhile.
//! Plain and TLS take turns, so that a ratio compares neighbours in time; medians
//! of ratios are printed, with the least and the most of them.

#![forbid(unsafe_code)]

mod peer;

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use peer::{Kind, Listener, Speaker};
use rustls::ClientConfig;
use webrocket::model::{ChannelName, Quotas, VhostPath};
use webrocket::server::{Config, Node, TlsConfig, TlsFiles};

struct Plan {
    samples: usize,
    listeners: usize,
    /// Frames of one phase.
    frames: usize,
    connections: usize,
}

fn main() -> io::Result<()> {
    let args: Vec<String> = std::env::args().collect();
    let given = |name: &str| {
        let at = args.iter().position(|arg| arg == name)?;
        args.get(at + 1)?.parse().ok()
    };
    let plan = if args.iter().any(|arg| arg == "--bench") {
        Plan {
            samples: given("--samples").unwrap_or(7),
            listeners: 200,
            frames: 300,
            connections: 300,
        }
    } else {
        Plan {
            samples: 1,
            listeners: 3,
            frames: 4,
            connections: 3,
        }
    };
    pin_to_core(1)?;
    let dir = tempfile::tempdir()?;
    let bench = Bench::start(dir.path())?;
    deliveries(&bench, &plan)?;
    connections(&bench, &plan)?;
    assert!(bench.node.stop(Duration::from_secs(20)), "drained");
    Ok(())
}

struct Bench {
    node: Node,
    full: Arc<ClientConfig>,
    resuming: Arc<ClientConfig>,
}

const CHANNELS: [(Kind, &str); 2] = [(Kind::Plain, "plain"), (Kind::Tls, "tls")];

impl Bench {
    fn start(dir: &Path) -> io::Result<Self> {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".into()]);
        let made = made.map_err(io::Error::other)?;
        let pem = made.cert.pem();
        let file = dir.join("node.pem");
        std::fs::write(&file, format!("{pem}{}", made.signing_key.serialize_pem()))?;
        let any = "127.0.0.1:0".parse().map_err(io::Error::other)?;
        let mut quotas = Quotas::default();
        quotas.default.messages_per_second_max = u32::MAX;
        quotas.default.bytes_per_second_max = u32::MAX;
        let node = Node::start(Config {
            websocket_addr: any,
            backend_addr: any,
            admin_addr: any,
            storage_dir: dir.join("storage"),
            node_name: "bench".into(),
            shards: 1,
            quotas,
            drain_window: Duration::ZERO,
            tls: Some(TlsConfig {
                websocket_addr: Some(any),
                backend_addr: None,
                files: TlsFiles {
                    certificates: vec![file],
                    ..TlsFiles::default()
                },
            }),
        })
        .map_err(io::Error::other)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let path = VhostPath::parse("/bench").ok_or(io::ErrorKind::InvalidInput)?;
        let handle = node.handle();
        let vhost = runtime.block_on(handle.create_vhost(path.clone()));
        vhost.map_err(io::Error::other)?;
        for (_, name) in CHANNELS {
            let name = ChannelName::parse(name).ok_or(io::ErrorKind::InvalidInput)?;
            let opened = runtime.block_on(handle.open_channel(path.clone(), name));
            opened.map_err(io::Error::other)?;
        }
        Ok(Self {
            full: peer::config(&pem, false)?,
            resuming: peer::config(&pem, true)?,
            node,
        })
    }

    /// Nanoseconds of CPU that the shard has had.
    fn cpu_ns(&self) -> io::Result<u64> {
        let thread = self.node.meters()[0].thread_id.value();
        let text = std::fs::read_to_string(format!("/proc/self/task/{thread}/schedstat"))?;
        let on_cpu = text.split(' ').next().and_then(|ns| ns.parse().ok());
        on_cpu.ok_or_else(|| io::ErrorKind::InvalidData.into())
    }

    fn delivered(&self) -> u64 {
        self.node.meters()[0].deliveries.count()
    }

    fn connect(&self, kind: Kind) -> io::Result<Listener> {
        let (addr, config) = match kind {
            Kind::Plain => return Listener::connect(self.node.websocket_addr(), None),
            Kind::Tls => (self.node.tls_websocket_addr(), &self.full),
            Kind::Resumed => (self.node.tls_websocket_addr(), &self.resuming),
        };
        let addr = addr.ok_or(io::ErrorKind::AddrNotAvailable)?;
        Listener::connect(addr, Some(config))
    }
}

fn deliveries(bench: &Bench, plan: &Plan) -> io::Result<()> {
    let mut listeners = Vec::new();
    for (kind, channel) in CHANNELS {
        for _ in 0..plan.listeners {
            let mut listener = bench.connect(kind)?;
            listener.subscribe(channel)?;
            listener.set_nonblocking()?;
            listeners.push(listener);
        }
    }
    let mut speaker = Speaker::connect(bench.node.websocket_addr())?;
    for (_, channel) in CHANNELS {
        speaker.subscribe(channel)?;
    }
    println!("load              subscribers  plain ns CPU   TLS over plain (least - most)");
    for (bytes, joined) in [(100, 1), (100, 20), (4_000, 1), (60_000, 1)] {
        let mut costs = [Vec::new(), Vec::new()];
        for _ in 0..plan.samples {
            for (at, (_, channel)) in CHANNELS.into_iter().enumerate() {
                let (began, before) = (bench.cpu_ns()?, bench.delivered());
                for _ in 0..plan.frames.div_ceil(joined) {
                    let aim = bench.delivered() + (joined * (plan.listeners + 1)) as u64;
                    speaker.broadcast(channel, bytes, joined)?;
                    while bench.delivered() < aim {
                        std::hint::spin_loop();
                    }
                    // What is queued for a full socket is part of the cost.
                    while bench.node.meters()[0].outbox_bytes.value() > 0 {
                        listeners.iter_mut().for_each(Listener::drain);
                        speaker.drain();
                    }
                    listeners.iter_mut().for_each(Listener::drain);
                    speaker.drain();
                }
                let count = bench.delivered() - before;
                costs[at].push((bench.cpu_ns()? - began) as f64 / count as f64);
            }
        }
        let label = format!("{bytes} bytes x {joined}");
        let [plain, tls] = costs;
        println!(
            "{label:17} {:11}  {:12.0}   {}",
            plan.listeners,
            median(&plain),
            ratio(&tls, &plain)
        );
    }
    Ok(())
}

fn connections(bench: &Bench, plan: &Plan) -> io::Result<()> {
    let kinds = [Kind::Plain, Kind::Tls, Kind::Resumed];
    let mut costs = [const { Vec::new() }; 3];
    // The first ticket.
    bench.connect(Kind::Resumed)?;
    for _ in 0..plan.samples {
        for (at, kind) in kinds.into_iter().enumerate() {
            let began = bench.cpu_ns()?;
            for _ in 0..plan.connections {
                let listener = bench.connect(kind)?;
                assert_eq!(listener.is_resumed(), kind == Kind::Resumed);
            }
            // The ends of the last ones.
            settle(bench)?;
            costs[at].push((bench.cpu_ns()? - began) as f64 / plan.connections as f64);
        }
    }
    println!("connection and upgrade     us CPU  a second on one core  over plain (least - most)");
    for (name, cost) in ["plain", "TLS 1.3, new", "TLS 1.3, resumed"]
        .iter()
        .zip(&costs)
    {
        let ns = median(cost);
        println!(
            "{name:24} {:8.0}  {:20.0}  {}",
            ns / 1e3,
            1e9 / ns,
            ratio(cost, &costs[0])
        );
    }
    Ok(())
}

/// Waits until the shard has nothing more to do.
fn settle(bench: &Bench) -> io::Result<()> {
    let began = Instant::now();
    let mut before = bench.cpu_ns()?;
    while began.elapsed() < Duration::from_secs(2) {
        std::thread::sleep(Duration::from_millis(20));
        let now = bench.cpu_ns()?;
        if now == before {
            break;
        }
        before = now;
    }
    Ok(())
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

fn ratio(values: &[f64], floor: &[f64]) -> String {
    let ratios: Vec<f64> = values.iter().zip(floor).map(|(a, b)| a / b).collect();
    let least = ratios.iter().copied().fold(f64::INFINITY, f64::min);
    let most = ratios.iter().copied().fold(0.0, f64::max);
    format!("{:.2} ({least:.2} - {most:.2})", median(&ratios))
}

/// Left as it is on a machine without that core.
fn pin_to_core(core: usize) -> io::Result<()> {
    let mut cores = rustix::thread::CpuSet::new();
    cores.set(core);
    match rustix::thread::sched_setaffinity(None, &cores) {
        Ok(()) | Err(rustix::io::Errno::INVAL) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
