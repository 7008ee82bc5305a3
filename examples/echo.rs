//! A WebSocket echo on the broker's own driver and codecs, for conformance
//! tests: `cargo run --release --example echo -- 127.0.0.1:9001`.
//!
//! Every message goes back as it came, compressed for who offers it.

use std::net::SocketAddr;

use webrocket::limits::CONFIGURED_MESSAGE_BYTES_MAX;
use webrocket::model::ConnId;
use webrocket::net::{Driver, Event, Flushed, Outbox, Recv, Socket, Spare, bind_all};
use webrocket::wire::deflate::{Agreement, Deflater, Inflater};
use webrocket::wire::frame::{self, CloseCode, Opcode, Violation};
use webrocket::wire::http;
use webrocket::wire::message::{Incoming, Reader, expect_text};

fn main() -> std::io::Result<()> {
    let Some(addr) = std::env::args().nth(1).and_then(|addr| addr.parse().ok()) else {
        eprintln!("usage: echo ADDRESS:PORT");
        std::process::exit(2);
    };
    Echo::listen(addr)?.run()
}

struct Echo {
    driver: Driver,
    spare: Spare,
    buffer: Vec<u8>,
    connections: Vec<Option<Connection>>,
    generation: u32,
    inflater: Inflater,
    frame: Vec<u8>,
}

struct Connection {
    id: ConnId,
    socket: Socket,
    inbox: Vec<u8>,
    outbox: Outbox,
    blocked: bool,
    stage: Stage,
}

enum Stage {
    Handshake,
    Open(Box<Peer>),
    /// What still comes is thrown away.
    Closing,
}

struct Peer {
    reader: Reader,
    deflater: Option<Deflater>,
}

/// Past it a peer is not read until it has read.
const OUTBOX_BYTES_MAX: usize = 4 << 20;

impl Echo {
    fn listen(addr: SocketAddr) -> std::io::Result<Self> {
        let mut driver = Driver::new()?;
        for listener in bind_all(addr, 1)? {
            println!("echo on {}", listener.local_addr()?);
            driver.listen(listener, 0)?;
        }
        Ok(Self {
            driver,
            spare: Spare::new(),
            buffer: vec![0; 64 * 1024],
            connections: Vec::new(),
            generation: 0,
            inflater: Inflater::default(),
            frame: Vec::new(),
        })
    }

    fn run(mut self) -> std::io::Result<()> {
        let mut events = Vec::new();
        loop {
            self.driver.poll(None, &mut events)?;
            for event in events.drain(..) {
                match event {
                    Event::Accepted { socket, .. } => self.accept(socket)?,
                    Event::Readable(conn) | Event::HungUp(conn) => self.read(conn),
                    Event::Writable(conn) => {
                        if let Some(connection) = self.get(conn) {
                            connection.blocked = false;
                        }
                        self.flush(conn);
                        self.read(conn);
                    }
                    Event::AcceptFailed { error, .. } => eprintln!("echo: accept: {error}"),
                    Event::Woken => {}
                }
            }
        }
    }

    fn get(&mut self, id: ConnId) -> Option<&mut Connection> {
        let connection = self.connections.get_mut(id.slot as usize)?.as_mut();
        connection.filter(|connection| connection.id == id)
    }

    fn accept(&mut self, socket: Socket) -> std::io::Result<()> {
        let free = self.connections.iter().position(Option::is_none);
        let slot = free.unwrap_or_else(|| {
            self.connections.push(None);
            self.connections.len() - 1
        });
        self.generation += 1;
        let id = ConnId {
            slot: slot as u32,
            generation: self.generation,
        };
        let _ = socket.tune();
        self.driver.watch(id, &socket)?;
        self.connections[slot] = Some(Connection {
            id,
            socket,
            inbox: Vec::new(),
            outbox: Outbox::new(),
            blocked: false,
            stage: Stage::Handshake,
        });
        Ok(())
    }

    fn remove(&mut self, id: ConnId) {
        if self.get(id).is_some()
            && let Some(mut connection) = self.connections[id.slot as usize].take()
        {
            connection.outbox.clear(&mut self.spare);
            self.driver
                .unwatch(id, connection.socket, connection.blocked);
        }
    }

    /// Reads until nothing is left, or too much waits to be read by the peer.
    fn read(&mut self, id: ConnId) {
        let mut buffer = std::mem::take(&mut self.buffer);
        while let Some(connection) = self.get(id) {
            if connection.outbox.len() > OUTBOX_BYTES_MAX {
                break;
            }
            match connection.socket.recv(&mut buffer) {
                Recv::Bytes(count) => {
                    connection.inbox.extend_from_slice(&buffer[..count]);
                    self.handle(id);
                    self.flush(id);
                }
                Recv::Empty => break,
                Recv::Ended | Recv::Failed(_) => self.remove(id),
            }
        }
        self.buffer = buffer;
    }

