//! One shard's outboxes over real sockets that take little. What a client gets
//! is read to the last byte, so a frame that is cut or out of place shows.

use std::io::{ErrorKind, Read};
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use socket2::{Domain, Socket as Plain, Type};

use super::*;
use crate::hub::Effects;
use crate::mesh;
use crate::meter::{Clock, ShardMeter};
use crate::model::{PeerAddress, SlowConsumers, VhostId, VhostQuota};
use crate::net::{Driver, Socket};
use crate::session::Frontend;
use crate::shard::connection::Role;
use crate::shard::io::Note;
use crate::wire::frame;

struct Rig {
    io: Io,
    meter: Arc<ShardMeter>,
}

struct Client {
    conn: ConnId,
    stream: TcpStream,
    bytes: Vec<u8>,
}

impl Rig {
    fn new(outboxes_bytes_max: usize) -> Self {
        let (mut ports, _) = mesh::build(1).expect("a mesh");
        let port = ports.pop().expect("a port");
        let meter: Arc<ShardMeter> = Arc::default();
        let driver = Driver::new().expect("a ring");
        let clock = Clock::start();
        let mut io = Io::new(driver, port, Arc::clone(&meter), Arc::default(), clock);
        io.outboxes_bytes_max = outboxes_bytes_max;
        Self { io, meter }
    }

    fn frontend(&mut self, outbox_bytes_max: u32, slow_consumers: SlowConsumers) -> Client {
        let listener = Plain::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        // Inherited by what is accepted. The kernel rounds it up.
        listener.set_send_buffer_size(1).expect("set");
        let any: std::net::SocketAddr = "127.0.0.1:0".parse().expect("an address");
        listener.bind(&any.into()).expect("bound");
        listener.listen(1).expect("listening");
        let client = Plain::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        client.set_recv_buffer_size(1).expect("set");
        client
            .connect(&listener.local_addr().expect("bound"))
            .expect("connected");
        let (server, _) = listener.accept().expect("accepted");
        server.set_nonblocking(true).expect("set");
        client.set_nonblocking(true).expect("set");
        let socket = Socket::from(OwnedFd::from(server));
        let role = Role::Frontend(Frontend::new(VhostId(1), None));
        let conn = self.io.insert(socket, role, PeerAddress::EXEMPT);
        let conn = conn.expect("a slot");
        let quota = VhostQuota {
            outbox_bytes_max,
            slow_consumers,
            ..VhostQuota::default()
        };
        assert!(self.io.try_enter_vhost(conn, VhostId(1), &quota));
        Client {
            conn,
            stream: client.into(),
            bytes: Vec::new(),
        }
    }

    fn connection(&mut self, client: &Client) -> &mut Connection {
        self.io.get(client.conn).expect("connected")
    }

    fn queued(&mut self, client: &Client) -> usize {
        self.connection(client).outbox.len()
    }

    /// Queues bytes that no socket takes, for bounds to the byte.
    fn queue(&mut self, client: &Client, batch: &[u8]) {
        self.io.queue(client.conn.slot, batch);
    }

    /// The ring would tell that the socket has room.
    fn flush(&mut self, client: &Client) {
        self.connection(client).flags.blocked = false;
        self.io.flush_outbox(client.conn.slot);
    }

    fn doomed(&self) -> Vec<(ConnId, Doom)> {
        let doomed = self.io.notes.iter().map(|note| match note {
            Note::Doom(conn, why) => (*conn, *why),
            _ => panic!("another note"),
        });
        doomed.collect()
    }

    /// Until nothing waits on this side.
    fn drain(&mut self, client: &mut Client) {
        while self.queued(client) > 0 {
            client.read(usize::MAX);
            self.flush(client);
        }
    }

    /// Until nothing more can come.
    fn read_to_end(&mut self, client: &mut Client) {
        self.drain(client);
        self.connection(client).socket.shutdown_write();
        client.stream.set_nonblocking(false).expect("set");
        client
            .stream
            .read_to_end(&mut client.bytes)
            .expect("an end");
    }
}

