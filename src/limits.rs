//! Every bound of the broker, with its unit last in its name, the reason for
//! its number, and what happens at the bound.

#![forbid(unsafe_code)]

use std::time::Duration;

// ---------------------------------------------------------------- names

/// Bytes of a channel name. The protocol asks for at least 200 ([OC-06]); one
/// byte of length keeps names cheap to hash. Past it: 451 to a backend, 454 to a frontend.
pub const CHANNEL_NAME_BYTES_MAX: usize = 255;

/// Bytes of a vhost path. Past it: the path is invalid.
pub const VHOST_PATH_BYTES_MAX: usize = 255;

/// Bytes of a user id given with a single access token. It is repeated in every
/// presence record, so a longer one is refused (`ER` 400).
pub const UID_BYTES_MAX: usize = 1024;

/// Bytes of a permission pattern. Past it: 597, as for one that does not compile.
pub const PATTERN_BYTES_MAX: usize = 4096;

/// Bytes of compiled regular expression per pattern; the `regex` crate refuses
/// more, so that a short pattern can't claim megabytes. Past it: 597.
pub const PATTERN_COMPILED_BYTES_MAX: usize = 256 * 1024;

/// Compiled patterns a shard keeps; most users share a handful. Past it the cache starts anew.
pub const PATTERN_CACHE_MAX: usize = 1024;

// ---------------------------------------------------------------- frontend

/// Bytes of an HTTP upgrade request. Browsers send under 2 KiB, large cookies
/// included under 16. Past it: 431 and close.
pub const UPGRADE_BYTES_MAX: usize = 16 * 1024;

/// Headers of an upgrade request. Past it: 431 and close.
pub const UPGRADE_HEADERS_MAX: usize = 64;

/// Bytes of one reassembled WebSocket message ([FR-09]). Past it: close 1009.
pub const MESSAGE_BYTES_MAX: usize = 1024 * 1024;

/// Nesting of JSON values in a message ([ER-14] allows 10,000 or less). Past it: 400.
pub const JSON_DEPTH_MAX: usize = 512;

/// Subscriptions of one session. Each costs memory on two shards. Past it: 403.
pub const SUBSCRIPTIONS_MAX: usize = 1024;

/// Messages that one frontend may send in a second by default: far more than a
/// person causes, far less than a loop. Past it the connection is held back.
pub const MESSAGES_PER_SECOND_MAX: u32 = 1_000;

/// Bytes that one frontend may send in a second by default: as much as the fastest
/// lines of homes carry up, eight messages of the largest size. A client next door
/// could send a hundred times as much, and all of it is looked at. Past it the
/// connection is held back.
pub const BYTES_PER_SECOND_MAX: u32 = 8 * 1024 * 1024;

/// Longest rest of a frontend that has sent more than it may: it is not read
/// meanwhile, and that it has gone is not noticed. A message that costs more than
/// so many seconds of its rate is let off the rest.
pub const REST_MAX: Duration = Duration::from_secs(10);

/// Connections from one peer address by default: a large office behind one
/// address, and a fraction of what one machine could open. Past it: 429.
pub const CONNECTIONS_PER_ADDRESS_MAX: u32 = 4_096;

/// Time that a frontend has to complete its upgrade. Past it: 408 and close.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// Time that a closing connection has to take what is still queued for it.
/// Past it the socket is closed as it is.
pub const LINGER_TIMEOUT: Duration = Duration::from_secs(3);

/// The same for a slow consumer that is evicted: it did not read, and is to learn
/// why when it does, as a phone that wakes up. Nothing is queued for it but that.
/// A node that drains does not wait so long.
pub const EVICTED_LINGER_TIMEOUT: Duration = Duration::from_secs(15);

// ---------------------------------------------------------------- backend

/// Bytes of one backend packet ([BE-27]; 500 kB must pass [BC-11]). Past it: `ER` 400 and close.
pub const PACKET_BYTES_MAX: usize = 1024 * 1024;

/// Frames looked at in one backend packet; no command has more than three, the
/// surplus is ignored ([BE-14]).
pub const PACKET_FRAMES_MAX: usize = 8;

/// Time that a backend has to complete a packet ([BE-22] allows 5 to 15 s). Past it: `ER` 400 and close.
pub const PACKET_TIMEOUT: Duration = Duration::from_secs(5);

/// Time that a kept REQ connection may be silent. Past it: close.
pub const KEPT_IDLE_TIMEOUT: Duration = Duration::from_secs(60);

/// Requests of one kept connection that wait for their answer. Past it the
/// connection is not read until answers have gone out.
pub const REQUESTS_IN_FLIGHT_MAX: usize = 256;

/// The server's heartbeat to its workers ([WK-09]).
pub const HEARTBEAT_INTERVAL: Duration = Duration::from_millis(500);

/// Silence after which a worker is taken for dead: three intervals ([WK-06]). Past it: `QT` and close.
pub const HEARTBEAT_EXPIRY: Duration = Duration::from_millis(1500);

