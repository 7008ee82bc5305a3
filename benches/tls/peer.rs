//! Browsers down to the bytes, plain or over TLS.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::client::Resumption;
use rustls::crypto::ring;
use rustls::{ClientConfig, ClientConnection, HandshakeKind, RootCertStore, StreamOwned};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Plain,
    /// With a whole handshake.
    Tls,
    Resumed,
}

const UPGRADE: &[u8] = b"GET /bench HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n\
    Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    Sec-WebSocket-Version: 13\r\n\r\n";

pub(crate) fn config(pem: &str, resuming: bool) -> io::Result<Arc<ClientConfig>> {
    let root = CertificateDer::from_pem_slice(pem.as_bytes()).map_err(io::Error::other)?;
    let mut roots = RootCertStore::empty();
    roots.add(root).map_err(io::Error::other)?;
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    if !resuming {
        config.resumption = Resumption::disabled();
    }
    Ok(Arc::new(config))
}

/// A subscriber. Once it listens, what comes is thrown away as it is: opening
/// records is not what is measured.
pub(crate) enum Listener {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Listener {
    /// Connects, shakes hands and is upgraded.
    pub(crate) fn connect(addr: SocketAddr, tls: Option<&Arc<ClientConfig>>) -> io::Result<Self> {
        let stream = tcp(addr)?;
        let mut listener = match tls {
            None => Self::Plain(stream),
            Some(config) => {
                let name = "localhost".try_into().map_err(io::Error::other)?;
                let client = ClientConnection::new(Arc::clone(config), name);
                let client = client.map_err(io::Error::other)?;
                Self::Tls(Box::new(StreamOwned::new(client, stream)))
            }
        };
        listener.say(UPGRADE)?;
        listener.hear(":connected")?;
        Ok(listener)
    }

    pub(crate) fn subscribe(&mut self, channel: &str) -> io::Result<()> {
        let text = format!(r#"{{"subscribe":{{"channel":"{channel}"}}}}"#);
        self.say(&frame(&text))?;
        self.hear(":subscribed")
    }

    pub(crate) fn is_resumed(&self) -> bool {
        match self {
            Self::Plain(_) => false,
            Self::Tls(stream) => stream.conn.handshake_kind() == Some(HandshakeKind::Resumed),
        }
    }

    pub(crate) fn set_nonblocking(&self) -> io::Result<()> {
        self.socket().set_nonblocking(true)
    }

    pub(crate) fn drain(&mut self) {
        let mut buffer = [0; 64 * 1024];
        while let Ok(1..) = (&mut self.socket()).read(&mut buffer) {}
    }

    fn socket(&self) -> &TcpStream {
        match self {
            Self::Plain(stream) => stream,
            Self::Tls(stream) => &stream.sock,
        }
    }

    fn say(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Plain(stream) => stream.write_all(bytes),
            Self::Tls(stream) => stream.write_all(bytes).and_then(|()| stream.flush()),
        }
    }

    /// Waits until this has come.
    fn hear(&mut self, word: &str) -> io::Result<()> {
        let mut heard = Vec::new();
        let mut buffer = [0; 4096];
        while !heard.windows(word.len()).any(|it| it == word.as_bytes()) {
            let count = match self {
                Self::Plain(stream) => stream.read(&mut buffer)?,
                Self::Tls(stream) => stream.read(&mut buffer)?,
            };
            if count == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            heard.extend_from_slice(&buffer[..count]);
        }
        Ok(())
    }
}

/// Broadcasts to both channels, in plain.
pub(crate) struct Speaker(Listener);

impl Speaker {
    pub(crate) fn connect(addr: SocketAddr) -> io::Result<Self> {
        Listener::connect(addr, None).map(Self)
    }

    pub(crate) fn subscribe(&mut self, channel: &str) -> io::Result<()> {
        self.0.subscribe(channel)
    }

    /// Sends so many events of so many bytes at once, which one turn takes in.
    pub(crate) fn broadcast(
        &mut self,
        channel: &str,
        bytes: usize,
        count: usize,
    ) -> io::Result<()> {
        let data = "x".repeat(bytes);
        let text = format!(
            r#"{{"broadcast":{{"channel":"{channel}","event":"e","data":{{"x":"{data}"}}}}}}"#
        );
        self.0.socket().set_nonblocking(false)?;
        self.0.say(&frame(&text).repeat(count))
    }

    pub(crate) fn drain(&mut self) {
        if self.0.set_nonblocking().is_ok() {
            self.0.drain();
        }
    }
}

fn tcp(addr: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(addr)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    Ok(stream)
}

/// A masked text frame; the key of zeros changes nothing.
fn frame(text: &str) -> Vec<u8> {
    let mut frame = vec![0x81];
    match text.len() {
        len @ 0..126 => frame.push(0x80 | len as u8),
        len @ 126..65536 => {
            frame.push(0x80 | 126);
            frame.extend_from_slice(&(len as u16).to_be_bytes());
        }
        len => {
            frame.push(0x80 | 127);
            frame.extend_from_slice(&(len as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(&[0; 4]);
    frame.extend_from_slice(text.as_bytes());
    frame
}
