//! A peer that speaks TLS with rustls over any stream.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use webrocket::meter::Refused;

use crate::authority::{Authority, Certified};
use crate::support::{Broker, Browser, PATIENCE};

pub(crate) type Secured<S = TcpStream> = StreamOwned<ClientConnection, S>;

/// What a client that trusts the authority is set up with.
pub(crate) fn trusting(authority: &Authority, own: Option<&Certified>) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    let root = CertificateDer::from_pem_slice(authority.pem.as_bytes()).expect("PEM");
    roots.add(root).expect("an authority");
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots);
    Arc::new(match own {
        None => config.with_no_client_auth(),
        Some(own) => {
            let chain = CertificateDer::pem_slice_iter(own.chain.as_bytes());
            let chain: Result<Vec<_>, _> = chain.collect();
            let key = PrivateKeyDer::from_pem_slice(own.key.as_bytes()).expect("a key");
            config
                .with_client_auth_cert(chain.expect("PEM"), key)
                .expect("a certificate")
        }
    })
}

pub(crate) fn tcp(addr: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(addr).expect("connected");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    stream.set_nodelay(true).expect("no delay");
    stream
}

/// TLS over `stream`; the handshake comes with the first byte.
pub(crate) fn over<S: Read + Write>(stream: S, config: &Arc<ClientConfig>) -> Secured<S> {
    let name = "localhost".try_into().expect("a name");
    let connection = ClientConnection::new(Arc::clone(config), name).expect("a client");
    StreamOwned::new(connection, stream)
}

/// A browser on `/test` over TLS.
pub(crate) fn browser(broker: &Broker, authority: &Authority) -> Browser<Secured> {
    browser_over(tcp(websocket_addr(broker)), authority)
}

pub(crate) fn browser_over<S: Read + Write>(
    stream: S,
    authority: &Authority,
) -> Browser<Secured<S>> {
    let stream = over(stream, &trusting(authority, None));
    Browser::upgrade(stream, "wss://localhost/test")
}

pub(crate) fn websocket_addr(broker: &Broker) -> SocketAddr {
    broker.node().tls_websocket_addr().expect("listens")
}

pub(crate) fn backend_addr(broker: &Broker) -> SocketAddr {
    broker.node().tls_backend_addr().expect("listens")
}

/// How many were refused for this cause.
pub(crate) fn refused(broker: &Broker, cause: Refused) -> u64 {
    let meters = broker.node().meters().iter();
    meters.map(|meter| meter.refused(cause)).sum()
}

/// A stream that gives and takes one byte at a time.
pub(crate) struct Drip(pub(crate) TcpStream);

impl Read for Drip {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = buffer.len().min(1);
        self.0.read(&mut buffer[..count])
    }
}

impl Write for Drip {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = bytes.len().min(1);
        let written = self.0.write(&bytes[..count])?;
        // A packet and a read of the node for most of them.
        std::thread::sleep(std::time::Duration::from_micros(200));
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
