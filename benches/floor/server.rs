//! The servers to compare, each in a process of its own.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};

use webrocket::net::{Recv, Sent, Socket, bind_all};

use crate::broker::{Place, Shape};
use crate::{epoll_server, machine, ring_server};

/// Argument that makes this program a server.
pub(crate) const SERVE_FLAG: &str = "--serve";

/// First byte of a connection to a fan-out server: it takes frames. Answered with itself.
pub(crate) const SUBSCRIBE: u8 = b'S';

/// First byte of a connection whose frames go to all that subscribed. Answered with itself.
pub(crate) const PUBLISH: u8 = b'P';

/// Larger than all that a peer has under way.
const BUFFER_BYTES: usize = 64 * 1024;

/// What waits for the sockets.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reactor {
    /// Level-triggered epoll: the floor.
    Epoll,
    /// The broker's own driver.
    Ring,
}

/// What a server does.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// Sends back what comes.
    Echo,
    /// Sends what the publisher says to every subscriber.
    Fanout,
}

impl Reactor {
    /// The floor first.
    pub(crate) const ALL: [Self; 2] = [Self::Epoll, Self::Ring];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Epoll => "epoll loop",
            Self::Ring => "net driver",
        }
    }

    pub(crate) fn parse(name: &str) -> io::Result<Self> {
        let found = Self::ALL.into_iter().find(|reactor| reactor.name() == name);
        found.ok_or_else(|| io::ErrorKind::InvalidInput.into())
    }
}

impl Role {
    fn name(self) -> &'static str {
        match self {
            Self::Echo => "echo",
            Self::Fanout => "fanout",
        }
    }

    pub(crate) fn parse(name: &str) -> io::Result<Self> {
        let found = [Self::Echo, Self::Fanout]
            .into_iter()
            .find(|role| role.name() == name);
        found.ok_or_else(|| io::ErrorKind::InvalidInput.into())
    }
}

/// A running server; ends with this value.
pub(crate) struct Server {
    child: Child,
    pub(crate) addr: SocketAddr,
}

impl Server {
    /// Anonymous memory of its own, in bytes.
    pub(crate) fn private_bytes(&self) -> io::Result<u64> {
        machine::private_bytes(self.child.id())
    }

    /// Tells a broker to stop in order, and does not wait for that.
    pub(crate) fn stop_in_order(&mut self) -> io::Result<()> {
        // The end of its input tells it.
        let stdin = self.child.stdin.take();
        stdin
            .map(drop)
            .ok_or_else(|| io::ErrorKind::BrokenPipe.into())
    }

    pub(crate) fn cpu_ns(&self) -> io::Result<u64> {
        machine::cpu_ns(self.child.id())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Fails only when it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts a server of this program.
pub(crate) fn start(reactor: Reactor, role: Role) -> io::Result<Server> {
    let (mut server, line) = spawn(&[SERVE_FLAG, reactor.name(), role.name()])?;
    let port = line.trim().parse().map_err(io::Error::other)?;
    server.addr.set_port(port);
    Ok(server)
}

/// Starts a broker.
pub(crate) fn start_broker(shape: Shape) -> io::Result<(Server, Place)> {
    let (mut server, line) = spawn(&shape.arguments().each_ref().map(String::as_str))?;
    let place = Place::parse(&line)?;
    server.addr = place.frontends;
    Ok((server, place))
}

/// This program with these arguments, and the first line that it says.
fn spawn(arguments: &[&str]) -> io::Result<(Server, String)> {
    let child = Command::new(std::env::current_exe()?)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let mut server = Server { child, addr };
    let stdout = server
        .child
        .stdout
        .take()
        .ok_or(io::ErrorKind::BrokenPipe)?;
    let mut line = String::new();
    BufReader::new(stdout).read_line(&mut line)?;
    Ok((server, line))
}

/// Is a server until killed.
pub(crate) fn serve(reactor: Reactor, role: Role) -> io::Result<()> {
    machine::pin_to_core(machine::SERVER_CORE)?;
    let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let listener: TcpListener = bind_all(addr, 1)?.remove(0);
    println!("{}", listener.local_addr()?.port());
    io::stdout().flush()?;
    let service = Service::new(role);
    match reactor {
        Reactor::Epoll => epoll_server::run(&listener, service),
        Reactor::Ring => ring_server::run(listener, service),
    }
}

/// The work itself, the same whatever waits for it.
pub(crate) struct Service {
    role: Role,
    sockets: Vec<Option<Socket>>,
    subscribers: Vec<usize>,
    publisher: Option<usize>,
    buffer: Vec<u8>,
}

impl Service {
    fn new(role: Role) -> Self {
        Self {
            role,
            sockets: Vec::new(),
            subscribers: Vec::new(),
            publisher: None,
            buffer: vec![0; BUFFER_BYTES],
        }
    }

    /// Keeps a connection; tells its place, which is never used again.
    pub(crate) fn add(&mut self, socket: Socket) -> io::Result<usize> {
        socket.tune()?;
        self.sockets.push(Some(socket));
        Ok(self.sockets.len() - 1)
    }

    pub(crate) fn socket(&self, place: usize) -> Option<&Socket> {
        self.sockets.get(place)?.as_ref()
    }

    /// Reads once and does what is to be done. Gives the socket of a connection that ended.
    pub(crate) fn handle_readable(&mut self, place: usize) -> Option<Socket> {
        let socket = self.sockets.get(place)?.as_ref()?;
        match socket.recv(&mut self.buffer) {
            Recv::Bytes(count) => self.handle_bytes(place, count),
            Recv::Empty => return None,
            Recv::Ended | Recv::Failed(_) => return self.sockets[place].take(),
        }
        None
    }

    fn handle_bytes(&mut self, place: usize, count: usize) {
        let bytes = &self.buffer[..count];
        if self.role == Role::Fanout {
            if self.publisher == Some(place) {
                for &subscriber in &self.subscribers {
                    send(&self.sockets[subscriber], bytes);
                }
                return;
            }
            match bytes[0] {
                SUBSCRIBE => self.subscribers.push(place),
                _ => self.publisher = Some(place),
            }
        }
        send(&self.sockets[place], bytes);
    }
}

/// A frame that does not fit is lost, and the load side, which counts, waits
/// for it in vain: at a light load every frame fits.
fn send(socket: &Option<Socket>, bytes: &[u8]) {
    if let Some(socket) = socket {
        let sent = socket.send(bytes);
        debug_assert!(!matches!(sent, Sent::Full), "the load is not light");
    }
}
