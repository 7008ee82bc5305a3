//! Innocent clients of the same node, and how they fare.

use std::fmt;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::stage::Stage;

/// So many pairs of a quiet turn and one under attack.
const ROUNDS: usize = 7;
const QUIET: Duration = Duration::from_millis(140);
const ATTACK: Duration = Duration::from_millis(200);
/// What the attack left behind is dealt with; not measured.
const REST: Duration = Duration::from_millis(40);
/// How long all attacks together went on.
pub(crate) const ATTACKED: Duration = ATTACK.saturating_mul(ROUNDS as u32);

/// Connections that measure, on all shards.
const BYSTANDERS: usize = 4;
/// Between two of their broadcasts: some four hundred a turn, for a p99 to mean something.
const PAUSE: Duration = Duration::from_micros(300);

/// A broker that is slower than this under attack has failed.
const TIMES_MAX: f64 = 20.0;
/// Unless that is still what a machine with other work to do makes of anything.
const ANYTHING_GOES: Duration = Duration::from_secs(2);

/// As what a turn counts in which nobody was served.
const NEVER: Duration = Duration::from_secs(10);

/// When attackers may attack.
pub(crate) struct Gate(AtomicUsize);

const OVER: usize = usize::MAX;
const CLOSED: usize = usize::MAX - 1;

impl Gate {
    /// Waits for the next turn of the attack; false once there is none.
    pub(crate) fn is_open(&self) -> bool {
        loop {
            match self.0.load(Ordering::Relaxed) {
                OVER => return false,
                turn if turn != CLOSED && turn % 2 == 1 => return true,
                _ => thread::sleep(Duration::from_micros(200)),
            }
        }
    }
}

/// What one attacker does while the gate is open.
pub(crate) type Attacker<'a> = Box<dyn FnOnce(&Gate) + Send + 'a>;

/// How long bystanders waited: medians over all rounds.
pub(crate) struct Turns {
    quiet: [Duration; 2],
    attacked: [Duration; 2],
    times: [f64; 2],
    /// As long as 999 of 1,000 turns of the shards took at most, in seconds.
    pump_seconds: f64,
}

impl fmt::Display for Turns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = |time: Duration| time.as_secs_f64() * 1e3;
        let ([p50, p99], [then50, then99]) = (self.quiet.map(ms), self.attacked.map(ms));
        let [times50, times99] = self.times;
        write!(
            f,
            "bystander p50 x{times50:.1} p99 x{times99:.1} \
             ({p50:.2} to {then50:.2} ms, {p99:.2} to {then99:.2} ms), \
             shards p99.9 {:.2} ms a turn",
            self.pump_seconds * 1e3
        )
    }
}

impl Stage {
    /// Attacks by turns while bystanders measure.
    pub(crate) fn by_turns(&self, attackers: Vec<Attacker<'_>>) -> Turns {
        let gate = Gate(AtomicUsize::new(CLOSED));
        for place in 0..BYSTANDERS {
            let path = format!("/calm/channels/own-{place}");
            // It is there where another measurement came before.
            let status = self.admin("POST", &path).status;
            assert!([302, 400].contains(&status), "{status}");
        }
        let before = self.pump_turns();
        let turns = thread::scope(|scope| {
            let bystanders = scope.spawn(|| self.measure(&gate));
            for attack in attackers {
                let gate = &gate;
                scope.spawn(move || {
                    give_way();
                    attack(gate);
                });
            }
            for round in 0..ROUNDS {
                for (turn, time) in [(2 * round, QUIET), (2 * round + 1, ATTACK), (CLOSED, REST)] {
                    gate.0.store(turn, Ordering::Relaxed);
                    thread::sleep(time);
                }
            }
            gate.0.store(OVER, Ordering::Relaxed);
            compare(bystanders.join().expect("measured"))
        });
        let pump_seconds = slowest(&before, &self.pump_turns());
        Turns {
            pump_seconds,
            ..turns
        }
    }

    /// Each bystander in turn broadcasts to itself; the times by turn.
    fn measure(&self, gate: &Gate) -> Vec<Vec<Duration>> {
        let mut browsers: Vec<_> = (0..BYSTANDERS)
            .map(|place| {
                let mut browser = self.browser("/calm");
                browser.subscribe(&format!("own-{place}"));
                browser
            })
            .collect();
        let mut times = vec![Vec::new(); 2 * ROUNDS];
        for number in 0_u64.. {
            let turn = gate.0.load(Ordering::Relaxed);
            if turn == OVER {
                break;
            }
            let place = number as usize % BYSTANDERS;
            let begun = Instant::now();
            browsers[place].broadcast(&format!("own-{place}"), "e", json!({ "n": number }));
            assert_eq!(browsers[place].receive()["e"]["n"], number);
            if turn != CLOSED {
                times[turn].push(begun.elapsed());
            }
            thread::sleep(PAUSE);
        }
        times
    }
}

