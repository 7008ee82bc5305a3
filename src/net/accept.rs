#![forbid(unsafe_code)]

use std::io;
use std::net::TcpListener;
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use rustix::net::{SocketFlags, accept_with};

use super::driver::{Event, READABLE};
use super::error::DriverError;
use super::ring::Ring;
use super::socket::Socket;
use super::user_data::{ListenerKey, Operation};
use crate::limits::{
    ACCEPT_PAUSE_MAX, ACCEPT_PAUSE_MIN, ACCEPTS_PER_TURN_MAX, LISTENERS_PER_SHARD_MAX,
};

/// The listeners of one driver. The ring tells when connections wait, and they are
/// accepted here, a bounded number a turn: a multishot accept would take in all
/// that wait in one go, and whoever is in already would wait for that
/// (docs/decisions/0022).
#[derive(Default)]
pub(super) struct Listeners {
    listeners: Vec<Listener>,
    epoch: u32,
    /// Listeners that may have connections waiting, or that pause; without one
    /// nobody looks further.
    open: usize,
}

struct Listener {
    socket: TcpListener,
    tag: u8,
    /// The next pause.
    pause: Duration,
    state: State,
    /// Whether the ring tells of it; else it is asked again after a pause.
    is_polled: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// The ring tells when a connection waits.
    Quiet,
    /// Connections may wait: readiness is an edge, it is not told again.
    Ready,
    /// Ran out of descriptors or memory.
    Paused { until: Instant },
}

impl Listeners {
    pub(super) fn start(
        &mut self,
        socket: TcpListener,
        tag: u8,
        ring: &mut Ring,
    ) -> io::Result<()> {
        if self.listeners.len() >= LISTENERS_PER_SHARD_MAX {
            return Err(DriverError::TooManyListeners.into());
        }
        socket.set_nonblocking(true)?;
        self.listeners.push(Listener {
            socket,
            tag,
            pause: ACCEPT_PAUSE_MIN,
            state: State::Quiet,
            is_polled: false,
        });
        self.arm(self.listeners.len() - 1, ring);
        Ok(())
    }

    pub(super) fn stop(&mut self, ring: &mut Ring) {
        for place in 0..self.listeners.len() {
            ring.cancel(Operation::Accept(self.key(place)));
        }
        self.listeners.clear();
        self.open = 0;
        self.epoch = self.epoch.wrapping_add(1);
    }

    /// Connections wait at this listener, or its poll has failed.
    pub(super) fn handle_ready(
        &mut self,
        key: ListenerKey,
        result: i32,
        more: bool,
        ring: &mut Ring,
    ) -> Option<Event> {
        let place = usize::from(key.place);
        if key.epoch != self.epoch {
            return None;
        }
        let listener = self.listeners.get_mut(place)?;
        self.open += usize::from(listener.state == State::Quiet);
        if result < 0 {
            listener.is_polled = false;
            return Some(listener.rest(io::Error::from_raw_os_error(-result)));
        }
        if listener.state == State::Quiet {
            listener.state = State::Ready;
        }
        if !more {
            self.arm(place, ring);
        }
        None
    }

    /// How long nothing has to be accepted, as far as is known.
    pub(super) fn next_in(&self) -> Option<Duration> {
        if self.open == 0 {
            return None;
        }
        let left = |listener: &Listener| match listener.state {
            State::Quiet => None,
            State::Ready => Some(Duration::ZERO),
            State::Paused { until } => Some(until.saturating_duration_since(Instant::now())),
        };
        self.listeners.iter().filter_map(left).min()
    }

    /// Accepts what waits, of each listener no more than a turn has room for.
    pub(super) fn accept(&mut self, events: &mut Vec<Event>, ring: &mut Ring) {
        if self.open == 0 {
            return;
        }
        for place in 0..self.listeners.len() {
            let listener = &mut self.listeners[place];
            let was_open = listener.state != State::Quiet;
            listener.accept(events);
            let is_open = listener.state != State::Quiet;
            self.open -= usize::from(was_open && !is_open);
            if !listener.is_polled && !matches!(listener.state, State::Paused { .. }) {
                self.arm(place, ring);
            }
        }
    }

    fn arm(&mut self, place: usize, ring: &mut Ring) {
        let listener = &mut self.listeners[place];
        listener.is_polled = true;
        let fd = listener.socket.as_raw_fd();
        ring.poll_many(fd, READABLE, Operation::Accept(self.key(place)));
    }

    fn key(&self, place: usize) -> ListenerKey {
        ListenerKey {
            epoch: self.epoch,
            place: place as u16, // LISTENERS_PER_SHARD_MAX fits
            tag: self.listeners[place].tag,
        }
    }
}

impl Listener {
    fn accept(&mut self, events: &mut Vec<Event>) {
        match self.state {
            State::Quiet => return,
            State::Paused { until } if Instant::now() < until => return,
            State::Paused { .. } | State::Ready => self.state = State::Ready,
        }
        for _ in 0..ACCEPTS_PER_TURN_MAX {
            let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
            let error: io::Error = match accept_with(&self.socket, flags) {
                Ok(socket) => {
                    // The shortage is over, if there was one.
                    self.pause = ACCEPT_PAUSE_MIN;
                    events.push(Event::Accepted {
                        listener: self.tag,
                        socket: Socket::from(socket),
                    });
                    continue;
                }
                Err(error) => error.into(),
            };
            match error.raw_os_error() {
                Some(libc::EAGAIN) => {
                    self.state = State::Quiet;
                    return;
                }
                Some(errno) if concerns_one_connection(errno) => {}
                _ => return events.push(self.rest(error)),
            }
        }
    }

    fn rest(&mut self, error: io::Error) -> Event {
        let until = Instant::now() + self.pause;
        self.state = State::Paused { until };
        self.pause = (self.pause * 2).min(ACCEPT_PAUSE_MAX);
        Event::AcceptFailed {
            listener: self.tag,
            error,
        }
    }
}

/// Whether the next connection may well be accepted: `accept(2)` names the
/// network's own errors, which belong to the connection that was lost.
fn concerns_one_connection(errno: i32) -> bool {
    matches!(
        errno,
        libc::ECONNABORTED
            | libc::EPROTO
            | libc::EINTR
            | libc::ENETDOWN
            | libc::ENOPROTOOPT
            | libc::EHOSTDOWN
            | libc::ENONET
            | libc::EHOSTUNREACH
            | libc::EOPNOTSUPP
            | libc::ENETUNREACH
    )
}
