use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::time::Duration;

use socket2::{Domain, Protocol, SockAddr, SockRef, TcpKeepalive, Type};

use crate::limits::{KEEPALIVE_IDLE, KEEPALIVE_INTERVAL, KEEPALIVE_PROBES, UNACKNOWLEDGED_TIMEOUT};

/// A TCP socket, never blocking.
#[derive(Debug)]
pub struct Socket(OwnedFd);

/// What a [`Socket::recv`] gave.
#[derive(Debug)]
pub enum Recv {
    /// So many bytes, at least one.
    Bytes(usize),
    /// Nothing for now.
    Empty,
    /// The peer sends no more.
    Ended,
    /// The connection is lost.
    Failed(io::Error),
}

/// What a [`Socket::send`] did.
#[derive(Debug)]
pub enum Sent {
    /// So many bytes are on their way; fewer than given when the socket is full.
    Bytes(usize),
    /// The socket takes nothing for now.
    Full,
    /// The connection is lost.
    Failed(io::Error),
}

// The system calls themselves: libc's `recv` and `send` are points of thread
// cancellation, which costs two atomic operations a call in a process with threads.
const NO_ADDRESS: *const libc::c_void = std::ptr::null();

impl Socket {
    /// Reads into `buffer`, which must not be empty.
    pub fn recv(&self, buffer: &mut [u8]) -> Recv {
        loop {
            // SAFETY: the pointer and the length are those of `buffer`, which
            // is ours alone through the call.
            let count = unsafe {
                libc::syscall(
                    libc::SYS_recvfrom,
                    self.as_raw_fd(),
                    buffer.as_mut_ptr(),
                    buffer.len(),
                    libc::MSG_DONTWAIT,
                    NO_ADDRESS,
                    NO_ADDRESS,
                )
            };
            match count {
                0 => return Recv::Ended,
                1.. => return Recv::Bytes(count as usize),
                _ => {}
            }
            let error = io::Error::last_os_error();
            match error.kind() {
                io::ErrorKind::Interrupted => {}
                io::ErrorKind::WouldBlock => return Recv::Empty,
                _ => return Recv::Failed(error),
            }
        }
    }

    /// Writes what the socket takes of `bytes`.
    pub fn send(&self, bytes: &[u8]) -> Sent {
        loop {
            // SAFETY: the pointer and the length are those of `bytes`, which
            // lives through the call.
            let count = unsafe {
                libc::syscall(
                    libc::SYS_sendto,
                    self.as_raw_fd(),
                    bytes.as_ptr(),
                    bytes.len(),
                    libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL,
                    NO_ADDRESS,
                    0_usize,
                )
            };
            if count >= 0 {
                return Sent::Bytes(count as usize);
            }
            let error = io::Error::last_os_error();
            match error.kind() {
                io::ErrorKind::Interrupted => {}
                io::ErrorKind::WouldBlock => return Sent::Full,
                _ => return Sent::Failed(error),
            }
        }
    }

    /// Tells the peer that nothing more comes. What was sent before still arrives.
    pub fn shutdown_write(&self) {
        // Fails only on a connection that is lost already.
        let _ = SockRef::from(&self.0).shutdown(std::net::Shutdown::Write);
    }

    /// Closing will drop what is unsent and reset the connection.
    pub fn reset_on_close(&self) {
        // Fails on no socket of this type.
        let _ = SockRef::from(&self.0).set_linger(Some(Duration::ZERO));
    }

    /// Bounds what the kernel keeps of what comes, in bytes; it takes at least
    /// about 2 KiB.
    ///
    /// # Errors
    /// On no socket of this type.
    pub fn set_receive_buffer(&self, bytes: usize) -> io::Result<()> {
        SockRef::from(&self.0).set_recv_buffer_size(bytes)
    }

    /// The address of the other side, while connected.
    pub fn peer_addr(&self) -> Option<SocketAddr> {
        SockRef::from(&self.0).peer_addr().ok()?.as_socket()
    }

    /// Sends small frames at once, and lets the kernel notice a peer that has
    /// gone without a word, whether something was on its way to it or not.
    ///
    /// # Errors
    /// On a connection that is lost already.
    pub fn tune(&self) -> io::Result<()> {
        let socket = SockRef::from(&self.0);
        socket.set_tcp_nodelay(true)?;
        socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED_TIMEOUT))?;
        socket.set_tcp_keepalive(
            &TcpKeepalive::new()
                .with_time(KEEPALIVE_IDLE)
                .with_interval(KEEPALIVE_INTERVAL)
                .with_retries(KEEPALIVE_PROBES),
        )
    }

    /// What went wrong since the last call: the result of a [`connect`] at its
    /// first [`Writable`](super::Event::Writable).
    ///
    /// # Errors
    /// The socket's own error, such as `ECONNREFUSED`.
    pub fn take_error(&self) -> io::Result<()> {
        match SockRef::from(&self.0).take_error()? {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }
}

/// Begins a connection to `to`, from the local address `from` or whichever the
/// kernel picks. The result shows as [`Writable`](super::Event::Writable) with
/// [`Socket::take_error`].
///
/// # Errors
/// What fails at once: no descriptor, no local port, no route.
pub fn connect(to: SocketAddr, from: Option<IpAddr>) -> io::Result<Socket> {
    let socket = socket2::Socket::new(
        Domain::for_address(to),
        Type::STREAM.nonblocking(),
        Some(Protocol::TCP),
    )?;
    if let Some(from) = from {
        choose_port_at_connect(&socket)?;
        socket.bind(&SockAddr::from(SocketAddr::new(from, 0)))?;
    }
    match socket.connect(&SockAddr::from(to)) {
        Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => Err(error),
        _ => Ok(Socket(socket.into())),
    }
}

/// Otherwise the bind takes one of 28,000 ports for itself alone, whatever the
/// address connected to.
fn choose_port_at_connect(socket: &socket2::Socket) -> io::Result<()> {
    let on: libc::c_int = 1;
    // SAFETY: the pointer and the length are those of `on`, which lives through
    // the call; the descriptor is open as long as `socket`.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_IP,
            libc::IP_BIND_ADDRESS_NO_PORT,
            (&raw const on).cast(),
            size_of_val(&on) as libc::socklen_t,
        )
    };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

impl From<OwnedFd> for Socket {
    fn from(fd: OwnedFd) -> Self {
        Self(fd)
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsRawFd for Socket {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}