impl Client {
    /// Reads at most so many bytes of what is there.
    fn read(&mut self, most: usize) {
        let mut buffer = [0; 4096];
        let mut left = most;
        while left > 0 {
            let space = left.min(buffer.len());
            match self.stream.read(&mut buffer[..space]) {
                Ok(0) => panic!("closed"),
                Ok(count) => {
                    self.bytes.extend_from_slice(&buffer[..count]);
                    left -= count;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// The texts that came; all of them whole.
    fn texts(&self) -> Vec<String> {
        let mut texts = Vec::new();
        let mut rest = &self.bytes[..];
        for length in frames::lengths(&self.bytes) {
            let header = frame::parse_server_header(rest)
                .expect("valid")
                .expect("whole");
            let payload = &rest[header.header_bytes..length];
            texts.push(String::from_utf8(payload.to_vec()).expect("text"));
            rest = &rest[length..];
        }
        assert!(rest.is_empty(), "half a frame");
        texts
    }
}

fn text(out: &mut Vec<u8>, text: &str) {
    frame::write_text(out, &[text.as_bytes()]);
}

/// A frame of so many bytes.
fn sized(length: usize) -> Vec<u8> {
    let mut frame = Vec::new();
    let header = if length < 128 { 2 } else { 4 };
    text(&mut frame, &"x".repeat(length - header));
    assert_eq!(frame.len(), length);
    frame
}

/// xorshift64*.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % bound
    }
}

#[test]
fn at_its_bound_a_consumer_is_kept_and_past_it_evicted() {
    let mut rig = Rig::new(usize::MAX);
    let client = rig.frontend(1000, SlowConsumers::Evict);
    rig.queue(&client, &sized(100).repeat(10));
    assert_eq!((rig.queued(&client), rig.doomed()), (1000, vec![]));
    rig.queue(&client, &sized(2));
    assert_eq!(rig.queued(&client), 1000);
    assert_eq!(rig.doomed(), [(client.conn, Doom::Slow)]);
    assert_eq!(rig.meter.dropped.count(), 0);
}

#[test]
fn at_its_bound_a_consumer_misses_nothing_and_past_it_what_does_not_fit() {
    let mut rig = Rig::new(usize::MAX);
    let client = rig.frontend(1000, SlowConsumers::Drop);
    let most = [sized(100).repeat(9), sized(98)].concat();
    rig.queue(&client, &most);
    // One does not fit; the next would, and is not to come before the word about it.
    rig.queue(&client, &[sized(3), sized(2)].concat());
    assert_eq!((rig.queued(&client), rig.doomed()), (998, vec![]));
    assert_eq!(rig.connection(&client).dropped, 2);
    rig.queue(&client, &sized(2).repeat(5));
    assert_eq!(rig.connection(&client).dropped, 7);
    assert_eq!(rig.meter.dropped.count(), 7);
    assert_eq!(rig.meter.slow(Slow::Dropped).count(), 1, "one gap");
    // Its own bytes pass.
    rig.io.push(client.conn.slot, b"reply");
    assert_eq!(rig.queued(&client), 998 + 5);
}

#[test]
fn of_a_batch_those_are_taken_that_fit() {
    for (policy, missed, doomed) in [
        (SlowConsumers::Drop, 3, None),
        (SlowConsumers::Evict, 0, Some(Doom::Slow)),
    ] {
        let mut rig = Rig::new(usize::MAX);
        let client = rig.frontend(1000, policy);
        rig.queue(&client, &sized(300).repeat(6));
        assert_eq!(rig.queued(&client), 900);
        assert_eq!(rig.connection(&client).dropped, missed);
        assert_eq!(rig.doomed().first().map(|it| it.1), doomed);
    }
}

#[test]
fn half_of_the_room_has_to_be_free_before_it_is_told() {
    let notice_len = notice(1).len();
    for (left, told) in [(500, true), (501, false)] {
        let mut rig = Rig::new(usize::MAX);
        let client = rig.frontend(1000, SlowConsumers::Drop);
        rig.queue(&client, &sized(left));
        rig.queue(&client, &sized(501));
        let words = if told { notice_len } else { 0 };
        assert_eq!(rig.queued(&client), left + words);
        assert_eq!(rig.connection(&client).dropped, u64::from(!told));
    }
}

#[test]
fn what_no_queue_can_hold_is_told_at_once() {
    let mut rig = Rig::new(usize::MAX);
    let mut client = rig.frontend(1000, SlowConsumers::Drop);
    // Half of such a frame may have gone: that is finished, whatever the bound.
    let huge = sized(60_000);
    rig.io.deliver(client.conn.slot, &huge.repeat(3));
    let queued = rig.queued(&client);
    assert!(queued > 1000, "the socket took it all");
    rig.queue(&client, &sized(10));
    rig.read_to_end(&mut client);
    let texts = client.texts();
    let whole = texts.iter().filter(|text| text.len() > 50_000).count();
    assert_eq!(
        texts.last().map(String::as_str),
        Some(&*format!(r#"{{":dropped":{{"count":{}}}}}"#, 4 - whole))
    );
    assert_eq!(texts.len(), whole + 1);
}

/// Deliveries, replies, reads and flushes in any order: what it got and what it
/// was told it missed make up all there was, each in its place.
#[test]
fn received_and_missed_are_all_there_was_in_order() {
    let mut gaps = 0;
    for seed in 1..=100 {
        let mut random = Random(0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(seed));
        let mut rig = Rig::new(usize::MAX);
        let bytes_max = 2_000 + random.below(20_000);
        let mut client = rig.frontend(bytes_max as u32, SlowConsumers::Drop);
        let (mut said, mut replied) = (0, 0);
        for _ in 0..300 {
            match random.below(10) {
                0..6 => {
                    let mut batch = Vec::new();
                    for _ in 0..=random.below(8) {
                        let padding = "x".repeat(random.below(600));
                        text(&mut batch, &format!("said {said} {padding}"));
                        said += 1;
                    }
                    match random.below(2) {
                        0 => rig.io.deliver(client.conn.slot, &batch),
                        _ => rig.io.queue(client.conn.slot, &batch),
                    }
                }
                6 => {
                    let mut reply = Vec::new();
                    text(&mut reply, &format!("reply {replied}"));
                    replied += 1;
                    rig.io.push(client.conn.slot, &reply);
                }
                7 => rig.io.flush_outbox(client.conn.slot),
                _ => {
                    client.read(random.below(12_000));
                    rig.flush(&client);
                }
            }
            let outbox = &rig.connection(&client).outbox;
            assert!(outbox.deliveries() <= bytes_max, "seed {seed}");
            let queued = rig.queued(&client);
            assert_eq!(rig.io.outbox_bytes, queued, "seed {seed}");
        }
        rig.drain(&mut client);
        let mut last = Vec::new();
        text(&mut last, &format!("said {said} "));
        rig.io.deliver(client.conn.slot, &last);
        rig.read_to_end(&mut client);

        let (mut next, mut next_reply, mut missed) = (0, 0, 0);
        for text in client.texts() {
            if let Some(count) = text.strip_prefix(r#"{":dropped":{"count":"#) {
                let count: u64 = count.trim_end_matches('}').parse().expect("a number");
                assert!(count > 0, "seed {seed}: told of nothing");
                missed += count;
                next += count;
                gaps += 1;
            } else if let Some(number) = text.strip_prefix("reply ") {
                assert_eq!(number, next_reply.to_string(), "seed {seed}");
                next_reply += 1;
            } else {
                assert!(
                    text.starts_with(&format!("said {next} ")),
                    "seed {seed}: {next}"
                );
                next += 1;
            }
        }
        assert_eq!((next, next_reply), (said + 1, replied), "seed {seed}");
        assert_eq!(rig.meter.dropped.count(), missed, "seed {seed}");
        assert_eq!(rig.io.outbox_bytes, 0);
        assert!(rig.doomed().is_empty(), "seed {seed}");
    }
    assert!(gaps > 100, "hardly anybody missed anything: {gaps}");
}

#[test]
fn no_queue_holds_more_than_is_free_and_none_is_touched_below_that() {
    let mut rig = Rig::new(3000);
    let [first, second] = [0; 2].map(|_| rig.frontend(10_000, SlowConsumers::Evict));
    rig.queue(&first, &sized(1000));
    rig.queue(&second, &sized(1000));
    assert_eq!(rig.doomed(), []);
    // 1,000 are free and each holds as many: to its bound, and past it.
    rig.queue(&first, &sized(2));
    assert_eq!(rig.doomed(), [(first.conn, Doom::Crowded)]);
    assert_eq!(rig.io.outbox_bytes, 2000);
    // It goes, and the other has room again.
    rig.io.notes.clear();
    rig.io.remove(first.conn);
    rig.queue(&second, &sized(1000));
    rig.queue(&second, &sized(2));
    assert_eq!(rig.doomed(), [(second.conn, Doom::Crowded)]);
    assert_eq!(rig.io.outbox_bytes, 2000);
}

#[test]
fn where_the_node_has_no_room_the_fullest_go_and_others_miss_deliveries() {
    let mut rig = Rig::new(3000);
    let [large, small, third] = [0; 3].map(|_| rig.frontend(10_000, SlowConsumers::Drop));
    rig.queue(&large, &sized(1400));
    rig.queue(&small, &sized(900));
    // 700 are free, half of what the largest holds: it misses some, and stays.
    rig.queue(&large, &sized(2));
    assert_eq!(rig.connection(&large).dropped, 1);
    rig.queue(&third, &sized(2));
    rig.queue(&small, &sized(2));
    assert_eq!(rig.connection(&small).dropped, 1);
    assert_eq!(rig.doomed(), []);
    // Now less is free.
    rig.queue(&large, &sized(2));
    assert_eq!(rig.doomed(), [(large.conn, Doom::Crowded)]);
    assert_eq!(rig.io.outbox_bytes, 2302);
}

#[test]
fn who_has_no_queue_is_not_slow_however_little_is_free() {
    let mut rig = Rig::new(1000);
    let client = rig.frontend(10_000, SlowConsumers::Evict);
    rig.queue(&client, &sized(1500));
    assert_eq!((rig.queued(&client), rig.doomed()), (0, vec![]));
}

#[test]
fn a_frame_that_is_cut_takes_no_more_than_is_free() {
    for slow_consumers in SlowConsumers::ALL {
        let mut rig = Rig::new(10_000);
        let client = rig.frontend(2_000_000, slow_consumers);
        // More than the socket takes and the node has room for.
        let mut large = Vec::new();
        frame::write_text(&mut large, &[&vec![b'x'; 1_000_000]]);
        rig.io.deliver(client.conn.slot, &large);
        assert_eq!(rig.doomed(), [(client.conn, Doom::Lost)]);
        assert_eq!(rig.io.outbox_bytes, 0);
        assert_eq!(rig.meter.slow(Slow::Crowded).count(), 1);
    }
}

#[test]
fn a_backends_packets_are_cut_nowhere() {
    let mut rig = Rig::new(1000);
    let worker = rig.frontend(1000, SlowConsumers::Evict);
    rig.io.leave_vhost(worker.conn);
    let packet = [0xff; 2000];
    rig.queue(&worker, &packet);
    assert_eq!((rig.queued(&worker), rig.doomed()), (2000, vec![]));
}

/// Whatever has gone of what was queued, the close frame follows a whole frame.
#[test]
fn who_is_evicted_gets_whole_frames_and_then_the_close() {
    for seed in 1..=100 {
        let mut random = Random(0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(seed));
        let mut rig = Rig::new(usize::MAX);
        let mut client = rig.frontend(20_000, SlowConsumers::Evict);
        let mut said = 0;
        while rig.doomed().is_empty() {
            let mut batch = Vec::new();
            for _ in 0..=random.below(8) {
                text(
                    &mut batch,
                    &format!("{said} {}", "x".repeat(random.below(600))),
                );
                said += 1;
            }
            rig.io.deliver(client.conn.slot, &batch);
            if random.below(3) == 0 {
                client.read(random.below(3_000));
                rig.flush(&client);
            }
        }
        rig.io.forget_queue(client.conn);
        let queued = rig.queued(&client);
        assert!(queued < 700, "seed {seed}: {queued} bytes are left");
        assert_eq!(rig.io.outbox_bytes, queued);
        let connection = rig.connection(&client);
        connection.flags.doomed = false;
        let mut last = Vec::new();
        text(&mut last, "last");
        rig.io.push(client.conn.slot, &last);
        rig.read_to_end(&mut client);
        let texts = client.texts();
        for (n, text) in texts[..texts.len() - 1].iter().enumerate() {
            assert!(text.starts_with(&format!("{n} ")), "seed {seed}: {n}");
        }
        assert_eq!(
            texts.last().map(String::as_str),
            Some("last"),
            "seed {seed}"
        );
    }
}
