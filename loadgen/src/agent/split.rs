//! A run's load, shared out among agents.

use thiserror::Error;

use crate::args::{Load, Rate};

/// Why a load can't be shared out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(crate) enum SplitError {
    /// Each has channels of its own, so that it alone counts what comes on them.
    #[error("{channels} channels for {agents} agents: give --channels {agents} or more")]
    TooFewChannels { channels: u32, agents: usize },
    /// Nor clients.
    #[error("{clients} clients for {agents} agents: give --clients {agents} or more")]
    TooFewClients { clients: u32, agents: usize },
    /// A worker takes what any client triggers.
    #[error(
        "triggers reach the workers of any agent: give --workers and --trigger-rate to one \
         loadgen alone"
    )]
    Triggers,
}

/// One load for each of so many agents; together they are the whole.
///
/// # Errors
/// There is too little of something.
pub(super) fn split(load: &Load, agents: usize) -> Result<Vec<Load>, SplitError> {
    let count = agents as u32;
    if load.channels < count {
        return Err(SplitError::TooFewChannels {
            channels: load.channels,
            agents,
        });
    }
    if load.clients < count {
        return Err(SplitError::TooFewClients {
            clients: load.clients,
            agents,
        });
    }
    if load.workers > 0 || load.trigger_rate.is_some() {
        return Err(SplitError::Triggers);
    }
    let up_to =
        |whole: u32, agent: u32| (u64::from(whole) * u64::from(agent) / u64::from(count)) as u32;
    let part = |whole: u32, agent: u32| up_to(whole, agent + 1) - up_to(whole, agent);
    let loads = (0..count).map(|agent| {
        let first = up_to(load.channels, agent);
        let channels = part(load.channels, agent);
        // As many clients to each channel as in the whole.
        let clients =
            |channel: u32| u64::from(load.clients) * u64::from(channel) / u64::from(load.channels);
        let own = clients(first + channels) - clients(first);
        let share = f64::from(channels) / f64::from(load.channels);
        let of = |rate: Rate| Rate((rate.0 * share).max(Rate::LEAST));
        let even = |rate: Rate| Rate((rate.0 / f64::from(count)).max(Rate::LEAST));
        Load {
            clients: own as u32,
            channels,
            first_channel: load.first_channel + first,
            slow_clients: part(load.slow_clients, agent),
            rate: of(load.rate),
            connect_rate: even(load.connect_rate),
            churn: load.churn.map(of),
            backend_rate: load.backend_rate.map(of),
            channel_churn: load.channel_churn.map(even),
            token_rate: load.token_rate.map(even),
            ..load.clone()
        }
    });
    Ok(loads.collect())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::Cli;

    fn load(line: &str) -> Load {
        let words = ["loadgen"].into_iter().chain(line.split_ascii_whitespace());
        Cli::try_parse_from(words).expect("options").options.load
    }

    #[test]
    fn the_parts_are_the_whole() {
        let whole = load(
            "--clients 1003 --channels 7 --rate 70 --connect-rate 300 --churn 7 --slow-clients 5",
        );
        for agents in 1..=7 {
            let parts = split(&whole, agents).expect("enough of everything");
            assert_eq!(parts.len(), agents);
            let sum = |of: fn(&Load) -> f64| parts.iter().map(of).sum::<f64>().round();
            assert_eq!(parts.iter().map(|it| it.clients).sum::<u32>(), 1003);
            assert_eq!(parts.iter().map(|it| it.slow_clients).sum::<u32>(), 5);
            assert_eq!(sum(|it| it.rate.0), 70.0);
            assert_eq!(sum(|it| it.connect_rate.0), 300.0);
            assert_eq!(sum(|it| it.churn.map_or(0.0, |it| it.0)), 7.0);
            let mut next = 0;
            for part in &parts {
                assert_eq!(part.first_channel, next, "each has channels of its own");
                assert!(part.clients / part.channels >= 1003 / 7 - 1);
                next += part.channels;
            }
            assert_eq!(next, 7);
        }
    }

    #[test]
    fn as_many_agents_as_channels_and_one_more() {
        let whole = load("--clients 10 --channels 3");
        assert!(split(&whole, 3).is_ok());
        let refused = split(&whole, 4).expect_err("too many agents").to_string();
        assert!(refused.contains("give --channels 4"), "{refused}");
        let few = split(&load("--clients 2 --channels 2"), 2);
        assert!(few.is_ok());
    }

    #[test]
    fn triggers_are_not_shared_out() {
        for line in ["--workers 1", "--trigger-rate 5"] {
            let refused = split(&load(&format!("--channels 2 {line}")), 2);
            assert_eq!(refused.err(), Some(SplitError::Triggers));
        }
    }
}