/// Workers that a trigger is offered to before the frontend gets 503; bounds
/// the way of a trigger across shards.
pub const TRIGGER_HOPS_MAX: u8 = 8;

// ---------------------------------------------------------------- tokens

/// Lifetime of an unused single access token. Long enough for a page left open
/// over night, short enough that an abandoned store stays small.
pub const SINGLE_ACCESS_TOKEN_LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);

/// Unused single access tokens per shard. At about 300 bytes each this is 300 MB. Past it: 597.
pub const SINGLE_ACCESS_TOKENS_MAX: usize = 1_000_000;

// ---------------------------------------------------------------- memory of a connection

/// Bytes of deliveries queued for one connection: some seconds of a busy channel
/// to a slow phone, and two of the largest turns, so that a full-sized message
/// evicts nobody who is just one behind. Past it the consumer is slow: it is
/// evicted (close 1013), or misses deliveries and is told how many.
pub const OUTBOX_BYTES_MAX: usize = 3 * 1024 * 1024;

/// Bytes queued at which a connection is no longer read, so that one that sends
/// requests and never reads answers is held back instead of growing.
pub const OUTBOX_READ_PAUSE_BYTES: usize = 64 * 1024;

/// Spare send buffers that a shard keeps: as many connections as fill their
/// sockets in one turn of a busy shard. Past it: buffers are freed.
pub const SPARE_BUFFERS_MAX: usize = 64;

/// Bytes of one spare send buffer; with all of them a shard keeps 4 MiB at
/// most. A larger buffer is freed.
pub const SPARE_BUFFER_BYTES_MAX: usize = 64 * 1024;

/// Bytes of frames gathered for one session before they are sent: those of a
/// channel, or of all that share subscribers. Well under the outbox, so that a
/// receiver that keeps up is never over its bound. Past it: nothing more is taken in.
pub const BATCH_BYTES_MAX: usize = 256 * 1024;

/// Bytes of the smallest outbox for messages of so many bytes. Two of the largest turns
/// fit, and a turn ends with the message, or the bundle, that passes its bound.
pub const fn outbox_bytes_min(message_bytes: usize) -> usize {
    let bundle = BUNDLE_BYTES_MAX + 2 * BUNDLED_FRAME_BYTES_MAX;
    let last = if message_bytes > bundle {
        message_bytes
    } else {
        bundle
    };
    2 * (BATCH_BYTES_MAX + last)
}

/// Bytes of frames that a shard gathers in all channels before it sends them: a
/// thousand small channels join some 160 frames of 100 bytes each, and more
/// would save little. Past it: nothing more is taken in.
pub const GATHERED_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Bytes of empty batches that a shard keeps for the channels that are busy
/// next: what it gathers, and what buffers that double are larger. Past it, and
/// once they were not needed for a second: freed.
pub const SPARE_BATCHES_BYTES_MAX: usize = 3 * GATHERED_BYTES_MAX;

/// Bytes of presence records that one channel may hold; the roster is sent in
/// one message to each joiner. Past it: 403 to the joiner.
pub const ROSTER_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Bytes of frames that wait on one shard under a vhost's cork. A hundred small
/// frames in one `send` cost a fiftieth each, so more saves nothing, and larger
/// pieces find more sockets full. Past it: the cork opens.
pub const CORKED_BYTES_PER_VHOST_MAX: usize = 64 * 1024;

/// Bytes of frames that wait on one shard under all corks: those of sixty-four
/// busy vhosts, or of thousands with a little each. Past it: all corks open.
pub const CORKED_BYTES_MAX: usize = 4 * 1024 * 1024;

// ---------------------------------------------------------------- shards and rings

/// Shards of one node. Envelopes carry a shard in 16 bits and each shard holds
/// a count of subscribers for every other.
pub const SHARDS_MAX: usize = 256;

/// Envelopes per ring. With 4,096 a burst of one turn fits; at
/// [`ENVELOPE_BYTES_MAX`] each a ring takes 256 KiB. Full: backpressure on the
/// origin connection.
pub const RING_ENVELOPES_MAX: usize = 4096;

/// What an envelope takes in a ring, as much as a cache line. A larger payload
/// goes into a box.
pub const ENVELOPE_BYTES_MAX: usize = 64;

/// Longest frame that is copied to other shards together with others. A longer one
/// is shared: copying it would take longer than counting who shares it.
pub const BUNDLED_FRAME_BYTES_MAX: usize = 1024;

/// Bytes of small frames that one shard puts together for another: some hundred
/// frames, which share what an envelope takes. Past it: they leave amid the turn.
pub const BUNDLE_BYTES_MAX: usize = 16 * 1024;

/// Frames from other shards that are let go together: a turn's worth, and no worse
/// than a quarter of that (decision 0025). Past it: they go amid the turn.
pub const SPENT_FRAMES_MAX: usize = ENVELOPES_PER_TURN_MAX;

