#![forbid(unsafe_code)]

use std::io;
use std::net::TcpListener;
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use super::error::DriverError;
use super::ring::Ring;
use super::user_data::{ListenerKey, Operation};
use crate::limits::{ACCEPT_PAUSE_MAX, ACCEPT_PAUSE_MIN, LISTENERS_PER_SHARD_MAX};

/// The listeners of one driver, each accepting or in a pause.
#[derive(Default)]
pub(super) struct Listeners {
    listeners: Vec<Listener>,
    epoch: u32,
    /// Listeners in a pause; without one nobody looks at the clock.
    paused: usize,
}

struct Listener {
    socket: TcpListener,
    tag: u8,
    /// The next pause.
    pause: Duration,
    resumes_at: Option<Instant>,
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
        self.listeners.push(Listener {
            socket,
            tag,
            pause: ACCEPT_PAUSE_MIN,
            resumes_at: None,
        });
        self.arm(self.listeners.len() - 1, ring);
        Ok(())
    }

    pub(super) fn stop(&mut self, ring: &mut Ring) {
        for place in 0..self.listeners.len() {
            if self.listeners[place].resumes_at.is_none() {
                ring.cancel(Operation::Accept(self.key(place)));
            }
        }
        self.listeners.clear();
        self.paused = 0;
        self.epoch = self.epoch.wrapping_add(1);
    }

    /// A connection came: the shortage is over, if there was one.
    pub(super) fn handle_accepted(&mut self, key: ListenerKey, more: bool, ring: &mut Ring) {
        if let Some(listener) = self.current(key) {
            listener.pause = ACCEPT_PAUSE_MIN;
            if !more {
                self.arm(usize::from(key.place), ring);
            }
        }
    }

    /// Accepting failed and may have ended. Tells whether the listener pauses,
    /// which its owner should know.
    pub(super) fn handle_failure(
        &mut self,
        key: ListenerKey,
        errno: i32,
        more: bool,
        ring: &mut Ring,
    ) -> bool {
        let Some(listener) = self.current(key) else {
            return false;
        };
        if more {
            return false;
        }
        if concerns_one_connection(errno) {
            self.arm(usize::from(key.place), ring);
            return false;
        }
        listener.resumes_at = Some(Instant::now() + listener.pause);
        listener.pause = (listener.pause * 2).min(ACCEPT_PAUSE_MAX);
        self.paused += 1;
        true
    }

    /// Ends the pauses that are over; tells how long the next one lasts.
    pub(super) fn resume(&mut self, ring: &mut Ring) -> Option<Duration> {
        if self.paused == 0 {
            return None;
        }
        let now = Instant::now();
        let mut shortest: Option<Duration> = None;
        for place in 0..self.listeners.len() {
            let Some(resumes_at) = self.listeners[place].resumes_at else {
                continue;
            };
            let left = resumes_at.saturating_duration_since(now);
            if left.is_zero() {
                self.listeners[place].resumes_at = None;
                self.paused -= 1;
                self.arm(place, ring);
            } else {
                shortest = Some(shortest.map_or(left, |shortest| shortest.min(left)));
            }
        }
        shortest
    }

    fn arm(&self, place: usize, ring: &mut Ring) {
        let fd = self.listeners[place].socket.as_raw_fd();
        ring.accept(fd, Operation::Accept(self.key(place)));
    }

    fn key(&self, place: usize) -> ListenerKey {
        ListenerKey {
            epoch: self.epoch,
            place: place as u16, // LISTENERS_PER_SHARD_MAX fits
            tag: self.listeners[place].tag,
        }
    }

    fn current(&mut self, key: ListenerKey) -> Option<&mut Listener> {
        if key.epoch != self.epoch {
            return None;
        }
        self.listeners.get_mut(usize::from(key.place))
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
            | libc::EAGAIN
            | libc::ENETDOWN
            | libc::ENOPROTOOPT
            | libc::EHOSTDOWN
            | libc::ENONET
            | libc::EHOSTUNREACH
            | libc::EOPNOTSUPP
            | libc::ENETUNREACH
    )
}
