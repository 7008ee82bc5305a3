//! The broker as a server of the bench, and how its clients introduce themselves.

use std::error::Error;
use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::str::FromStr;
use std::thread;
use std::time::{Duration, Instant};

use tokio::runtime::Builder;
use webrocket::limits::DRAIN_TIMEOUT;
use webrocket::model::{ChannelName, Quotas, VhostPath};
use webrocket::server::{Config, Node, StartError};
use webrocket::wire::frame::{Opcode, write_client_frame};
use webrocket::wire::packet;

use crate::machine;
use crate::peers::{Exchange, open};

/// Argument that makes this program a broker, before what [`Shape`] prints.
pub(crate) const SERVE_FLAG: &str = "--broker";

/// What a broker is like.
#[derive(Clone, Copy)]
pub(crate) struct Shape {
    /// Channels besides `room`.
    pub(crate) channels: usize,
    pub(crate) shards: u16,
    /// Each shard on a core of its own, instead of all on the server's.
    pub(crate) spread: bool,
    /// Milliseconds for which what is published waits for more.
    pub(crate) cork_ms: u64,
    /// Over how many milliseconds it sends its frontends away when it stops.
    pub(crate) drain_ms: u64,
    /// Where frontends connect, as soon as that is free; 0 for any.
    pub(crate) port: u16,
}

impl Shape {
    /// One shard, on the server's core.
    pub(crate) fn of_one(channels: usize) -> Self {
        Self {
            channels,
            shards: 1,
            spread: false,
            cork_ms: 0,
            drain_ms: 0,
            port: 0,
        }
    }

    pub(crate) fn arguments(self) -> [String; 7] {
        let Self {
            channels,
            shards,
            spread,
            cork_ms,
            drain_ms,
            port,
        } = self;
        [
            SERVE_FLAG.to_owned(),
            channels.to_string(),
            shards.to_string(),
            spread.to_string(),
            cork_ms.to_string(),
            drain_ms.to_string(),
            port.to_string(),
        ]
    }

    /// Reads what [`Self::arguments`] has behind the flag.
    pub(crate) fn parse(arguments: [&str; 6]) -> io::Result<Self> {
        fn number<T: FromStr<Err: Into<Box<dyn Error + Send + Sync>>>>(
            text: &str,
        ) -> io::Result<T> {
            text.parse().map_err(io::Error::other)
        }
        let [channels, shards, spread, cork, drain, port] = arguments;
        Ok(Self {
            channels: number(channels)?,
            shards: number(shards)?,
            spread: number(spread)?,
            cork_ms: number(cork)?,
            drain_ms: number(drain)?,
            port: number(port)?,
        })
    }
}

pub(crate) const VHOST: &str = "/bench";

/// Until the one before has left its port.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where a broker is to be found.
pub(crate) struct Place {
    pub(crate) frontends: SocketAddr,
    pub(crate) backends: SocketAddr,
    token: String,
}

/// Is a broker until its input ends; then it stops in order.
pub(crate) fn serve(shape: Shape) -> io::Result<()> {
    if shape.spread {
        // Its shards pin themselves.
        machine::unpin()?;
    } else {
        machine::pin_to_core(machine::SERVER_CORE)?;
    }
    let storage = tempfile::tempdir()?;
    let mut quotas = unbounded();
    quotas.default.cork = Duration::from_millis(shape.cork_ms);
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let config = Config {
        websocket_addr: SocketAddr::from((Ipv4Addr::LOCALHOST, shape.port)),
        backend_addr: any,
        admin_addr: any,
        storage_dir: storage.path().into(),
        node_name: "bench".into(),
        shards: shape.shards,
        quotas,
        drain_window: Duration::from_millis(shape.drain_ms),
        tls: None,
    };
    let node = start(&config).map_err(io::Error::other)?;
    let path = VhostPath::parse(VHOST).ok_or(io::ErrorKind::InvalidInput)?;
    let handle = node.handle();
    let names = std::iter::once("room".to_owned()).chain((0..shape.channels).map(own_channel));
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
    io::copy(&mut io::stdin(), &mut io::sink())?;
    node.stop(DRAIN_TIMEOUT);
    Ok(())
}

