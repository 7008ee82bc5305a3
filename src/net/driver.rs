use std::io;
use std::marker::PhantomData;
use std::net::TcpListener;
use std::os::fd::{AsRawFd, RawFd};
use std::time::Duration;

use super::accept::Listeners;
use super::error::DriverError;
use super::ring::{Completion, Ring};
use super::socket::Socket;
use super::user_data::Operation;
use crate::limits::{
    COMPLETION_ENTRIES, COMPLETIONS_PER_TURN_MAX, CONNECTIONS_PER_SHARD_MAX, SUBMISSION_ENTRIES,
};
use crate::model::ConnId;
use crate::sys::EventFd;

pub(super) const READABLE: libc::c_int = (libc::POLLIN | libc::POLLRDHUP) as libc::c_int;
const HUNG_UP: libc::c_int = (libc::POLLRDHUP | libc::POLLHUP | libc::POLLERR) as libc::c_int;
const WRITABLE: libc::c_int = libc::POLLOUT as libc::c_int;

/// One ring and what it watches. Belongs to the thread that made it.
///
/// The order of calls, for each connection:
///
/// 1. [`Event::Accepted`] hands out a socket (or [`connect`](super::connect)
///    makes one). Give it a [`ConnId`] that no connection had before, and [`watch`](Self::watch) it.
/// 2. On [`Event::Readable`] call [`Socket::recv`] until it gives fewer bytes
///    than asked for, or `Empty`, `Ended` or `Failed`. **Readiness is an edge**: what is
///    left unread is not announced again until more arrives. Who stops early
///    (backpressure, a turn's bound) must remember to go on without an event.
///    From [`Event::HungUp`] on only `Ended` or `Failed` is the end: it may share
///    its edge with bytes before it, and then no other event tells of it.
/// 3. Where [`Socket::send`] is short or says `Full`, [`watch_writable`](Self::watch_writable)
///    once, and go on at [`Event::Writable`].
/// 4. [`unwatch`](Self::unwatch) takes the socket back and closes it. No event of
///    this connection comes out of a later [`poll`](Self::poll).
///
/// Everything takes effect with the next [`poll`](Self::poll).
pub struct Driver {
    ring: Ring,
    /// By slot: what a completion may be for, and the descriptor to poll anew
    /// when the kernel ends a poll by itself. The only memory that a watched
    /// connection takes here: eight bytes, none of its own.
    watched: Vec<Watched>,
    listeners: Listeners,
    wakeups: Option<EventFd>,
    /// The kernel takes submissions only from the thread that made the ring.
    _bound_to_thread: PhantomData<*const ()>,
}

#[derive(Clone, Copy)]
struct Watched {
    generation: u32,
    /// Negative: the slot is free.
    fd: RawFd,
}

const FREE: Watched = Watched {
    generation: 0,
    fd: -1,
};

/// What happened.
#[derive(Debug)]
pub enum Event {
    /// A connection came in; drop the socket to refuse it.
    Accepted {
        /// The tag given to [`Driver::listen`].
        listener: u8,
        /// The connection.
        socket: Socket,
    },
    /// A listener ran out of something (descriptors, memory) and pauses; the
    /// driver takes it up again by itself. Connections wait in the kernel.
    AcceptFailed {
        /// The tag given to [`Driver::listen`].
        listener: u8,
        /// `EMFILE`, `ENFILE`, `ENOBUFS`, `ENOMEM` and the like.
        error: io::Error,
    },
    /// Bytes wait at this connection.
    Readable(ConnId),
    /// The end or an error waits at this connection, maybe behind bytes.
    HungUp(ConnId),
    /// The connection takes bytes again, or has failed.
    Writable(ConnId),
    /// Another thread rang; its eventfd is cleared already.
    Woken,
}

impl Driver {
    /// A ring with nothing to watch, bound to this thread.
    ///
    /// # Errors
    /// A [`DriverError`] inside where the system offers no fitting io_uring;
    /// otherwise what `io_uring_setup(2)` says, `EMFILE` above all.
    pub fn new() -> io::Result<Self> {
        Self::with_entries(SUBMISSION_ENTRIES, COMPLETION_ENTRIES)
    }

    pub(super) fn with_entries(submissions: u32, completions: u32) -> io::Result<Self> {
        Ok(Self {
            ring: Ring::new(submissions, completions)?,
            watched: Vec::new(),
            listeners: Listeners::default(),
            wakeups: None,
            _bound_to_thread: PhantomData,
        })
    }

    /// Turns each ring of `event` into an [`Event::Woken`].
    ///
    /// # Errors
    /// [`DriverError::AlreadyWatching`]: one eventfd wakes a thread.
    pub fn watch_wakeups(&mut self, event: &EventFd) -> io::Result<()> {
        if self.wakeups.is_some() {
            return Err(DriverError::AlreadyWatching.into());
        }
        self.wakeups = Some(event.clone());
        self.arm_wakeups();
        Ok(())
    }

    /// Accepts connections of this listener, named `tag` in their events.
    ///
    /// # Errors
    /// [`DriverError::TooManyListeners`].
    pub fn listen(&mut self, listener: TcpListener, tag: u8) -> io::Result<()> {
        self.listeners.start(listener, tag, &mut self.ring)
    }

    /// Closes all listeners, and with them the connections that were not accepted.
    pub fn stop_listening(&mut self) {
        self.listeners.stop(&mut self.ring);
    }