/// Longest frame that waits for others to be let go, so that those of a shard hold a
/// megabyte. Longer ones share their buffer with few.
pub const SPENT_FRAME_BYTES_MAX: usize = 1024;

/// Messages from all shards that wait for control. Full: backend clients wait.
pub const CONTROL_INBOX_MAX: usize = 4096;

/// Entries of a shard's submission queue.
pub const SUBMISSION_ENTRIES: u32 = 1024;

/// Entries of a shard's completion queue: one turn of a busy shard. The kernel
/// keeps an overflow list beyond it, nothing is lost.
pub const COMPLETION_ENTRIES: u32 = 8192;

/// Connections of one shard: a slot has 24 bits in a ring's `user_data`. The
/// kernel's 4 KiB a socket make 64 GiB of it. Past it: the connection is refused.
pub const CONNECTIONS_PER_SHARD_MAX: usize = 1 << 24;

/// Listeners of one shard: frontend, TLS, backend and admin with room to spare.
pub const LISTENERS_PER_SHARD_MAX: usize = 16;

/// Connections of a listener that wait in the kernel to be accepted; it takes the
/// smaller of this and `net.core.somaxconn` (4,096 by default, this with the tuning
/// files). The shard admits what waits as fast as it can, two seconds of it at
/// most. Past it: SYNs are dropped and tried anew after one, two, four seconds.
pub const LISTEN_BACKLOG_CONNECTIONS: i32 = 65_535;

/// First pause of a listener that ran out of descriptors or memory; each
/// further failure doubles it. Short, for most shortages are bursts.
pub const ACCEPT_PAUSE_MIN: Duration = Duration::from_millis(10);

/// Longest pause of such a listener: a second later is soon enough for a
/// client that waits, and costs nothing while the shortage lasts.
pub const ACCEPT_PAUSE_MAX: Duration = Duration::from_secs(1);

/// Silence after which the kernel asks whether a peer still lives. Under the
/// timeouts of most NAT boxes (5 minutes and more).
pub const KEEPALIVE_IDLE: Duration = Duration::from_secs(120);

/// Time between two such questions.
pub const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(15);

/// Unanswered questions after which the connection fails: three minutes after the last byte.
pub const KEEPALIVE_PROBES: u32 = 4;

/// Bytes of registered memory of a shard's executor, which does no I/O of its
/// own; glommio's default would keep 10 MiB resident.
pub const EXECUTOR_IO_MEMORY_BYTES: usize = 64 * 1024;

/// Bytes of the receive buffer that a shard's connections share, and so what is
/// read at once of one that sends much: at a few nanoseconds a byte a fraction of
/// a millisecond.
pub const RECEIVE_BUFFER_BYTES: usize = 64 * 1024;

/// Parts of a table of counts that all shards share, each with a lock of its
/// own: many more than shards that open a connection at the same moment.
pub const OCCUPANCY_STRIPES: usize = 64;

/// Connections of one shard that were refused at once and not told yet: beyond
/// the quotas, so few, and as many as a burst of honest browsers. Past it they
/// are closed without a word.
pub const REFUSED_CONNECTIONS_MAX: usize = 256;

/// Time that such a connection has to ask for what it is refused: a round trip
/// of the slowest network. Past it: close without a word.
pub const REFUSED_TIMEOUT: Duration = Duration::from_secs(2);

/// Lines about refusals that one shard logs in a second: enough to see who it
/// is, and at some 150 bytes a line no more than 2.6 GB a day on two shards.
/// Past it: the rest of the second is summed up in one line.
pub const ACCESS_LINES_PER_SECOND_MAX: u32 = 100;

/// Lines of one shard about listeners that pause, in one second: a shortage is
/// one fact, and every try of [`ACCEPT_PAUSE_MIN`] finds it anew. Past it: the
/// rest of the second is summed up in one line.
pub const PAUSE_LINES_PER_SECOND_MAX: u32 = 1;

// ---------------------------------------------------------------- work per turn

/// Completions handled in one turn of the pump.
pub const COMPLETIONS_PER_TURN_MAX: usize = 1024;

/// Connections of one listener accepted in one turn. At some 15 us each a storm of
/// them holds everyone else up by a millisecond at a time. Past it: the next turn.
pub const ACCEPTS_PER_TURN_MAX: usize = 64;

/// Deliveries, and as many requests, taken from all rings in one turn.
pub const ENVELOPES_PER_TURN_MAX: usize = 1024;

/// Granularity of a shard's timers. Every deadline is at least a hundred times longer.
pub const TIMER_TICK: Duration = Duration::from_millis(10);

/// Longest sleep of a shard whose rings are full: the taker of a ring wakes nobody.
pub const STALLED_SLEEP: Duration = Duration::from_millis(1);