/// Starts it as soon as its port is free.
fn start(config: &Config) -> Result<Node, StartError> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match Node::start(config.clone()) {
            Err(StartError::Bind { source, .. })
                if source.kind() == io::ErrorKind::AddrInUse && Instant::now() < deadline =>
            {
                thread::sleep(Duration::from_millis(1));
            }
            started => return started,
        }
    }
}

/// The bench measures the broker, not what it holds back.
fn unbounded() -> Quotas {
    let mut quotas = Quotas {
        connections_per_address_max: u32::MAX,
        ..Quotas::default()
    };
    quotas.default.messages_per_second_max = u32::MAX;
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
        let stream = open(self.backends, &[self.keep()])?;
        Ok((stream, broadcast("room", frame_bytes)))
    }

    /// Asks for a connection that stays.
    pub(crate) fn keep(&self) -> Exchange {
        Exchange {
            request: [&self.client(), &b"KA\n\r\n\r\n"[..]].concat(),
            is_answered: |answer| answer == packet::OK,
        }
    }

    /// What a client's first packet begins with.
    pub(crate) fn client(&self) -> Vec<u8> {
        self.identity("req", 0)
    }

    /// Makes the connection a worker's, the one of this number.
    pub(crate) fn work(&self, number: usize) -> Exchange {
        Exchange {
            request: [&self.identity("dlr", number), &b"RD\n\r\n\r\n"[..]].concat(),
            is_answered: |answer| answer == packet::HEARTBEAT,
        }
    }

    fn identity(&self, kind: &str, number: usize) -> Vec<u8> {
        format!("{kind}:{VHOST}:{}:{number:036}\n\n", self.token).into_bytes()
    }
}

/// A request for an event of a frame of `frame_bytes`.
pub(crate) fn broadcast(channel: &str, frame_bytes: usize) -> Vec<u8> {
    let around = format!(r#"{{"said":{{"d":"","channel":"{channel}"}}}}"#).len() + 2;
    let data = "x".repeat(frame_bytes - around);
    format!("BC\n{channel}\nsaid\n{{\"d\":\"{data}\"}}\n\r\n\r\n").into_bytes()
}

/// The channel that a connection has for itself; all names are equally long.
pub(crate) fn own_channel(index: usize) -> String {
    format!("own-{index:05}")
}

/// Upgrades, and subscribes `channel`.
pub(crate) fn introduction(channel: &str) -> Vec<Exchange> {
    vec![upgrade(), subscribe(channel)]
}

pub(crate) fn subscribe(channel: &str) -> Exchange {
    say(format!(r#"{{"subscribe":{{"channel":"{channel}"}}}}"#).as_bytes())
}

pub(crate) fn unsubscribe(channel: &str) -> Exchange {
    say(format!(r#"{{"unsubscribe":{{"channel":"{channel}"}}}}"#).as_bytes())
}

/// Becomes a frontend, past its `:connected`.
pub(crate) fn upgrade() -> Exchange {
    let request = format!(
        "GET {VHOST} HTTP/1.1\r\nHost: bench\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    );
    Exchange {
        request: request.into_bytes(),
        is_answered: |answer| answer.ends_with(b"\"}}"),
    }
}

/// An event that is answered with one.
pub(crate) fn say(event: &[u8]) -> Exchange {
    Exchange {
        request: client_frame(Opcode::Text, event),
        is_answered: |answer| answer.ends_with(b"}}"),
    }
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

pub(crate) fn client_frame(opcode: Opcode, payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    write_client_frame(&mut frame, opcode, [1, 2, 3, 4], payload);
    frame
}
