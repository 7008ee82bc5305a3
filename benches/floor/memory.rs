//! What an idle, subscribed frontend takes: of the broker's own memory, and of
//! the kernel's.

use std::io;
use std::net::{Ipv4Addr, TcpListener};

use crate::armed::{self, Wait};
use crate::broker::{self, Shape};
use crate::crowd::Crowd;
use crate::peers::pair;
use crate::report::{Goal, Report};
use crate::server::Server;
use crate::{machine, server};

/// Channels that they spread over, beside all in one.
const CHANNELS: usize = 100;

/// What a frontend may take of user memory, in bytes: past it CI fails. Bytes are
/// no matter of the machine's mood.
const USER_BYTES_MAX: f64 = 1024.0;

/// What is aimed at, in bytes.
const USER_BYTES_GOAL: f64 = 512.0;
const ALL_BYTES_GOAL: f64 = 5.5 * 1024.0;

/// The first ones make the broker and the kernel take what is not theirs.
const WARM_UP: usize = 100;

/// How often each of those subscribes and unsubscribes where there are several
/// shards: so often that each ring between two was full once. A ring takes its memory
/// as it is first gone through, whoever comes, and is the node's, not a frontend's.
const WARM_UP_ROUNDS: usize = 1500;

/// # Errors
/// Past the bound of user memory as well.
pub(crate) fn measure(samples: usize, idle: usize, report: &mut Report) -> io::Result<()> {
    (0..samples).try_for_each(|_| sample(idle, report))
}

fn sample(idle: usize, report: &mut Report) -> io::Result<()> {
    // Both ends are in one table here.
    let pairs = (idle / 2).min(machine::table_connections_max() / 2 - WARM_UP);
    let bare = bare_socket(pairs)?;
    report.add(
        &format!("memory: a bare socket, {} of them", 2 * pairs),
        "bytes of the kernel",
        bare,
        None,
    );
    let poll = armed::bytes_each(Wait::Poll, pairs)?;
    let unit = "bytes of the kernel";
    report.add(
        "memory: a multishot poll waiting, beyond its socket",
        unit,
        poll,
        None,
    );
    let receive = armed::bytes_each(Wait::Receive, pairs)?;
    let name = "memory: a multishot receive waiting, beyond its socket; against the poll";
    report.compare(name, unit, (receive, poll), None);
    for channels in [1, CHANNELS] {
        let (server, _) = server::start_broker(Shape {
            shards: machine::tables(idle + WARM_UP) as u16,
            ..Shape::of_one(channels)
        })?;
        let (node, user, kernel) = growth(&server, idle, channels)?;
        // The client's end is a bare socket.
        let kernel = kernel - bare;
        let name = format!("memory: {idle} idle frontends, channels: {channels}");
        report.add(
            &format!("{name}; the node without them, its rings used"),
            "KiB",
            node as f64 / 1024.0,
            None,
        );
        report.add(
            &format!("{name}; user"),
            "bytes",
            user,
            Some(Goal::AtMost(USER_BYTES_GOAL)),
        );
        report.compare(
            &format!("{name}; kernel, against a bare socket"),
            "bytes",
            (kernel, bare),
            None,
        );
        let all = Some(Goal::AtMost(ALL_BYTES_GOAL));
        report.add(
            &format!("{name}; user and kernel"),
            "bytes",
            user + kernel,
            all,
        );
        if user > USER_BYTES_MAX {
            let told =
                format!("{user:.0} bytes of user memory a frontend, {USER_BYTES_MAX} at most");
            return Err(io::Error::other(told));
        }
    }
    Ok(())
}

/// Bytes of the broker without them; and of it and of the kernel for each of so many
/// frontends.
fn growth(server: &Server, connections: usize, channels: usize) -> io::Result<(u64, f64, f64)> {
    let rounds = match machine::tables(connections + WARM_UP) {
        1 => 0,
        _ => WARM_UP_ROUNDS,
    };
    let channel = |index: usize| broker::own_channel(index % channels);
    let warm_up = |index: usize| {
        let mut said = broker::introduction(&channel(index));
        for round in 1..=rounds {
            said.push(broker::unsubscribe(&channel(index + round - 1)));
            said.push(broker::subscribe(&channel(index + round)));
        }
        said
    };
    let warm = Crowd::new(server.addr, WARM_UP, (0..WARM_UP).map(warm_up).collect())?;
    let subscribe = |index| broker::introduction(&channel(index));
    let preambles = (0..channels).map(subscribe).collect();
    let frontends = Crowd::new(server.addr, connections, preambles)?;
    warm.come()?;
    warm.rest()?;
    let before = (server.private_bytes()?, machine::socket_bytes()?);
    frontends.come()?;
    frontends.rest()?;
    let after = (server.private_bytes()?, machine::socket_bytes()?);
    let each = |before: u64, after: u64| after.saturating_sub(before) as f64 / connections as f64;
    Ok((before.0, each(before.0, after.0), each(before.1, after.1)))
}

/// Bytes of the kernel for a socket that is connected and nothing else.
fn bare_socket(pairs: usize) -> io::Result<f64> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let pair = |_| pair(&listener);
    let _warm = (0..WARM_UP).map(pair).collect::<io::Result<Vec<_>>>()?;
    let before = machine::socket_bytes()?;
    let _pairs = (0..pairs).map(pair).collect::<io::Result<Vec<_>>>()?;
    let grown = machine::socket_bytes()?.saturating_sub(before);
    Ok(grown as f64 / (2 * pairs) as f64)
}
