//! Every bound of the library, with its unit last in its name, the reason for
//! its number, and what happens at the bound.

use std::time::Duration;

/// Port of a broker's backend endpoint where the URL names none.
pub(crate) const PORT_DEFAULT: u16 = 8081;

/// The same where the URL says `wrs`.
pub(crate) const TLS_PORT_DEFAULT: u16 = 8444;

/// Bytes of a vhost path, as the broker bounds it. Past it: an invalid URL.
pub(crate) const VHOST_PATH_BYTES_MAX: usize = 255;

/// Bytes of one packet sent. The broker answers a longer one with 400 *and
/// closes*, which would hit the requests pipelined behind it, so a longer one
/// is refused here with the same error.
pub(crate) const PACKET_SENT_BYTES_MAX: usize = 1024 * 1024;

/// Bytes of one packet received. A broker may be set to take messages of 16 MiB
/// from its frontends; a MiB more leaves room for what a trigger grows by on its
/// way to a worker. Past it the connection is given up.
pub(crate) const PACKET_RECEIVED_BYTES_MAX: usize = 17 * 1024 * 1024;

/// Frames kept of one packet received; no command has more than one after its
/// name, the surplus is ignored.
pub(crate) const PACKET_FRAMES_MAX: usize = 4;

/// Free bytes offered to one read of a socket.
pub(crate) const READ_BYTES: usize = 16 * 1024;

/// Time that a request may take, connecting included, where the caller sets no
/// other. The Ruby and Go clients wait as long. Past it: `Timeout`.
pub(crate) const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

/// Requests of one kept connection that wait for their answer: as many as the
/// broker takes before it stops reading. Past it: callers wait for their turn.
pub(crate) const REQUESTS_IN_FLIGHT_MAX: usize = 256;

/// Requests handed over and not yet written. Past it: callers wait for their turn.
pub(crate) const REQUESTS_QUEUED_MAX: usize = 64;

/// Bytes waiting for the socket of a kept connection at which no further
/// request is taken; with the packet that crosses it, twice as many at most.
pub(crate) const OUTGOING_BYTES_MAX: usize = PACKET_SENT_BYTES_MAX;

/// Connections at one time towards a broker that keeps none: enough to hide the
/// round trips, too few to exhaust a process's descriptors. Past it: callers wait.
pub(crate) const CONNECTIONS_PER_REQUEST_MAX: usize = 32;

/// Idle time after which a kept connection proves that it lives before a request
/// is trusted to it. Well under any idle limit a broker would set (60 s by default).
pub(crate) const PROBE_AFTER: Duration = Duration::from_secs(2);

/// Time that a probe may take. Past it the connection is given up and the
/// request, which was not sent, goes to a new one.
pub(crate) const PROBE_TIMEOUT: Duration = Duration::from_secs(1);

/// Time that a worker's connection may take to open. Past it: another attempt.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A worker's heartbeat. The broker forgets a worker after three missed ones.
pub(crate) const HEARTBEAT_INTERVAL: Duration = Duration::from_millis(500);

/// Silence after which a worker takes the broker for gone: four of its
/// heartbeats, one more than it allows us. Past it: reconnect.
pub(crate) const SILENCE_MAX: Duration = Duration::from_secs(2);

/// Events that wait for a free handler. Past it the worker stops reading, the
/// broker's queue fills, and the broker turns to other workers.
pub(crate) const EVENTS_QUEUED_MAX: usize = 64;

/// Ceiling of the first reconnect delay; it doubles with each failure.
pub(crate) const RECONNECT_DELAY_MIN: Duration = Duration::from_millis(100);

/// Ceiling of every reconnect delay, and the time that a connection must have
/// lived for the delays to start anew.
pub(crate) const RECONNECT_DELAY_MAX: Duration = Duration::from_secs(10);

/// Time that a stopping worker reads on for events already on their way.
pub(crate) const FAREWELL_TIMEOUT: Duration = Duration::from_secs(1);

// Relations between bounds, held at compile time.
const _: () = assert!(PACKET_SENT_BYTES_MAX >= 500_000, "[BC-11]");
const _: () = assert!(PACKET_RECEIVED_BYTES_MAX > PACKET_SENT_BYTES_MAX);
const _: () = assert!(SILENCE_MAX.as_millis() > 3 * HEARTBEAT_INTERVAL.as_millis());
const _: () = assert!(PROBE_TIMEOUT.as_millis() < REQUEST_TIMEOUT.as_millis());
const _: () = assert!(PACKET_FRAMES_MAX >= 2);