    /// Announces when `socket` has something to read, from now on and until
    /// [`Self::unwatch`]; at once if it has already. The socket must not be
    /// closed in any other way.
    ///
    /// # Errors
    /// [`DriverError::TooManyConnections`] where the slot is past the bound.
    pub fn watch(&mut self, conn: ConnId, socket: &Socket) -> io::Result<()> {
        let slot = conn.slot as usize;
        if slot >= CONNECTIONS_PER_SHARD_MAX {
            return Err(DriverError::TooManyConnections.into());
        }
        if slot >= self.watched.len() {
            self.watched.resize(slot + 1, FREE);
        }
        let fd = socket.as_raw_fd();
        self.watched[slot] = Watched {
            generation: conn.generation,
            fd,
        };
        self.ring.poll_many(fd, READABLE, Operation::Read(conn));
        Ok(())
    }

    /// Announces once when the watched `socket` takes bytes. To be called
    /// again only after its [`Event::Writable`].
    ///
    /// # Errors
    /// [`DriverError::TooManyConnections`] where the slot is past the bound.
    pub fn watch_writable(&mut self, conn: ConnId, socket: &Socket) -> io::Result<()> {
        if conn.slot as usize >= CONNECTIONS_PER_SHARD_MAX {
            return Err(DriverError::TooManyConnections.into());
        }
        self.ring
            .poll_once(socket.as_raw_fd(), WRITABLE, Operation::Write(conn));
        Ok(())
    }

    /// Ends the watching and closes the socket: its FIN (or RST after
    /// [`Socket::reset_on_close`]) leaves with the next [`Self::poll`].
    /// `had_write_watch`: a [`Self::watch_writable`] has not been answered yet.
    pub fn unwatch(&mut self, conn: ConnId, socket: Socket, had_write_watch: bool) {
        // The polls hold the file open until they are cancelled, and only their
        // end closes it. Their `user_data` carries the generation, so neither
        // the slot nor the descriptor's number need to wait for that.
        if self.is_watched(conn) {
            self.watched[conn.slot as usize] = FREE;
            self.ring.cancel(Operation::Read(conn));
        }
        if had_write_watch {
            self.ring.cancel(Operation::Write(conn));
        }
        drop(socket);
    }

    /// Whether connections may wait at a listener that the last [`Self::poll`] had
    /// no room for; the next one does not wait.
    pub fn has_accepts(&self) -> bool {
        self.listeners.next_in() == Some(Duration::ZERO)
    }

    /// Submits, waits at most `timeout` (`None`: until something happens,
    /// zero: not at all) and appends at most [`COMPLETIONS_PER_TURN_MAX`] events,
    /// and the connections of a turn behind them.
    /// May return before the time without any.
    ///
    /// # Errors
    /// When the ring itself is broken; nothing of it works from then on.
    pub fn poll(&mut self, timeout: Option<Duration>, events: &mut Vec<Event>) -> io::Result<()> {
        let timeout = match (timeout, self.listeners.next_in()) {
            (Some(timeout), Some(accept)) => Some(timeout.min(accept)),
            (timeout, accept) => timeout.or(accept),
        };
        self.ring.wait(timeout)?;
        for _ in 0..COMPLETIONS_PER_TURN_MAX {
            let Some(completion) = self.ring.take_completion() else {
                break;
            };
            events.extend(self.handle_completion(&completion));
        }
        self.listeners.accept(events, &mut self.ring);
        Ok(())
    }

    fn handle_completion(&mut self, completion: &Completion) -> Option<Event> {
        match completion.operation {
            Operation::Cancel => None,
            Operation::Wakeup => self.handle_wakeup(completion.more),
            Operation::Accept(key) => {
                let &Completion { result, more, .. } = completion;
                self.listeners
                    .handle_ready(key, result, more, &mut self.ring)
            }
            Operation::Read(conn) => self.handle_readable(conn, completion),
            Operation::Write(conn) => self.is_watched(conn).then_some(Event::Writable(conn)),
        }
    }

    fn handle_wakeup(&mut self, more: bool) -> Option<Event> {
        self.wakeups.as_ref()?.clear();
        if !more {
            self.arm_wakeups();
        }
        Some(Event::Woken)
    }

    /// A poll that failed is taken for the end: the next `recv` shows what it is.
    fn handle_readable(&mut self, conn: ConnId, completion: &Completion) -> Option<Event> {
        if !self.is_watched(conn) {
            return None;
        }
        if !completion.more {
            // A full completion queue ends a poll; it goes on where it was.
            let fd = self.watched[conn.slot as usize].fd;
            self.ring.poll_many(fd, READABLE, Operation::Read(conn));
        }
        let hung_up = completion.result < 0 || completion.result & HUNG_UP != 0;
        Some(if hung_up {
            Event::HungUp(conn)
        } else {
            Event::Readable(conn)
        })
    }

    fn arm_wakeups(&mut self) {
        if let Some(event) = &self.wakeups {
            let fd = event.as_raw_fd();
            self.ring
                .poll_many(fd, libc::POLLIN.into(), Operation::Wakeup);
        }
    }

    fn is_watched(&self, conn: ConnId) -> bool {
        self.watched
            .get(conn.slot as usize)
            .is_some_and(|watched| watched.fd >= 0 && watched.generation == conn.generation)
    }
}
