//! The broker as a server of the bench, and how its clients introduce themselves.

use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use tokio::runtime::Builder;
use webrocket::model::{ChannelName, Quotas, VhostPath};
use webrocket::server::{Config, Node};
use webrocket::wire::frame::{Opcode, write_client_frame};

use crate::machine;
use crate::peers::{Exchange, open};

/// Argument that makes this program a broker with so many channels besides `room`
/// and a cork of so many milliseconds.
pub(crate) const SERVE_FLAG: &str = "--broker";

const VHOST: &str = "/bench";

/// Where a broker is to be found.
pub(crate) struct Place {
    pub(crate) frontends: SocketAddr,
    backends: SocketAddr,
    token: String,
}

/// Is a broker with one shard until killed.
pub(crate) fn serve(channels: usize, cork_ms: u64) -> io::Result<()> {
    machine::pin_to_core(machine::SERVER_CORE)?;
    let storage = tempfile::tempdir()?;
    let mut quotas = unbounded();
    quotas.default.cork = Duration::from_millis(cork_ms);
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let node = Node::start(Config {
        websocket_addr: any,
        backend_addr: any,
        admin_addr: any,
        storage_dir: storage.path().into(),
        node_name: "bench".into(),
        shards: 1,
        quotas,
        drain_window: Duration::ZERO,
        tls: None,
    })
    .map_err(io::Error::other)?;
    let path = VhostPath::parse(VHOST).ok_or(io::ErrorKind::InvalidInput)?;
    let handle = node.handle();
    let names = std::iter::once("room".to_owned()).chain((0..channels).map(own_channel));
    let token = Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(async {
            let vhost = handle
                .create_vhost(path.clone())
                .await
                .map_err(io::Error::other)?;
            for name in names {
                let name = ChannelName::parse(&name).ok_or(io::ErrorKind::InvalidInput)?;
                handle
                    .open_channel(path.clone(), name)
                    .await
                    .map_err(io::Error::other)?;
            }
            Ok::<_, io::Error>(vhost.token)
        })?;
    println!(
        "{} {} {token}",
        node.websocket_addr().port(),
        node.backend_addr().port()
    );
    io::stdout().flush()?;
    loop {
        std::thread::park();
    }
}

/// The bench measures the broker, not what it holds back.
fn unbounded() -> Quotas {
    let mut quotas = Quotas {
        connections_per_address_max: u32::MAX,
        ..Quotas::default()
    };
    quotas.default.messages_per_second_max = u32::MAX;
    quotas.default.bytes_per_second_max = u32::MAX;
    quotas
}

impl Place {
    /// Reads what [`serve`] has printed.
    pub(crate) fn parse(line: &str) -> io::Result<Self> {
        let mut words = line.split_whitespace();
        let mut addr = || {
            let port = words.next()?.parse().ok()?;
            Some(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
        };
        let (frontends, backends) = (addr(), addr());
        match (frontends, backends, words.next()) {
            (Some(frontends), Some(backends), Some(token)) => Ok(Self {
                frontends,
                backends,
                token: token.to_owned(),
            }),
            _ => Err(io::ErrorKind::InvalidData.into()),
        }
    }

    /// A kept connection that publishes, and the packet for one event of a
    /// frame of `frame_bytes` in `room`.
    pub(crate) fn publisher(&self, frame_bytes: usize) -> io::Result<(TcpStream, Vec<u8>)> {
        let id = "0".repeat(36);
        let keep = format!("req:{VHOST}:{}:{id}\n\nKA\n\r\n\r\n", self.token);
        let exchange = Exchange {
            request: keep.into_bytes(),
            is_answered: |answer| answer == b"OK\n\n\r\n\r\n",
        };
        let stream = open(self.backends, &[exchange])?;
        let around = r#"{"said":{"d":"","channel":"room"}}"#.len() + 2;
        let data = "x".repeat(frame_bytes - around);
        let packet = format!("BC\nroom\nsaid\n{{\"d\":\"{data}\"}}\n\r\n\r\n");
        Ok((stream, packet.into_bytes()))
    }
}

/// The channel that a connection has for itself; all names are equally long.
pub(crate) fn own_channel(index: usize) -> String {
    format!("own-{index:05}")
}

/// Upgrades, and subscribes `channel`.
pub(crate) fn introduction(channel: &str) -> Vec<Exchange> {
    let upgrade = format!(
        "GET {VHOST} HTTP/1.1\r\nHost: bench\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    );
    let subscribe = format!(r#"{{"subscribe":{{"channel":"{channel}"}}}}"#);
    vec![
        Exchange {
            request: upgrade.into_bytes(),
            is_answered: |answer| answer.ends_with(b"\"}}"),
        },
        Exchange {
            request: client_frame(Opcode::Text, subscribe.as_bytes()),
            is_answered: |answer| answer.ends_with(b"\"}}"),
        },
    ]
}

/// A ping whose pong is a frame of `frame_bytes`.
pub(crate) fn ping(frame_bytes: usize) -> Vec<u8> {
    client_frame(Opcode::Ping, &vec![b'x'; frame_bytes - 2])
}

/// An event for one's own channel that comes back in a frame of `frame_bytes`.
pub(crate) fn own_event(index: usize, frame_bytes: usize) -> Vec<u8> {
    let channel = own_channel(index);
    let sid = "0".repeat(36);
    let around = format!(r#"{{"e":{{"d":"","sid":"{sid}","channel":"{channel}"}}}}"#).len() + 2;
    let data = "x".repeat(frame_bytes - around);
    let event =
        format!(r#"{{"broadcast":{{"channel":"{channel}","event":"e","data":{{"d":"{data}"}}}}}}"#);
    client_frame(Opcode::Text, event.as_bytes())
}

fn client_frame(opcode: Opcode, payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    write_client_frame(&mut frame, opcode, [1, 2, 3, 4], payload);
    frame
}