/// Connections read in one turn; the others stay ready for the next.
pub const READS_PER_TURN_MAX: usize = 512;

/// Connections read before what they caused is sent, where it goes to no more
/// connections than these. A socket is still in the core's cache then, which
/// is worth some percent of a request; a larger fan-out waits for the turn's end.
pub const READS_PER_FLUSH_MAX: usize = 32;

/// Longest time that frames are gathered over several turns while there is more
/// to be read. Past it: they are sent.
pub const GATHERING_MAX: Duration = Duration::from_millis(50);

/// The same for each subscriber that they go to: about what a `send` takes.
pub const GATHERING_PER_DELIVERY: Duration = Duration::from_micros(3);

/// Deliveries sent in one turn. At 2.5 us each this is 10 ms, the longest that
/// a heartbeat waits behind fan-out. The rest goes on in the next turn.
pub const DELIVERIES_PER_TURN_MAX: usize = 4096;

// ---------------------------------------------------------------- configuration

/// Time that a stopping node gives its connections by default: they linger for
/// three seconds at most, and are told over a window before. Past it they are cut.
pub const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);

/// Time over which a stopping node spreads the closing of its frontends by
/// default: at 100,000 frontends 20 a millisecond come back elsewhere. Shorter
/// where a millisecond each is.
pub const DRAIN_WINDOW: Duration = Duration::from_secs(5);

/// Shortest time that the configuration may give a drain: in less not every
/// peer could be told. Less: refused at start.
pub const DRAIN_TIMEOUT_MIN: Duration = Duration::from_secs(1);

/// Longest time that the configuration may give a drain: an hour lets the
/// slowest roll-out move on by itself. Past it: refused at start.
pub const DRAIN_TIMEOUT_MAX: Duration = Duration::from_secs(60 * 60);

/// Time from the end of a drain to the end of the process, above all for the
/// last commit; systemd is asked for it beside the drain's. Past it: SIGKILL.
pub const EXIT_TIMEOUT: Duration = Duration::from_secs(5);

/// Bytes of a configuration file; ten thousand vhosts of their own quota fit.
/// Past it: refused at start.
pub const CONFIG_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Changed settings that a reload logs one by one; with ten thousand vhosts it
/// could be seventy thousand. Past it: their number alone.
pub const CHANGES_LOGGED_MAX: usize = 100;

/// Least bytes of a message that the configuration may allow: below it not
/// every subscription with its data fits. Less: refused at start.
pub const CONFIGURED_MESSAGE_BYTES_MIN: usize = 1024;

/// Most bytes of a message that the configuration may allow; a connection may
/// hold one unfinished message and its outbox more than two of them. Past it:
/// refused at start.
pub const CONFIGURED_MESSAGE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Least bytes of a second that the configuration may allow a frontend: a small
/// message. Less: refused at start.
pub const CONFIGURED_BYTES_PER_SECOND_MIN: usize = 1024;

/// Most bytes of a second that the configuration may allow: as much as one core
/// can look at. Past it: refused at start.
pub const CONFIGURED_BYTES_PER_SECOND_MAX: usize = 1024 * 1024 * 1024;

/// Most bytes of an outbox that the configuration may allow: what one consumer
/// that stands still may cost. Past it: refused at start.
pub const CONFIGURED_OUTBOX_BYTES_MAX: usize = 256 * 1024 * 1024;

/// Most subscriptions of one session that the configuration may allow: each of
/// its messages looks through them, 24 bytes apiece. Past it: refused at start.
pub const CONFIGURED_SUBSCRIPTIONS_MAX: usize = 8_192;

/// Longest cork that the configuration may give a vhost: a tenth of a second is
/// what people begin to notice, and by then nearly all is saved. Past it: refused
/// at start.
pub const CONFIGURED_CORK_MAX: Duration = Duration::from_millis(100);

// ---------------------------------------------------------------- control

/// Changes of the registry that were sent to shards and not yet applied by all.
/// A quarter of a ring: answers find room beside them. Past it changes wait in order.
pub const CHANGES_IN_FLIGHT_MAX: usize = 1024;

/// Changes decided and not yet applied. At about 500 bytes each this is 32 MB,
/// some seconds of work. Past it: 597 to a backend, 503 to admin; clearing a
/// vhost may pass it by the number of its channels.
pub const CHANGES_WAITING_MAX: usize = 65_536;

/// Changes in one commit of the store, so that one fsync serves many and none waits long.
pub const CHANGES_PER_COMMIT_MAX: usize = 4096;

/// Vhosts of one node; admin lists them in one answer. Past it: 503 to admin.
pub const VHOSTS_MAX: usize = 10_000;

/// Channels of one vhost. Each costs some 200 bytes on every shard. Past it:
/// 597 to a backend, 503 to admin.
pub const CHANNELS_PER_VHOST_MAX: usize = 1_000_000;

/// How soon control offers again what a shard's full ring refused. Only while something waits.
pub const CONTROL_RETRY_INTERVAL: Duration = Duration::from_millis(1);

