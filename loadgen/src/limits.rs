//! Every bound of the load generator, with the reason for its number.

use std::time::Duration;

/// Clients per thread that may be connecting or shaking hands at one time:
/// a quarter of the backlog that a broker's listener has. Past it the ramp waits.
pub(crate) const HANDSHAKES_MAX: usize = 1024;

/// Time from the start of a connection to its subscription. Past it the client
/// has failed. The broker itself gives a handshake as long.
pub(crate) const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// Clients that may fail before the first succeeds. Past it the ramp is given
/// up: nobody waits for 10,000 refusals to learn that the broker is down.
pub(crate) const FAILURES_FIRST_MAX: usize = 16;

/// Broadcasts sent in one turn, so that one that catches up still reads.
pub(crate) const SENDS_PER_TURN_MAX: usize = 256;

/// Full receive buffers taken from one client in one turn; the rest waits for the next.
pub(crate) const READS_PER_CLIENT_MAX: usize = 4;

/// Bytes of the receive buffer that all clients of a thread share.
pub(crate) const RECEIVE_BUFFER_BYTES: usize = 256 * 1024;

/// Longest sleep of a thread: how soon it notices a new phase or an interrupt.
pub(crate) const SLEEP_MAX: Duration = Duration::from_millis(20);

/// Time between the ramp's end and the first broadcast: every thread has seen
/// the timeline, and memory has settled where it is measured.
pub(crate) const SETTLE_TIME: Duration = Duration::from_millis(300);

/// Time that the broker has to answer the close frames at the end of a run.
/// Past it the connections are reset, which leaves no port behind in `TIME_WAIT`.
pub(crate) const LEAVE_TIMEOUT: Duration = Duration::from_secs(3);

/// Time that a self-hosted broker has to stop. Past it the process is killed.
pub(crate) const STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// Bytes of an HTTP answer's head. Past it the answer is taken for no upgrade.
pub(crate) const RESPONSE_BYTES_MAX: usize = 16 * 1024;

/// Headers of an HTTP answer. Past it the answer is taken for no upgrade.
pub(crate) const RESPONSE_HEADERS_MAX: usize = 64;

/// Bytes of one frame from the broker: a message at its own bound and the
/// members that the broker adds. Past it the connection is given up.
pub(crate) const FRAME_BYTES_MAX: usize = 2 * webrocket::limits::MESSAGE_BYTES_MAX;

/// Bytes of a broadcast's data; the event around it takes less than 4 KiB of
/// the broker's largest message.
pub(crate) const DATA_BYTES_MAX: usize = webrocket::limits::MESSAGE_BYTES_MAX - 4096;

/// Gaps in sequences that one thread remembers, to tell late from lost: 32 MiB.
/// Past it new gaps are not seen and the report says that it is not exact.
pub(crate) const GAPS_MAX: usize = 1 << 22;

/// Longest latency that a histogram tells apart; longer ones count as this.
pub(crate) const LATENCY_MAX: Duration = Duration::from_secs(60);

/// Clients, channels and publishers: a client's number has 24 bits in the driver.
pub(crate) const CLIENTS_MAX: u32 = 1 << 24;

/// Threads of clients.
pub(crate) const THREADS_MAX: u16 = 256;

/// Any one phase of a run: histograms and sequences are made for a day.
pub(crate) const PHASE_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// Clients per source address on loopback: Linux gives 28,232 local ports per
/// pair of addresses unless told otherwise.
pub(crate) const CLIENTS_PER_SOURCE: u32 = 25_000;

/// Lateness of sends (p99) past which latencies are the generator's, not the broker's.
pub(crate) const LATENESS_P99_MAX: Duration = Duration::from_millis(5);

/// Share of a core past which a thread may be what limits the run.
pub(crate) const THREAD_CPU_PERCENT_MAX: f64 = 90.0;

/// Connections over which the channels of a run are opened at one time.
pub(crate) const OPENERS_MAX: u32 = 32;

/// Time that a broker has to tell its metrics: a border of a phase waits for it.
pub(crate) const METRICS_TIMEOUT: Duration = Duration::from_secs(2);