/// Prints the line of this attack, and fails where bystanders starved.
pub(crate) fn report(attack: &str, load: &str, bound: &str, turns: &Turns) {
    println!("attack: {attack} | {load} | bound: {bound} | {turns}");
    for (times, attacked) in turns.times.iter().zip(turns.attacked) {
        let starved = *times > TIMES_MAX && attacked > ANYTHING_GOES;
        assert!(!starved, "{attack}: {turns}");
    }
}

/// The bound that 999 of 1,000 of the turns between two looks kept.
fn slowest(before: &[(f64, u64)], after: &[(f64, u64)]) -> f64 {
    let between = before.iter().zip(after);
    let between: Vec<_> = between
        .map(|(before, after)| (after.0, after.1 - before.1))
        .collect();
    let total = between.last().expect("a histogram").1;
    let kept = between
        .iter()
        .find(|(_, count)| *count * 1000 >= total * 999);
    kept.expect("the last bucket has all").0
}

fn compare(mut times: Vec<Vec<Duration>>) -> Turns {
    times.iter_mut().for_each(|turn| turn.sort_unstable());
    let rounds: Vec<_> = times.chunks(2).filter(|it| !it[0].is_empty()).collect();
    assert!(!rounds.is_empty(), "no bystander was ever served");
    let over = |turn: usize, of: [usize; 2]| {
        let value = |round: &&[Vec<Duration>]| {
            // Nobody was served in it: as if each had waited for all of it.
            let (times, last) = (&round[turn], round[turn].len().saturating_sub(1));
            times
                .get((last * of[0]).div_ceil(of[1]))
                .copied()
                .unwrap_or(NEVER)
        };
        rounds.iter().map(value).collect::<Vec<_>>()
    };
    let measure = |of| {
        let (quiet, attacked) = (over(0, of), over(1, of));
        let ratios = quiet.iter().zip(&attacked);
        let ratios = ratios.map(|(quiet, attacked)| attacked.div_duration_f64(*quiet));
        let ratio = median(ratios.collect(), f64::total_cmp);
        (median(quiet, Ord::cmp), median(attacked, Ord::cmp), ratio)
    };
    let (p50, p99) = (measure([1, 2]), measure([99, 100]));
    Turns {
        quiet: [p50.0, p99.0],
        attacked: [p50.1, p99.1],
        times: [p50.2, p99.2],
        pump_seconds: 0.0,
    }
}

fn median<T: Copy>(mut values: Vec<T>, order: impl FnMut(&T, &T) -> std::cmp::Ordering) -> T {
    values.sort_unstable_by(order);
    values[values.len() / 2]
}

/// Attackers have the cores only while nobody else wants them: what bystanders
/// feel is the broker, not that attackers live on the same machine. A low priority
/// alone would not do: whoever runs may finish its slice of milliseconds.
fn give_way() {
    let thread = rustix::thread::gettid().as_raw_nonzero().to_string();
    let given = Command::new("chrt")
        .args(["--idle", "--pid", "0", &thread])
        .status();
    // Of util-linux; where it is missing, a low priority has to do.
    if !given.is_ok_and(|status| status.success()) {
        let thread = rustix::thread::gettid();
        rustix::process::setpriority_process(Some(thread), 15).expect("nicer");
    }
}

#[test]
fn ratios_are_medians_of_rounds() {
    let ms = |times: &[u64]| {
        times
            .iter()
            .map(|&time| Duration::from_millis(time))
            .collect()
    };
    let rounds = [
        ([1, 1, 3], [2, 2, 9]),
        ([2, 2, 4], [2, 2, 4]),
        ([1, 1, 1], [4, 4, 4]),
    ];
    let times = rounds
        .iter()
        .flat_map(|(quiet, attacked)| [ms(quiet), ms(attacked)]);
    let turns = compare(times.collect());
    assert_eq!(turns.times, [2.0, 3.0]);
    assert_eq!(turns.quiet[1], Duration::from_millis(3));
    let looks = [[10, 20, 20, 20], [1009, 2018, 2019, 2020]];
    let [before, after] = looks.map(|counts| {
        let bounds = [0.001, 0.002, 0.004, f64::INFINITY];
        bounds.into_iter().zip(counts).collect::<Vec<_>>()
    });
    assert_eq!(slowest(&before, &after), 0.002);
}