/// Pause after a failed commit, so that a full disk is not hammered.
pub const STORE_RETRY_INTERVAL: Duration = Duration::from_millis(100);

/// How often control forgets expired single access tokens. Shards refuse them
/// at once; this only frees memory.
pub const TOKEN_SWEEP_INTERVAL: Duration = Duration::from_secs(60);

/// Admin requests that wait for control. Past it the next ones wait in their connections.
pub const ADMIN_REQUESTS_WAITING_MAX: usize = 256;

/// Bytes of an admin request's body; the largest holds an event. Past it: 413.
pub const ADMIN_BODY_BYTES_MAX: usize = 64 * 1024;

/// Time that an admin request may take, its body included. Past it: 503; a
/// change that was decided still happens.
pub const ADMIN_TIMEOUT: Duration = Duration::from_secs(10);

/// Bytes of the store's file kept in memory: the upper pages of a store with a
/// million channels. Past it: pages are read again.
pub const STORE_CACHE_BYTES: usize = 32 * 1024 * 1024;

/// Vhosts with metrics of their own: some seven series each, so that a scrape
/// stays under a thousand lines for them. Past it: summed up as `other`.
pub const METERED_VHOSTS_MAX: usize = 100;

/// Time that control and every shard have to show that they make progress: two
/// hundred of a shard's longest turns. Past it: 503 from `/healthz`.
pub const PROGRESS_TIMEOUT: Duration = Duration::from_secs(2);

/// The least time over which a core's load is told; shorter ones are mostly chance.
pub const LOAD_WINDOW_MIN: Duration = Duration::from_secs(1);

/// Connections to the admin endpoint at once: every script and dashboard of a
/// team. Past it the next ones wait in the kernel.
pub const ADMIN_CONNECTIONS_MAX: usize = 256;

/// Time that an admin connection may take for the head of its next request,
/// pauses between requests included. Past it: close.
pub const ADMIN_HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// Bytes of the head of an admin request, a long user id in its path included.
/// Past it: 431 and close.
pub const ADMIN_HEAD_BYTES_MAX: usize = 16 * 1024;

/// Age of an admin connection after which it takes no further request, so that
/// one whose peer never takes its answer gives its place up. Past it: close.
pub const ADMIN_CONNECTION_AGE_MAX: Duration = Duration::from_secs(10 * 60);

/// Lines of failed admin requests that are logged in one second: a glance.
/// Past it they are counted, and summed up before the next one.
pub const ADMIN_ACCESS_LINES_PER_SECOND_MAX: u32 = 20;

/// Bytes of a request's path in such a line. Past it the path is cut.
pub const ACCESS_PATH_BYTES_MAX: usize = 256;

/// Sessions, subscribers or channels that a shard visits for one question of
/// control: a quarter of a millisecond of its turn. Past it: control asks again
/// for the rest.
pub const QUESTION_VISITS_MAX: usize = 4096;

/// Time that all shards may take for what one admin request asks, well within
/// [`ADMIN_TIMEOUT`] so that the refusal still gets out. Past it: 503.
pub const QUESTION_TIMEOUT: Duration = Duration::from_secs(8);

/// Requests that ask shards something at the same time, each a page of every
/// shard: a millisecond of a turn. Past it the next ones wait.
pub const INQUIRIES_MAX: usize = 4;

/// Envelopes that wait for a shard with a full ring before control asks it no
/// further question: it is stuck, and questions must not pile up. Past it: 503.
pub const QUESTION_BACKLOG_MAX: usize = 1024;

/// Sessions or subscribers in one answer of admin: a megabyte or two of JSON.
/// Past it the rest is left out; the sizes tell how many there are.
pub const ADMIN_LIST_MAX: usize = 10_000;

/// Sessions in one answer where the request names no limit: a screen or two.
pub const ADMIN_LIST_DEFAULT: usize = 100;

/// Channels that `GET /stats.json` names: a terminal's worth.
pub const TOP_CHANNELS_MAX: usize = 20;

/// What counts as "of late" for a channel's broadcasts: the running interval
/// and the one before, ten to twenty seconds.
pub const BUSY_INTERVAL: Duration = Duration::from_secs(10);

/// Channels that a home shard remembers as busy per interval; the busiest come
/// early. Past it: not among the top channels of that interval.
pub const BUSY_CHANNELS_MAX: usize = 1024;

// ---------------------------------------------------------------- commands that ask a node

/// Time in which `webrocket admin` and `monitor` reach their node: three tries of the kernel, at 0, 1
/// and 3 seconds. Past it: exit code 3.
pub const ADMIN_CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Time of a whole exchange of `webrocket admin`, unless it is told another: the node
/// says itself that it is late before the command gives up on it. Past it: exit code 3.
pub const ADMIN_ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// Bytes of an answer that `webrocket admin` reads. A vhost full of channels with the
/// longest names is listed in 1 GB. Past it: exit code 3.
pub const ADMIN_ANSWER_BYTES_MAX: u64 = 1024 * 1024 * 1024;