/// Bytes of a broker's metrics: a thousand vhosts take a tenth of it.
pub(crate) const METRICS_BYTES_MAX: u64 = 8 * 1024 * 1024;

/// Shards whose metrics are read; a broker has fewer, and a broken page must
/// not fill the memory.
pub(crate) const METRICS_SHARDS_MAX: usize = 1024;

/// Descriptors of a thread of clients, or of a shard, besides its clients':
/// standard streams, rings, listeners, and the wake-ups that every table keeps.
pub(crate) const TABLE_SPARE: u64 = 128;

/// Clients that a thread or a shard of an automatic number has at least: fewer
/// are no work for a core.
pub(crate) const CLIENTS_PER_THREAD_MIN: u32 = 1000;

/// How far a shard's share of connections may be above the mean, in standard
/// deviations: one run in a hundred million is past it.
pub(crate) const SHARE_SIGMAS: f64 = 6.0;

/// Bytes of a scenario file. Past it the file is something else.
pub(crate) const SCENARIO_BYTES_MAX: u64 = 64 * 1024;

/// Spans of a shape: a day of seconds.
pub(crate) const SHAPE_SPANS_MAX: usize = 86_400;

/// Bytes of a shape's file: its spans, written with room to read them.
pub(crate) const SHAPE_BYTES_MAX: u64 = 512 * SHAPE_SPANS_MAX as u64;

/// Bytes of a delivered frame beside the data of its broadcast: the frame's
/// header, the event's name, the session's id and the channel.
pub(crate) const DELIVERY_AROUND_BYTES: usize = 100;

/// Spans of a run that are told apart; one takes some kilobytes. A longer run
/// has longer spans.
pub(crate) const SPANS_MAX: usize = 3600;

/// Shortest span.
pub(crate) const SPAN_MIN: Duration = Duration::from_secs(1);

/// How late a broadcast may leave before its tick counts as missed: ten times
/// what a wake-up takes on an idle machine.
pub(crate) const TICK_LATE_MAX: Duration = Duration::from_millis(1);

/// Share of missed ticks past which the schedule was not kept.
pub(crate) const MISSED_TICKS_PERCENT_MAX: f64 = 1.0;

/// Receive lag (p99) past which latencies are the generator's, not the broker's.
pub(crate) const RECEIVE_LAG_P99_MAX: Duration = Duration::from_millis(5);

/// Nanoseconds of a wait for events below which there was none: they had been
/// there before. A wake-up takes twice as long at the least.
pub(crate) const POLL_INSTANT_NS: u64 = 10_000;

/// Bytes of an interval log: the longest that a run writes takes a third of it.
pub(crate) const LOG_BYTES_MAX: u64 = 128 * 1024 * 1024;

/// Broadcasts a second with which a search begins: any machine carries them.
pub(crate) const RATE_FIRST: f64 = 50.0;

/// Lowest rate that a search tries: one broadcast in a step of a few seconds.
pub(crate) const RATE_LEAST: f64 = 1.0;

/// Ratio of what fails to what holds at which a search ends: finer is noise.
pub(crate) const EDGE_RESOLUTION: f64 = 1.1;

/// The next step up from a maximum, which must not hold.
pub(crate) const NEXT_STEP_UP: f64 = 1.25;

/// Confirmations of one maximum before it counts as not to be had.
pub(crate) const CONFIRMATIONS_MAX: u32 = 8;

/// Share of the maximum that is safe: 30 % are left for what nobody foresaw.
pub(crate) const SAFE_SHARE: f64 = 0.7;

/// Percent of a core from which on it has no time left.
pub(crate) const BUSY_PERCENT: f64 = 85.0;

/// Points of a chart's line: more than its pixels are wide help nobody.
pub(crate) const CHART_POINTS_MAX: usize = 600;

/// Bytes of a report that is read back: histograms and an hour of seconds take a hundredth.
pub(crate) const REPORT_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Clients from which on memory is told for each: with fewer it is that of the
/// process itself.
pub(crate) const CLIENTS_FOR_MEMORY_MIN: u64 = 1000;

/// Time without a single connection after which the broker has gone away and the
/// run ends: a broker that is started anew would be no part of it.
pub(crate) const DESERTED_TIME: Duration = Duration::from_secs(1);