    fn handle(&mut self, id: ConnId) {
        let (inflater, spare, frame) = (&mut self.inflater, &mut self.spare, &mut self.frame);
        let place = self.connections.get_mut(id.slot as usize);
        let Some(connection) = place.and_then(Option::as_mut) else {
            return;
        };
        let Connection {
            inbox,
            outbox,
            stage,
            ..
        } = connection;
        let mut done = 0;
        if let Stage::Handshake = stage {
            match http::parse_request(inbox) {
                Ok(None) => return,
                Ok(Some((request, consumed))) => match request.upgrade {
                    Ok(key) => {
                        let deflate = request.deflate;
                        frame.clear();
                        http::write_switching_protocols(&key, deflate, frame);
                        outbox.push(frame, spare);
                        *stage = Stage::Open(Box::new(Peer::new(deflate)));
                        done = consumed;
                    }
                    Err(refusal) => refuse(&refusal, stage, outbox, spare),
                },
                Err(refusal) => refuse(&refusal, stage, outbox, spare),
            }
        }
        while let Stage::Open(peer) = stage {
            let mut consumed = 0;
            frame.clear();
            let answered = peer.answer(&mut inbox[done..], &mut consumed, inflater, frame);
            done += consumed;
            let more = match answered {
                Ok(more) => more,
                Err(violation) => {
                    frame::write_close(frame, violation.code, violation.reason);
                    *stage = Stage::Closing;
                    true
                }
            };
            outbox.push(frame, spare);
            if frame.first() == Some(&0x88) {
                *stage = Stage::Closing;
            }
            if !more {
                break;
            }
        }
        if let Stage::Closing = stage {
            inbox.clear();
        } else {
            inbox.drain(..done);
        }
    }

    fn flush(&mut self, id: ConnId) {
        let place = self.connections.get_mut(id.slot as usize);
        let Some(connection) = place.and_then(Option::as_mut).filter(|it| it.id == id) else {
            return;
        };
        if connection.blocked {
            return;
        }
        match connection.outbox.flush(&connection.socket, &mut self.spare) {
            Flushed::Empty => {
                if let Stage::Closing = connection.stage {
                    connection.socket.shutdown_write();
                }
            }
            Flushed::Blocked => {
                connection.blocked = self.driver.watch_writable(id, &connection.socket).is_ok();
            }
            Flushed::Failed(_) => self.remove(id),
        }
    }
}

fn refuse(refusal: &http::Refusal, stage: &mut Stage, outbox: &mut Outbox, spare: &mut Spare) {
    let mut response = Vec::new();
    refusal.write(&mut response);
    outbox.push(&response, spare);
    *stage = Stage::Closing;
}

impl Peer {
    fn new(deflate: Option<Agreement>) -> Self {
        Self {
            reader: match deflate {
                Some(_) => Reader::may_compress(),
                None => Reader::default(),
            },
            deflater: deflate.map(|it| Deflater::new(it.params)),
        }
    }

    /// Writes the answer to the next message; tells whether more may be there.
    fn answer(
        &mut self,
        bytes: &mut [u8],
        consumed: &mut usize,
        inflater: &mut Inflater,
        out: &mut Vec<u8>,
    ) -> Result<bool, Violation> {
        let bytes_max = CONFIGURED_MESSAGE_BYTES_MAX;
        let opcode = |binary| if binary { Opcode::Binary } else { Opcode::Text };
        match self.reader.next(bytes, bytes_max, consumed)? {
            None => return Ok(false),
            Some(Incoming::Message { text, binary, .. }) => {
                echo(&mut self.deflater, opcode(binary), text, out);
            }
            Some(Incoming::Compressed { payload, binary }) => {
                let message = inflater.inflate(payload, bytes_max)?;
                if !binary {
                    expect_text(message)?;
                }
                echo(&mut self.deflater, opcode(binary), message, out);
            }
            Some(Incoming::Ping(payload)) => frame::write_pong(out, payload),
            Some(Incoming::Pong) => {}
            Some(Incoming::Close { code }) => {
                frame::write_close(out, code.unwrap_or(CloseCode::NORMAL), "");
            }
        }
        Ok(true)
    }
}

fn echo(deflater: &mut Option<Deflater>, opcode: Opcode, message: &[u8], out: &mut Vec<u8>) {
    match deflater {
        Some(deflater) => deflater.write_message(opcode, message, out),
        None => frame::write_message(out, opcode, message),
    }
}
