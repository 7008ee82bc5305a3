//! A browser down to the bytes.

#![allow(dead_code, unreachable_pub, reason = "each module uses its part")]

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;

use serde_json::Value;

use crate::support::{Broker, PATIENCE};

/// What makes a request an upgrade; the key is that of RFC 6455 section 1.3.
pub const UPGRADE: &str = "Host: example.org\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n";

/// The whole answer to it.
pub const SWITCHING: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
    Connection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

/// First byte of a frame that is a whole message.
pub const TEXT: u8 = 0x81;
pub const BINARY: u8 = 0x82;
pub const CLOSE: u8 = 0x88;
pub const PING: u8 = 0x89;
pub const PONG: u8 = 0x8a;

pub const BAD_REQUEST: &str = r#"{":error":{"code":400,"status":"Bad request"}}"#;

/// A connection to the websocket port.
pub struct Raw {
    pub stream: TcpStream,
}

impl Raw {
    /// Before the upgrade.
    pub fn connect(broker: &Broker) -> Self {
        let stream = TcpStream::connect(broker.node().websocket_addr()).expect("connected");
        Self::over(stream)
    }

    pub fn over(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        stream.set_nodelay(true).expect("no delay");
        Self { stream }
    }

    /// A browser on `/test`, `:connected` already taken.
    pub fn upgraded(broker: &Broker) -> Self {
        let mut raw = Self::connect(broker);
        raw.upgrade();
        raw
    }

    pub fn upgrade(&mut self) {
        self.write(format!("GET /test HTTP/1.1\r\n{UPGRADE}\r\n").as_bytes());
        assert_eq!(self.read(SWITCHING.len()), SWITCHING.as_bytes());
        let (_, connected) = self.frame();
        assert!(connected.starts_with(br#"{":connected":{"sid":""#));
    }

    pub fn write(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("sent");
    }

    pub fn send(&mut self, first: u8, payload: &[u8]) {
        self.write(&masked(first, payload));
    }

    pub fn send_text(&mut self, text: &str) {
        self.send(TEXT, text.as_bytes());
    }

    pub fn read(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        self.stream.read_exact(&mut bytes).expect("bytes");
        bytes
    }

    /// The next frame: its first byte and its payload. The server masks none,
    /// and writes each length in its shortest form.
    pub fn frame(&mut self) -> (u8, Vec<u8>) {
        let head = self.read(2);
        let len = match head[1] {
            126 => {
                let len = u16::from_be_bytes(self.read(2).try_into().expect("two bytes"));
                assert!(len > 125, "a longer length than needed");
                len.into()
            }
            127 => {
                let len = u64::from_be_bytes(self.read(8).try_into().expect("eight bytes"));
                assert!(len > u16::MAX.into(), "a longer length than needed");
                usize::try_from(len).expect("a length")
            }
            short => {
                assert!(short < 126, "masked by the server");
                short.into()
            }
        };
        (head[0], self.read(len))
    }

    pub fn expect(&mut self, first: u8, payload: &[u8]) {
        let frame = self.frame();
        let text = String::from_utf8_lossy(&frame.1);
        assert_eq!(
            (frame.0, &*text),
            (first, &*String::from_utf8_lossy(payload))
        );
    }

    pub fn expect_text(&mut self, text: &str) {
        self.expect(TEXT, text.as_bytes());
    }

    pub fn receive(&mut self) -> Value {
        let (first, payload) = self.frame();
        assert_eq!(first, TEXT);
        serde_json::from_slice(&payload).expect("JSON")
    }

    /// A close frame with this code, then the end of the stream; the browser
    /// answers as it should.
    pub fn expect_close(&mut self, code: u16) {
        let (first, payload) = self.frame();
        assert_eq!(first, CLOSE);
        assert_eq!(payload[..2], code.to_be_bytes(), "{payload:?}");
        assert!(str::from_utf8(&payload[2..]).is_ok());
        self.expect_end();
    }

    pub fn expect_end(&mut self) {
        let mut rest = Vec::new();
        self.stream.read_to_end(&mut rest).expect("an end");
        assert_eq!(rest, b"", "more after the end");
    }

    /// All text messages up to the close frame, and its code; none where the
    /// connection was reset.
    pub fn until_close(&mut self) -> (Vec<Value>, Option<u16>) {
        let mut messages = Vec::new();
        loop {
            let mut peek = [0];
            match self.stream.peek(&mut peek) {
                Err(error) if error.kind() == ErrorKind::ConnectionReset => {
                    return (messages, None);
                }
                peeked => assert_eq!(peeked.expect("a frame"), 1, "no close frame"),
            }
            if peek[0] == CLOSE {
                let (_, payload) = self.frame();
                return (messages, Some(u16::from_be_bytes([payload[0], payload[1]])));
            }
            messages.push(self.receive());
        }
    }
}

/// A frame as a browser masks it.
pub fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
    let mut frame = vec![first];
    match payload.len() {
        len @ ..126 => frame.push(0x80 | len as u8),
        len @ ..=0xffff => {
            frame.push(0x80 | 126);
            frame.extend_from_slice(&(len as u16).to_be_bytes());
        }
        len => {
            frame.push(0x80 | 127);
            frame.extend_from_slice(&(len as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(&MASK);
    frame.extend(
        payload
            .iter()
            .zip(MASK.iter().cycle())
            .map(|(byte, mask)| byte ^ mask),
    );
    frame
}