/// Shortest time between two looks of `webrocket monitor`: a person reads no
/// faster, and a node is not kept busy by who watches it. Below it: refused.
pub const MONITOR_INTERVAL_MIN: Duration = Duration::from_millis(100);

/// Longest time between two looks: past an hour a monitoring system serves better. Past it: refused.
pub const MONITOR_INTERVAL_MAX: Duration = Duration::from_secs(60 * 60);

/// Time that a look may take. Past it: the node counts as gone until the next look.
pub const MONITOR_TIMEOUT: Duration = Duration::from_secs(5);

/// Bytes of the answer to a look; 256 shards, 100 vhosts and a histogram stay
/// under 256 KiB. Past it: the node counts as one that gives no stats.
pub const MONITOR_ANSWER_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// Looks that the curve of deliveries remembers: the widest terminal. Past it
/// the oldest is forgotten.
pub const MONITOR_SAMPLES_MAX: usize = 512;

/// Keys and looks that wait to be shown. Past it who presses keys is held back
/// until the terminal has taken what was drawn.
pub const MONITOR_NEWS_MAX: usize = 64;

/// Time that a browser's session with the dashboard lasts; the dashboard begins
/// another one long before, for as long as it is open. A working day: who left
/// the page must log in again the next one. Past it: 403.
pub const ADMIN_SESSION_LIFETIME: Duration = Duration::from_secs(12 * 60 * 60);

// ---------------------------------------------------------------- compression

/// Bytes of the shortest message worth compressing: below, what is saved is less
/// than what TCP and IP put around it. Shorter ones go as they are.
pub const DEFLATE_BYTES_MIN: usize = 128;

/// Bytes of the longest message that is compressed, some 4 ms for each kind of
/// window that the channel's subscribers have. Longer ones go as they are.
pub const DEFLATE_BYTES_MAX: usize = 256 * 1024;

/// What a message costs to deflate before its first byte, in bytes deflated.
pub const DEFLATE_FIXED_BYTES: usize = 1024;

/// Bytes that a shard deflates when it begins to send what it gathered, those
/// above included and once for each kind of window: some 4 ms. Past it: nothing
/// more is taken in before that is sent; channels for which it has no room left
/// go as they are.
pub const DEFLATED_BYTES_MAX: usize = 256 * 1024;

/// Bytes that a shard inflates in one turn, about a millisecond. Past it nothing
/// more is read before the next turn, so that small frames that are large
/// messages hold up nobody's heartbeats.
pub const INFLATED_BYTES_PER_TURN_MAX: usize = 256 * 1024;

/// Bits of the smallest window that a client may ask of the server's messages;
/// zlib has no smaller one without a header. Below it the offer is declined.
pub const DEFLATE_WINDOW_BITS_MIN: u8 = 9;

/// Bytes that a shard keeps for the next message between inflating or deflating
/// two. A larger one's memory is given back at the next.
pub const DEFLATE_KEPT_BYTES_MAX: usize = 256 * 1024;

// ---------------------------------------------------------------- hostile peers

/// Wrong single access tokens that one frontend may present in a row. The
/// honest one of 2012 is wrong once, when it comes back with a token that it has
/// spent, and then asks for another. Past it: close 1008.
pub const WRONG_TOKENS_PER_CONNECTION_MAX: u8 = 16;

/// Wrong tokens from one address within [`WRONG_TOKENS_WINDOW`] by default, of
/// frontends and of backends each: every connection that an address may have can
/// be wrong once, as after a restart of the node. Past it no token is looked at:
/// close 1013 to a frontend, `ER` 403 and close to a backend.
pub const WRONG_TOKENS_PER_ADDRESS_MAX: u32 = CONNECTIONS_PER_ADDRESS_MAX;

/// Time in which that budget refills, evenly.
pub const WRONG_TOKENS_WINDOW: Duration = Duration::from_secs(60);

/// Frontends of one shard that have left before their token was looked at and are
/// remembered, so that a right one is given back to its address: as many as one
/// ring holds of their requests. Past it: it is not, and refills with time.
pub const PRESENTERS_GONE_MAX: usize = RING_ENVELOPES_MAX;

/// Addresses whose wrong tokens are remembered, of frontends and of backends
/// each; some 4 MB. Past it: those with the most budget left are forgotten.
pub const WRONG_TOKEN_ADDRESSES_MAX: usize = 65_536;

/// Time that sent bytes may wait for the peer to acknowledge them, or for it to
/// make room. Keep-alive asks nobody who owes an acknowledgement, and the kernel
/// alone would try for a quarter of an hour. The same three minutes in which
/// keep-alive gives a silent peer up. Past it: the connection fails.
pub const UNACKNOWLEDGED_TIMEOUT: Duration = Duration::from_secs(180);

