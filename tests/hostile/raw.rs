//! Bytes as an attacker writes them.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use socket2::SockRef;

use crate::stage::connect;

pub(crate) const TEXT: u8 = 0x81;
pub(crate) const CLOSE: u8 = 0x88;
pub(crate) const PING: u8 = 0x89;
pub(crate) const PONG: u8 = 0x8a;

/// The headers of a good upgrade.
pub(crate) const UPGRADE: &str = "Host: example.org\r\nUpgrade: websocket\r\n\
    Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    Sec-WebSocket-Version: 13\r\n";

pub(crate) fn upgrade(vhost: &str, headers: &str) -> Vec<u8> {
    format!("GET {vhost} HTTP/1.1\r\n{UPGRADE}{headers}\r\n").into_bytes()
}

/// A frontend that speaks in bytes.
pub(crate) struct Raw(pub(crate) TcpStream);

impl Raw {
    /// Upgraded, `:connected` taken.
    pub(crate) fn upgraded(addr: SocketAddr, vhost: &str) -> Self {
        Self::over(connect(addr), vhost)
    }

    pub(crate) fn over(stream: TcpStream, vhost: &str) -> Self {
        let mut raw = Self(stream);
        raw.write(&upgrade(vhost, ""));
        let head = raw.head();
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        assert_eq!(raw.frame().0, TEXT);
        raw
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).expect("sent");
    }

    /// Writes, where the broker may have closed meanwhile; tells whether it took it.
    pub(crate) fn try_write(&mut self, bytes: &[u8]) -> bool {
        self.0.write_all(bytes).is_ok()
    }

    pub(crate) fn send_text(&mut self, text: &str) {
        self.write(&masked(TEXT, text.as_bytes()));
    }

    /// The head of an answer, to the empty line.
    pub(crate) fn head(&mut self) -> String {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            self.0.read_exact(&mut byte).expect("a head");
            head.push(byte[0]);
        }
        String::from_utf8(head).expect("text")
    }

    /// The next frame: its first byte and its payload.
    pub(crate) fn frame(&mut self) -> (u8, Vec<u8>) {
        let mut head = [0; 2];
        self.0.read_exact(&mut head).expect("a frame");
        let len = match head[1] {
            126 => {
                let mut len = [0; 2];
                self.0.read_exact(&mut len).expect("a length");
                u64::from(u16::from_be_bytes(len))
            }
            127 => {
                let mut len = [0; 8];
                self.0.read_exact(&mut len).expect("a length");
                u64::from_be_bytes(len)
            }
            len => u64::from(len),
        };
        let mut payload = vec![0; len as usize];
        self.0.read_exact(&mut payload).expect("a payload");
        (head[0], payload)
    }

    pub(crate) fn text(&mut self) -> String {
        let (first, payload) = self.frame();
        assert_eq!(first, TEXT, "{payload:?}");
        String::from_utf8(payload).expect("text")
    }

    /// Reads on to the close frame; its code and reason. Tells how many frames
    /// of each kind came before it.
    pub(crate) fn close(&mut self) -> (u16, String) {
        loop {
            let (first, payload) = self.frame();
            if first == CLOSE {
                let code = u16::from_be_bytes([payload[0], payload[1]]);
                let reason = String::from_utf8(payload[2..].to_vec()).expect("text");
                return (code, reason);
            }
        }
    }

    /// All that comes until the end, in order or not.
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        match self.0.read_to_end(&mut rest) {
            Ok(_) => {}
            Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
        }
        rest
    }
}

/// Closing it sends a reset.
pub(crate) fn reset(stream: &TcpStream) {
    SockRef::from(stream)
        .set_linger(Some(Duration::ZERO))
        .expect("set");
}

/// A frame as a browser masks it; the mask is zero.
pub(crate) fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = header(first, payload.len() as u64);
    frame.extend_from_slice(payload);
    frame
}

/// The header of such a frame.
pub(crate) fn header(first: u8, len: u64) -> Vec<u8> {
    let mut frame = vec![first];
    match len {
        ..126 => frame.push(0x80 | len as u8),
        126..=0xffff => {
            frame.push(0x80 | 126);
            frame.extend_from_slice(&(len as u16).to_be_bytes());
        }
        _ => {
            frame.push(0x80 | 127);
            frame.extend_from_slice(&len.to_be_bytes());
        }
    }
    frame.extend_from_slice(&[0; 4]);
    frame
}