/// Broadcasts of one publisher that a closed loop keeps under way: what its
/// outbox holds of small ones.
pub(crate) const IN_FLIGHT_MAX: u32 = 4096;

/// Time between two looks of the coordinator at a phase that goes on: how soon a
/// broker that went away is noticed, and how smoothly a bar moves.
pub(crate) const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// Clients that disconnect in one turn, so that one that catches up still reads.
pub(crate) const LEAVES_PER_TURN_MAX: usize = 256;

/// Time after which a client whose return was refused tries again: a broker that
/// is busy is not hammered.
pub(crate) const RETRY_DELAY: Duration = Duration::from_millis(200);

/// Bytes of a slow client's receive buffer: the kernel's least, so that its
/// socket is full soon.
pub(crate) const SLOW_RECEIVE_BUFFER_BYTES: usize = 4096;

/// Time between two readings of a slow client.
pub(crate) const SLOW_READ_INTERVAL: Duration = Duration::from_millis(100);

/// Connections over which access tokens are asked for: one would wait for its
/// shard of the broker alone.
pub(crate) const TOKEN_CLIENTS: usize = 4;

/// Requests for access tokens that are under way at one time: what those
/// connections take before they make callers wait.
pub(crate) const TOKENS_IN_FLIGHT_MAX: usize = 1024;

/// Pairs of members of presence channels, in clients times members of a channel:
/// each is told of each, and takes a bit here. One channel of 4,096 has as many.
pub(crate) const PRESENCE_PAIRS_MAX: u64 = 1 << 24;

/// Triggers of one run: each takes a bit where it arrives, and where its reply does.
pub(crate) const TRIGGERS_MAX: u64 = 1 << 28;

/// Workers of a run: each has a connection and a heartbeat.
pub(crate) const WORKERS_MAX: u32 = 10_000;

/// Kosmonaut clients of a run, a connection each.
pub(crate) const BACKEND_CLIENTS_MAX: u32 = 1000;

/// Triggers that one worker handles at one time: replies wait for the broker.
pub(crate) const WORKER_HANDLERS_MAX: usize = 256;

/// Time that all workers have to be registered, beside the ramp.
pub(crate) const WORKERS_READY_TIMEOUT: Duration = Duration::from_secs(10);

/// Requests of one kind under way at one time: past it a broker that stands still
/// would fill the memory.
pub(crate) const BACKEND_REQUESTS_MAX: usize = 16_384;

/// Files that are merged at one time.
pub(crate) const MERGE_FILES_MAX: usize = 256;

/// Bytes of the files that are merged at one time: they are held in memory.
pub(crate) const MERGE_BYTES_MAX: u64 = 4 * LOG_BYTES_MAX;

/// Agents of one run.
pub(crate) const AGENTS_MAX: usize = 256;

/// Bytes of one order to an agent: a run's options, with addresses to connect from.
pub(crate) const AGENT_ORDER_BYTES_MAX: usize = 64 * 1024;

/// Bytes of what an agent says at once: its report, with histograms of an hour of seconds.
pub(crate) const AGENT_REPORT_BYTES_MAX: usize = 256 * 1024 * 1024;

/// Leaders that an agent hears at one time, those among them that it will refuse.
pub(crate) const AGENT_CONNECTIONS_MAX: usize = 16;

/// Time that either side has to connect and to say what it wants.
pub(crate) const AGENT_HELLO_TIMEOUT: Duration = Duration::from_secs(5);

/// Time between two signs of life of an agent.
pub(crate) const AGENT_ALIVE_INTERVAL: Duration = Duration::from_secs(1);

/// Silence after which an agent counts as lost: machines under load skip some signs.
pub(crate) const AGENT_SILENCE_MAX: Duration = Duration::from_secs(15);

/// Time between the word to begin and the first broadcast: the word has reached
/// every agent by then.
pub(crate) const GO_DELAY: Duration = Duration::from_millis(500);

/// Share of the memory that is free which connections may take: the rest is for
/// what they send.
pub(crate) const MEMORY_SHARE: f64 = 0.75;

/// Searches with each shard count: the error of a law shows only in what is
/// measured more often than it has unknowns.
pub(crate) const SHARD_TRIALS: usize = 2;
