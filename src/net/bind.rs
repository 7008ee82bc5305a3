#![forbid(unsafe_code)]

use std::io;
use std::net::{SocketAddr, TcpListener};

use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use crate::limits::LISTEN_BACKLOG_CONNECTIONS;

/// One listener per shard on the same address; the kernel spreads connections
/// over them. With port 0 the kernel picks one port for all.
///
/// # Errors
/// `AddrInUse` also where another process of the same user listens with
/// `SO_REUSEPORT`, which the kernel would let us share without a word.
pub fn bind_all(addr: SocketAddr, shards: u16) -> io::Result<Vec<TcpListener>> {
    let mut addr = addr;
    if addr.port() != 0 {
        // Bound without SO_REUSEPORT, this one is refused by any listener.
        drop(bind(addr, false)?);
    }
    let mut listeners = Vec::with_capacity(usize::from(shards));
    for _ in 0..shards {
        let listener: TcpListener = bind(addr, true)?.into();
        addr = listener.local_addr()?;
        listeners.push(listener);
    }
    // Only when all are bound, so that none takes connections while another is refused.
    for listener in &listeners {
        socket2::SockRef::from(listener).listen(LISTEN_BACKLOG_CONNECTIONS)?;
    }
    Ok(listeners)
}

fn bind(addr: SocketAddr, shared: bool) -> io::Result<Socket> {
    let socket = Socket::new(
        Domain::for_address(addr),
        Type::STREAM.nonblocking(),
        Some(Protocol::TCP),
    )?;
    // A restart must not wait for connections of the last run in TIME_WAIT.
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(shared)?;
    socket.bind(&SockAddr::from(addr))?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANY_PORT: SocketAddr =
        SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

    #[test]
    fn port_zero_is_one_port_for_all() {
        let listeners = bind_all(ANY_PORT, 3).expect("bound");
        let ports: Vec<u16> = listeners
            .iter()
            .map(|listener| listener.local_addr().expect("bound").port())
            .collect();
        assert_eq!(ports.len(), 3);
        assert_ne!(ports[0], 0);
        assert!(ports.iter().all(|port| *port == ports[0]));
    }

    #[test]
    fn refuses_a_taken_port_whoever_has_it() {
        let plain = TcpListener::bind(ANY_PORT).expect("bound");
        let addr = plain.local_addr().expect("bound");
        let error = bind_all(addr, 2).expect_err("taken");
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);

        let shared = bind_all(ANY_PORT, 2).expect("bound");
        let addr = shared[0].local_addr().expect("bound");
        let error = bind_all(addr, 2).expect_err("taken");
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);

        drop(shared);
        assert_eq!(bind_all(addr, 2).expect("free again").len(), 2);
    }
}
