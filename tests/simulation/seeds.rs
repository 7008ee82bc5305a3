//! Which seeds are run, and what a failure tells.

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::world::Totals;

/// What `cargo test` runs.
const SEEDS: u64 = 300;
const STEPS: usize = 1500;

pub(crate) struct Plan {
    pub(crate) seeds: Range<u64>,
    pub(crate) steps: usize,
    /// Where the decisions of the seed are written to, as bytes for the fuzzer.
    pub(crate) record: Option<String>,
}

impl Plan {
    /// From variables of the environment.
    pub(crate) fn from(variable: impl Fn(&str) -> Option<String>) -> Self {
        let number = |name| {
            let text = variable(name)?;
            Some(text.parse::<u64>().expect("a number"))
        };
        Self {
            seeds: match number("WEBROCKET_SEED") {
                Some(seed) => seed..seed + 1,
                None => 0..number("WEBROCKET_SEEDS").unwrap_or(SEEDS),
            },
            steps: number("WEBROCKET_STEPS").map_or(STEPS, |steps| steps as usize),
            record: variable("WEBROCKET_RECORD"),
        }
    }
}

/// The line that runs this seed and no other.
fn command(seed: u64, steps: usize) -> String {
    let steps = match steps {
        STEPS => String::new(),
        other => format!("WEBROCKET_STEPS={other} "),
    };
    format!("WEBROCKET_SEED={seed} {steps}cargo test --test simulation every_interleaving")
}

/// Runs each seed, on all cores; the first one that fails is named with its command.
pub(crate) fn run(plan: &Plan, one: impl Fn(u64) -> Totals + Sync) -> Totals {
    let next = AtomicU64::new(plan.seeds.start);
    let work = || {
        let mut totals = Totals::default();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= plan.seeds.end {
                return Ok(totals);
            }
            match catch_unwind(AssertUnwindSafe(|| one(seed))) {
                Ok(seen) => totals.add(&seen),
                Err(_) => {
                    // The others stop after the one they are at.
                    next.store(plan.seeds.end, Ordering::Relaxed);
                    return Err(seed);
                }
            }
        }
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let results: Vec<Result<Totals, u64>> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..cores).map(|_| scope.spawn(work)).collect();
        let joined = threads.into_iter().map(|it| it.join().expect("caught"));
        joined.collect()
    });
    if let Some(seed) = results.iter().filter_map(|it| it.as_ref().err()).min() {
        panic!("failed: {}", command(*seed, plan.steps));
    }
    let mut totals = Totals::default();
    results.iter().flatten().for_each(|seen| totals.add(seen));
    totals
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes the line apart as a shell does: the variables, and the words.
    fn parse(line: &str) -> (Vec<(&str, &str)>, Vec<&str>) {
        let words = line.split(' ');
        let variables = words.clone().map_while(|word| word.split_once('='));
        let variables: Vec<_> = variables.collect();
        let rest = words.skip(variables.len()).collect();
        (variables, rest)
    }

    fn plan_of(variables: &[(&str, &str)]) -> Plan {
        Plan::from(|name| {
            let known = variables.iter().find(|(known, _)| *known == name);
            known.map(|(_, value)| (*value).to_owned())
        })
    }

    fn failure(plan: &Plan, failing: u64) -> String {
        let broken = |seed| match seed == failing {
            true => panic!("a broken promise, on purpose"),
            false => Totals::default(),
        };
        let outcome = catch_unwind(AssertUnwindSafe(|| run(plan, broken)));
        let message = outcome.expect_err("a seed that fails");
        message.downcast_ref::<String>().expect("text").clone()
    }

    #[test]
    fn a_failure_names_the_command_that_runs_its_seed_alone() {
        for (given, failing) in [
            (&[][..], 7),
            (
                &[("WEBROCKET_SEEDS", "10000"), ("WEBROCKET_STEPS", "20")],
                9999,
            ),
        ] {
            let plan = plan_of(given);
            let message = failure(&plan, failing);
            let line = message.strip_prefix("failed: ").expect("a command");
            let (variables, words) = parse(line);
            let again = plan_of(&variables);
            assert_eq!(again.seeds, failing..failing + 1, "{line}");
            assert_eq!(again.steps, plan.steps, "{line}");
            let [cargo, test, flag, name, filter] = words[..] else {
                panic!("{line}");
            };
            assert_eq!([cargo, test, flag], ["cargo", "test", "--test"]);
            let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
            assert!(folder.join(name).join("main.rs").is_file(), "{line}");
            assert_eq!(runs(filter, &variables), failing.to_string(), "{line}");
        }
    }

    /// What the test that the line names says it runs, in a process of its own.
    fn runs(filter: &str, variables: &[(&str, &str)]) -> String {
        let program = std::env::current_exe().expect("this program");
        let output = std::process::Command::new(program)
            .args([filter, "--nocapture"])
            .env_remove("WEBROCKET_SEEDS")
            .envs(variables.iter().copied())
            .output()
            .expect("started");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{text}");
        let said = text.lines().find_map(|line| line.strip_prefix("seed "));
        let said = said.unwrap_or_else(|| panic!("no seed in {text}"));
        said.split(':').next().unwrap_or_default().to_owned()
    }
}
