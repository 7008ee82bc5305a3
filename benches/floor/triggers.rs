//! Triggers of frontends to the workers of their vhost.

use std::io::{self, Read, Write};
use std::time::{Duration, Instant};

use webrocket::wire::frame::Opcode;

use crate::broker::{self, Place, Shape};
use crate::flood::per_cpu_second;
use crate::peers::{Exchange, Peers, Speaker, open};
use crate::report::{Goal, Report};
use crate::server;

const WORKERS: usize = 4;
const FRONTENDS: usize = 8;

/// Of one write.
const TRIGGERS_AT_ONCE: usize = 16;

/// Triggers under way.
const UNDER_WAY: usize = 1024;

/// As workers say it: without the empty line of the server's.
const HEARTBEAT: &[u8] = b"HB\n\r\n\r\n";

/// Half of what a worker may be silent, and less.
const HEARTBEAT_INTERVAL: Duration = Duration::from_millis(500);

const DATA: &str = r#"{"n":"0123456789012345678901234567890123456789"}"#;

pub(crate) fn measure(samples: usize, triggers: usize, report: &mut Report) -> io::Result<()> {
    for _ in 0..samples {
        let (rate, unfairness) = sample(triggers)?;
        let goal = Some(Goal::AtLeast(300_000.0));
        report.add(
            &format!("triggers: to {WORKERS} workers"),
            "triggers a CPU second",
            rate,
            goal,
        );
        report.add(
            "triggers: the busiest worker's lead over the idlest",
            "% of the mean",
            unfairness,
            Some(Goal::AtMost(1.0)),
        );
    }
    Ok(())
}

fn sample(triggers: usize) -> io::Result<(f64, f64)> {
    let (server, place) = server::start_broker(Shape::of_one(0))?;
    let mut workers =
        Peers::connect(place.backends, WORKERS, |number| vec![place.work(number)])?.sweep();
    let tokens = tokens(&place, FRONTENDS)?;
    let mut frontends = tokens
        .iter()
        .map(|token| {
            let auth = format!(r#"{{"auth":{{"token":"{token}"}}}}"#);
            let preamble = [broker::upgrade(), broker::say(auth.as_bytes())];
            Speaker::open(place.frontends, &preamble)
        })
        .collect::<io::Result<Vec<_>>>()?;
    let event = format!(r#"{{"trigger":{{"event":"e","data":{DATA}}}}}"#);
    let events = broker::client_frame(Opcode::Text, event.as_bytes()).repeat(TRIGGERS_AT_ONCE);
    let mut next = 0;
    let mut beat = Instant::now();
    let rate = per_cpu_second(&server, triggers, |triggers| {
        let count = triggers.next_multiple_of(TRIGGERS_AT_ONCE);
        // Heartbeats that come between are a handful of bytes among millions.
        workers.flood(count * packet_bytes(), UNDER_WAY * packet_bytes(), |all| {
            if beat.elapsed() > HEARTBEAT_INTERVAL {
                beat = Instant::now();
                for worker in 0..WORKERS {
                    all.send(worker, HEARTBEAT)?;
                }
            }
            next = (next + 1) % FRONTENDS;
            frontends[next].say(&events)?;
            Ok(TRIGGERS_AT_ONCE * packet_bytes())
        })?;
        Ok(count)
    })?;
    let taken: Vec<usize> = workers
        .taken()
        .iter()
        .map(|bytes| bytes / packet_bytes())
        .collect();
    let mean = taken.iter().sum::<usize>() as f64 / WORKERS as f64;
    let most = taken.iter().copied().max().unwrap_or(0);
    let least = taken.iter().copied().min().unwrap_or(0);
    Ok((rate, (most - least) as f64 / mean * 100.0))
}

/// What a worker gets for one of them.
fn packet_bytes() -> usize {
    let sid = "0".repeat(36);
    let members = &DATA[1..];
    format!("TR\n{{\"e\":{{\"sid\":\"{sid}\",{members}}}\n\r\n\r\n").len()
}

/// Single access tokens, asked for as a backend does.
fn tokens(place: &Place, count: usize) -> io::Result<Vec<String>> {
    const HEX: usize = 128;
    let keep: [Exchange; 1] = [place.keep()];
    let mut stream = open(place.backends, &keep)?;
    let mut answer = [0; "AT\n\n\r\n\r\n".len() + HEX];
    let mut ask = || {
        stream.write_all(b"AT\nuser\n.*\n\r\n\r\n")?;
        stream.read_exact(&mut answer)?;
        let token = answer.get(3..3 + HEX).unwrap_or_default();
        String::from_utf8(token.to_vec()).map_err(io::Error::other)
    };
    (0..count).map(|_| ask()).collect()
}
