//! Readers that wait for no event: they go through all their sockets again and
//! again and throw away what is there. No poll of theirs is woken by the server,
//! and what is read costs the load's core so little that the server, not the load,
//! has most to do.

use std::io;
use std::thread;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};
use webrocket::net::Socket;

use crate::peers::{PATIENCE, send};

pub(crate) struct Sweep {
    sockets: Vec<Socket>,
    /// Bytes that each got in the last flood.
    taken: Vec<usize>,
    buffer: Vec<u8>,
}

/// Connections to send on while all are read.
pub(crate) struct Sockets<'a>(&'a [Socket]);

impl Sockets<'_> {
    pub(crate) fn send(&self, place: usize, bytes: &[u8]) -> io::Result<()> {
        send(&self.0[place], bytes)
    }
}

/// After a look at all of them that found nothing.
const REST: Duration = Duration::from_micros(20);

/// Bytes taken from a socket at once.
const BYTES_AT_ONCE: usize = 64 * 1024;

impl Sweep {
    pub(crate) fn new(sockets: Vec<Socket>) -> Self {
        Self {
            taken: vec![0; sockets.len()],
            sockets,
            buffer: vec![0; BYTES_AT_ONCE],
        }
    }

    /// Reads until so many bytes have come, with at most about `window` of them
    /// under way: `publish` sends something, on one of these connections or on
    /// another, and tells how many bytes come of it.
    pub(crate) fn flood(
        &mut self,
        bytes: usize,
        window: usize,
        mut publish: impl FnMut(&Sockets<'_>) -> io::Result<usize>,
    ) -> io::Result<()> {
        let (mut published, mut read) = (0, 0);
        let mut last = Instant::now();
        self.taken.fill(0);
        while read < bytes {
            while published < bytes && published.saturating_sub(read) < window {
                published += publish(&Sockets(&self.sockets))?;
            }
            let before = read;
            for (socket, taken) in self.sockets.iter().zip(&mut self.taken) {
                let count = take(socket, &mut self.buffer)?;
                *taken += count;
                read += count;
            }
            if read > before {
                last = Instant::now();
            } else if last.elapsed() > PATIENCE {
                return Err(io::ErrorKind::TimedOut.into());
            } else {
                // Who looks at a few sockets all the time keeps them locked.
                thread::sleep(REST);
            }
        }
        Ok(())
    }

    /// Bytes that each connection got in the last flood.
    pub(crate) fn taken(&self) -> &[usize] {
        &self.taken
    }
}

/// Takes what is there; to a TCP socket `TRUNC` says that nobody wants to see it.
fn take(socket: &Socket, buffer: &mut [u8]) -> io::Result<usize> {
    match recv(socket, buffer, RecvFlags::TRUNC | RecvFlags::DONTWAIT) {
        Ok((_, 0)) => Err(io::ErrorKind::UnexpectedEof.into()),
        Ok((_, count)) => Ok(count),
        Err(Errno::AGAIN | Errno::INTR) => Ok(0),
        Err(error) => Err(error.into()),
    }
}
