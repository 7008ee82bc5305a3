//! Raw backend connections: packets as bytes, clients that are kept, workers.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use serde_json::Value;

use super::{Broker, fresh_id};

pub const OK: &str = "OK\n\n\r\n\r\n";
pub const HEARTBEAT: &str = "HB\n\n\r\n\r\n";
pub const QUIT: &str = "QT\n\n\r\n\r\n";

/// How the shipped clients end a packet.
const END: &[u8] = b"\n\r\n\r\n";

/// `ER` with this code.
pub fn error(code: u16) -> String {
    format!("ER\n{code}\n\r\n\r\n")
}

/// A packet without identity.
pub fn bare(frames: &[&str]) -> Vec<u8> {
    format!("{}\n\r\n\r\n", frames.join("\n")).into_bytes()
}

/// A connection to the backend port.
pub struct Backend {
    pub stream: TcpStream,
    received: Vec<u8>,
}

impl Backend {
    pub fn connect(broker: &Broker) -> Self {
        Self {
            stream: broker.backend(),
            received: Vec::new(),
        }
    }

    /// A client that has asked to keep its connection.
    pub fn kept(broker: &Broker) -> Self {
        let mut client = Self::connect(broker);
        client.send(&broker.packet("req", &["KA"]));
        client.expect(OK);
        client
    }

    pub fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("sent");
    }

    /// The peer is told that no more is sent.
    pub fn finish(&mut self) {
        self.stream.shutdown(Shutdown::Write).expect("connected");
    }

    /// The bytes of the next packet; none at the end of the stream.
    pub fn receive(&mut self) -> Option<String> {
        let mut buffer = vec![0; 64 * 1024];
        let mut searched = 0;
        loop {
            let rest = &self.received[searched..];
            if let Some(at) = memchr::memmem::find(rest, END) {
                let packet = self.received.drain(..searched + at + END.len());
                return Some(String::from_utf8(packet.collect()).expect("text"));
            }
            searched = self.received.len().saturating_sub(END.len());
            match self.stream.read(&mut buffer) {
                Ok(0) if self.received.is_empty() => return None,
                Ok(0) => panic!("cut off after {}", self.begun()),
                Ok(count) => self.received.extend_from_slice(&buffer[..count]),
                Err(error) => panic!("{error} after {}", self.begun()),
            }
        }
    }

    /// The packet that is not whole, or its beginning.
    fn begun(&self) -> String {
        let shown = &self.received[..self.received.len().min(200)];
        String::from_utf8_lossy(shown).into_owned()
    }

    /// As [`Self::receive`], where the peer may also have refused the connection.
    pub fn receive_or_reset(&mut self) -> Option<String> {
        let mut text = String::new();
        match self.stream.read_to_string(&mut text) {
            Ok(0) => None,
            Ok(_) => Some(text),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => None,
            Err(error) => panic!("{error}"),
        }
    }

    pub fn expect(&mut self, packet: &str) {
        assert_eq!(self.receive().as_deref(), Some(packet));
    }

    pub fn expect_end(&mut self) {
        assert_eq!(self.receive(), None);
    }
}

/// A worker that is registered.
pub struct Worker {
    pub backend: Backend,
    pub id: String,
    beat: Option<Beat>,
}

impl Worker {
    /// A worker that says every now and then that it lives.
    pub fn ready(broker: &Broker) -> Self {
        Self::ready_as(broker, &fresh_id())
    }

    pub fn ready_as(broker: &Broker, id: &str) -> Self {
        let mut worker = Self::silent(broker, "/test", broker.token(), id);
        worker.start_beating();
        worker
    }

    /// A worker that says nothing after `RD`.
    pub fn silent(broker: &Broker, vhost: &str, token: &str, id: &str) -> Self {
        let mut backend = Backend::connect(broker);
        backend.send(format!("dlr:{vhost}:{token}:{id}\n\nRD\n\r\n\r\n").as_bytes());
        backend.expect(HEARTBEAT);
        Self {
            backend,
            id: id.to_owned(),
            beat: None,
        }
    }

    pub fn start_beating(&mut self) {
        self.beat = Some(Beat::start(&self.backend.stream));
    }

    /// Its next packet that is no heartbeat; none at the end of the stream.
    pub fn receive(&mut self) -> Option<String> {
        loop {
            match self.backend.receive() {
                Some(packet) if packet == HEARTBEAT => {}
                other => return other,
            }
        }
    }

    /// What its next trigger carries.
    pub fn trigger(&mut self) -> Value {
        let packet = self.receive().expect("a packet");
        let json = packet
            .strip_prefix("TR\n")
            .and_then(|rest| rest.strip_suffix("\n\r\n\r\n"));
        serde_json::from_str(json.unwrap_or_else(|| panic!("no trigger: {packet:?}")))
            .expect("JSON")
    }

    /// `QT`, then the end of the stream.
    pub fn expect_quit(&mut self) {
        assert_eq!(self.receive().as_deref(), Some(QUIT));
        self.backend.expect_end();
    }
}

/// Beats beside the test, so that no worker expires while the test is busy.
struct Beat {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Beat {
    fn start(stream: &TcpStream) -> Self {
        let mut stream = stream.try_clone().expect("a descriptor");
        let (stop, stopped) = mpsc::channel::<()>();
        let thread = thread::spawn(move || {
            while stopped.recv_timeout(Duration::from_millis(200)) == Err(RecvTimeoutError::Timeout)
            {
                match stream.write_all(b"HB\n\r\n\r\n") {
                    Ok(()) => {}
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                    Err(_) => return,
                }
            }
        });
        Self {
            stop: Some(stop),
            thread: Some(thread),
        }
    }
}

/// The connection is closed once its beat has ended as well.
impl Drop for Beat {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