/// Bytes read at once of a connection that sends little, as nearly all do. One
/// that sends as much at once, or has more than that of a message unfinished, is
/// bulky: it is read behind all others, [`BULKY_READS_PER_TURN_MAX`] a turn.
pub const READ_BYTES_MAX: usize = 16 * 1024;

/// Bulky connections read in one turn, so that whoever sends little waits behind
/// one large message, not behind as many as there are clients that send them.
pub const BULKY_READS_PER_TURN_MAX: usize = 1;

/// Bytes of what all connections of a node have received and not handled, by
/// default: unfinished messages, packets, heads and TLS records, and what waits its
/// turn. With a shard's even share a message of the default size is taken on up to
/// 128 shards. As it fills, no connection may keep more than is still free, so
/// who sends a large message is closed before who sends a small one: 1013, 503, `ER` 597.
pub const UNFINISHED_BYTES_MAX: u64 = 512 * 1024 * 1024;

/// Least of it that the configuration may allow: four shards with room for a
/// message of the default size each. Less: refused at start.
pub const CONFIGURED_UNFINISHED_BYTES_MIN: u64 = 16 * 1024 * 1024;

/// Most of it that the configuration may allow: more than hosts have. Past it: refused at start.
pub const CONFIGURED_UNFINISHED_BYTES_MAX: u64 = 1 << 40;

// Relations between bounds, held at compile time.
const _: () = assert!(CHANNEL_NAME_BYTES_MAX >= 200, "[OC-06]");
const _: () = assert!(CHANNEL_NAME_BYTES_MAX <= u8::MAX as usize);
const _: () = assert!(JSON_DEPTH_MAX <= 10_000, "section 3.2");
const _: () = assert!(MESSAGE_BYTES_MAX >= 60_000, "[FR-08]");
const _: () = assert!(PACKET_BYTES_MAX >= 500_000, "[BC-11]");
const _: () = assert!(OUTBOX_READ_PAUSE_BYTES < OUTBOX_BYTES_MAX);
const _: () = assert!(outbox_bytes_min(MESSAGE_BYTES_MAX) < OUTBOX_BYTES_MAX);
const _: () = assert!(BATCH_BYTES_MAX <= GATHERED_BYTES_MAX);
// So what one session is given of one freeze is bounded as a turn is.
const _: () = assert!(CORKED_BYTES_PER_VHOST_MAX <= BATCH_BYTES_MAX);
const _: () = assert!(CORKED_BYTES_PER_VHOST_MAX <= CORKED_BYTES_MAX);
const _: () = assert!(UPGRADE_BYTES_MAX <= READ_BYTES_MAX);
const _: () = assert!(READ_BYTES_MAX < RECEIVE_BUFFER_BYTES);
const _: () = assert!(HEARTBEAT_EXPIRY.as_millis() == 3 * HEARTBEAT_INTERVAL.as_millis());
const _: () = assert!(CHANGES_IN_FLIGHT_MAX * 4 <= RING_ENVELOPES_MAX);
const _: () = assert!(QUESTION_TIMEOUT.as_nanos() < ADMIN_TIMEOUT.as_nanos());
const _: () = assert!(2 * BUSY_CHANNELS_MAX <= QUESTION_VISITS_MAX);
const _: () = assert!(
    ADMIN_CONNECT_TIMEOUT.as_secs() + ADMIN_TIMEOUT.as_secs() < ADMIN_ANSWER_TIMEOUT.as_secs()
);
const _: () = assert!(SHARDS_MAX <= u16::MAX as usize);
const _: () = assert!(COMPLETIONS_PER_TURN_MAX <= COMPLETION_ENTRIES as usize);
const _: () = assert!(ACCEPT_PAUSE_MIN.as_nanos() < ACCEPT_PAUSE_MAX.as_nanos());
const _: () = assert!(
    PACKET_TIMEOUT.as_secs() >= 5 && PACKET_TIMEOUT.as_secs() <= 15,
    "[BE-22]"
);
const _: () = assert!(
    outbox_bytes_min(CONFIGURED_MESSAGE_BYTES_MAX) <= CONFIGURED_OUTBOX_BYTES_MAX,
    "the largest message can be configured"
);
const _: () = assert!(CONFIGURED_MESSAGE_BYTES_MIN < MESSAGE_BYTES_MAX);
// The last to be told needs time to go as well.
const _: () = assert!(2 * DRAIN_WINDOW.as_millis() <= DRAIN_TIMEOUT.as_millis());
const _: () = assert!(WRONG_TOKEN_ADDRESSES_MAX.is_multiple_of(OCCUPANCY_STRIPES));
const _: () = assert!(
    UNACKNOWLEDGED_TIMEOUT.as_secs()
        == KEEPALIVE_IDLE.as_secs() + KEEPALIVE_INTERVAL.as_secs() * KEEPALIVE_PROBES as u64,
    "one bound for all who are gone"
);
// A buffer doubles as it grows, and what it grows to is to be free beside it.
const _: () = assert!(UNFINISHED_BYTES_MAX >= 128 * 4 * MESSAGE_BYTES_MAX as u64);
const _: () = assert!(CONFIGURED_UNFINISHED_BYTES_MIN >= 4 * 4 * MESSAGE_BYTES_MAX as u64);

