//! The load side: many connections to one server, whatever it is.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use socket2::SockRef;
use webrocket::model::ConnId;
use webrocket::net::{Driver, Event, Recv, Sent, Socket};

use crate::sweep::Sweep;

/// Silence after which a server is taken for broken.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
const BUFFER_BYTES: usize = 64 * 1024;

/// One step of a preamble: what to send, and when its answer is complete.
pub(crate) struct Exchange {
    pub(crate) request: Vec<u8>,
    pub(crate) is_answered: fn(&[u8]) -> bool,
}

/// Connects and makes its way through the preamble, such as an upgrade and a subscription.
pub(crate) fn open(addr: SocketAddr, preamble: &[Exchange]) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect(addr)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut buffer = [0; 4096];
    for Exchange {
        request,
        is_answered,
    } in preamble
    {
        stream.write_all(request)?;
        let mut answer = Vec::new();
        while !is_answered(&answer) {
            let count = match stream.read(&mut buffer) {
                // The end of an earlier ring of this thread may interrupt it.
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                read => read?,
            };
            if count == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            answer.extend_from_slice(&buffer[..count]);
        }
    }
    Ok(stream)
}

/// Both ends of a connection that leaves nothing behind when it ends: what lingers
/// for a minute would be missed in what is measured then.
pub(crate) fn pair(listener: &TcpListener) -> io::Result<[TcpStream; 2]> {
    let client = TcpStream::connect(listener.local_addr()?)?;
    SockRef::from(&client).set_linger(Some(Duration::ZERO))?;
    Ok([client, listener.accept()?.0])
}

/// Connections past their preamble.
pub(crate) struct Peers {
    driver: Driver,
    peers: Vec<Peer>,
    events: Vec<Event>,
    buffer: Vec<u8>,
}

struct Peer {
    socket: Socket,
    /// All bytes that came.
    taken: usize,
    /// Bytes of the answer that are still to come.
    missing: usize,
    requests_left: usize,
}

/// A connection that only sends, past its preamble. Its answers are thrown away.
pub(crate) struct Speaker {
    socket: Socket,
    buffer: Vec<u8>,
}

impl Speaker {
    pub(crate) fn open(addr: SocketAddr, preamble: &[Exchange]) -> io::Result<Self> {
        Ok(open(addr, preamble)?.into())
    }

    pub(crate) fn say(&mut self, bytes: &[u8]) -> io::Result<()> {
        while let Recv::Bytes(_) = self.socket.recv(&mut self.buffer) {}
        send(&self.socket, bytes)
    }
}

impl From<TcpStream> for Speaker {
    fn from(stream: TcpStream) -> Self {
        Self {
            socket: Socket::from(OwnedFd::from(stream)),
            buffer: vec![0; BUFFER_BYTES],
        }
    }
}

impl Peers {
    /// Opens `count` connections, each with its own preamble.
    pub(crate) fn connect(
        addr: SocketAddr,
        count: usize,
        preamble: impl Fn(usize) -> Vec<Exchange>,
    ) -> io::Result<Self> {
        let mut driver = Driver::new()?;
        let mut peers = Vec::with_capacity(count);
        for slot in 0..count {
            let socket = Socket::from(OwnedFd::from(open(addr, &preamble(slot))?));
            let conn = ConnId {
                slot: slot as u32,
                generation: 0,
            };
            driver.watch(conn, &socket)?;
            peers.push(Peer {
                socket,
                taken: 0,
                missing: 0,
                requests_left: 0,
            });
        }
        Ok(Self {
            driver,
            peers,
            events: Vec::new(),
            buffer: vec![0; BUFFER_BYTES],
        })
    }

    /// The same connections, watched by nobody.
    pub(crate) fn sweep(self) -> Sweep {
        Sweep::new(self.peers.into_iter().map(|peer| peer.socket).collect())
    }

    /// Reads until all connections together have got so many bytes.
    pub(crate) fn drain(&mut self, bytes: usize) -> io::Result<()> {
        self.drain_into(bytes, |_, _| {})
    }

    /// The same, and tells of each read from which byte of its connection to which it went.
    pub(crate) fn drain_into(
        &mut self,
        bytes: usize,
        mut see: impl FnMut(usize, usize),
    ) -> io::Result<()> {
        let mut left = bytes;
        self.forget_taken();
        while left > 0 {
            self.wait()?;
            for place in self.take_readable() {
                let count = self.read(place)?;
                left = left.checked_sub(count).ok_or(io::ErrorKind::InvalidData)?;
                let taken = self.peers[place].taken;
                see(taken - count, taken);
            }
        }
        Ok(())
    }

    fn forget_taken(&mut self) {
        self.peers.iter_mut().for_each(|peer| peer.taken = 0);
    }

    /// On every connection: sends its request, reads an answer of `answer_bytes`,
    /// and again, `count` times.
    pub(crate) fn request(
        &mut self,
        requests: &[Vec<u8>],
        answer_bytes: usize,
        count: usize,
    ) -> io::Result<()> {
        for (peer, request) in self.peers.iter_mut().zip(requests) {
            peer.missing = answer_bytes;
            peer.requests_left = count - 1;
            send(&peer.socket, request)?;
        }
        let mut busy = self.peers.len();
        while busy > 0 {
            self.wait()?;
            for place in self.take_readable() {
                let count = self.read(place)?;
                let peer = &mut self.peers[place];
                peer.missing = peer
                    .missing
                    .checked_sub(count)
                    .ok_or(io::ErrorKind::InvalidData)?;
                if peer.missing > 0 || count == 0 {
                    continue;
                }
                if peer.requests_left == 0 {
                    busy -= 1;
                    continue;
                }
                peer.requests_left -= 1;
                peer.missing = answer_bytes;
                send(&peer.socket, &requests[place])?;
            }
        }
        Ok(())
    }

    fn wait(&mut self) -> io::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while self.events.is_empty() {
            self.driver.poll(Some(PATIENCE), &mut self.events)?;
            if self.events.is_empty() && Instant::now() > deadline {
                return Err(io::ErrorKind::TimedOut.into());
            }
        }
        Ok(())
    }

    fn take_readable(&mut self) -> Vec<usize> {
        let readable = self.events.drain(..).filter_map(|event| match event {
            Event::Readable(conn) | Event::HungUp(conn) => Some(conn.slot as usize),
            _ => None,
        });
        readable.collect()
    }

    /// Bytes that were there, all of them.
    fn read(&mut self, place: usize) -> io::Result<usize> {
        let peer = &mut self.peers[place];
        let mut total = 0;
        loop {
            match peer.socket.recv(&mut self.buffer) {
                Recv::Bytes(count) => {
                    total += count;
                    peer.taken += count;
                    if count < self.buffer.len() {
                        return Ok(total);
                    }
                }
                Recv::Empty => return Ok(total),
                Recv::Ended => return Err(io::ErrorKind::UnexpectedEof.into()),
                Recv::Failed(error) => return Err(error),
            }
        }
    }
}

/// Sends all of it: what is under way always fits.
pub(crate) fn send(socket: &Socket, bytes: &[u8]) -> io::Result<()> {
    match socket.send(bytes) {
        Sent::Bytes(count) if count == bytes.len() => Ok(()),
        Sent::Bytes(_) | Sent::Full => Err(io::ErrorKind::WouldBlock.into()),
        Sent::Failed(error) => Err(error),
    }
}