// ---------------------------------------------------------------- slow consumers

/// Bytes queued for all connections of a node by default: with the bound of one,
/// some 340 consumers may stand still at the same time. Each shard has an even
/// share. As it fills, a queue may hold no more than is still free, so the
/// fullest are closed first, with 1013; replies, pongs and closes are exempt.
pub const OUTBOXES_BYTES_MAX: u64 = 1024 * 1024 * 1024;

/// Least of it that the configuration may allow: four shards with an outbox of
/// the default size each. Less: refused at start.
pub const CONFIGURED_OUTBOXES_BYTES_MIN: u64 = 16 * 1024 * 1024;

/// Most of it that the configuration may allow: more than hosts have. Past it: refused at start.
pub const CONFIGURED_OUTBOXES_BYTES_MAX: u64 = 1 << 40;

/// The part of its bound that must be free again before a session that misses
/// deliveries is told of them and given the next: half. With less, a consumer
/// that is always a little too slow would be told of each gap of one delivery.
pub const OUTBOX_ROOM_DIVISOR: usize = 2;

/// So many times what is free may the queue hold of a session that misses
/// deliveries: twice, or every short burst of another would have it closed.
/// Past it: close 1013.
pub const CROWDED_FACTOR: usize = 2;

const _: () = assert!(CONFIGURED_OUTBOXES_BYTES_MIN >= 4 * OUTBOX_BYTES_MAX as u64);
// Once there is room, a whole turn fits.
const _: () =
    assert!(BATCH_BYTES_MAX + MESSAGE_BYTES_MAX <= OUTBOX_BYTES_MAX / OUTBOX_ROOM_DIVISOR);

// ---------------------------------------------------------------- TLS

/// Bytes of one unfinished TLS record or handshake message that a connection
/// keeps. A record takes 16 KiB and some, and so does every honest handshake
/// message, a client's certificate chain among them. Past it: close.
pub const TLS_PARTIAL_BYTES_MAX: usize = 32 * 1024;

/// TLS handshakes of which the costly step is taken in one turn: a signature for
/// who says hello, or the check of a client's, a fraction of a millisecond with ECDSA
/// and more with RSA. So a crowd that comes back holds heartbeats and deliveries up
/// by about one millisecond at a time. Past it: the next turn, behind everyone who is in.
pub const TLS_HANDSHAKES_PER_TURN_MAX: usize = 4;

/// Records that TLS 1.2 keys must still have for a connection to go on: what its
/// backend is owed, a piece of fan-out under way, the reason and `close_notify`, of
/// 2^24 that the keys have. Fewer: close 1001, `QT` to a backend. TLS 1.3 changes its keys.
pub const TLS_RECORDS_RESERVED: u64 = 4096;

/// Plain bytes that are made records at once: as many as one turn gathers for a
/// channel. Bounds the buffer in which a shard seals.
pub const TLS_SEALED_BYTES_MAX: usize = 256 * 1024;

/// Bytes of shared frames that are sealed in one turn: at a gigabyte a second or more some
/// milliseconds, as long as the deliveries of a plain turn. Past it: the next turn,
/// which heartbeats and control frames go ahead of.
pub const TLS_SEALED_PER_TURN_MAX: usize = 8 * 1024 * 1024;

/// Tickets that a client gets for a handshake, each good for one resumption: a
/// page comes back with one connection.
pub const TLS_TICKETS_PER_HANDSHAKE: usize = 1;

/// Bytes of a file of certificates or keys; a bundle with every public authority
/// takes a quarter of it. Past it: refused at start.
pub const TLS_FILE_BYTES_MAX: usize = 1024 * 1024;

/// Certificates of a node, each with names of its own. A client's name is looked
/// up, not searched, so this bounds the start and a reload. Past it: refused at start.
pub const TLS_CERTIFICATES_MAX: usize = 1024;

// Each answer may be a record of its own, and the largest message is a thousand.
const _: () = assert!(
    TLS_RECORDS_RESERVED as usize
        >= 2 * REQUESTS_IN_FLIGHT_MAX + 2 * CONFIGURED_MESSAGE_BYTES_MAX / (16 * 1024)
);
// A turn's frames of one channel are sealed in one piece.
const _: () = assert!(BATCH_BYTES_MAX <= TLS_SEALED_BYTES_MAX);
// Who reads nothing is still read one whole record at a time.
const _: () = assert!(TLS_PARTIAL_BYTES_MAX >= 16 * 1024 + 2048 + 5);
