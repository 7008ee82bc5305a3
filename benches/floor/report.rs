//! Medians, and ratios to the floor measured just before.

use std::fmt;

pub(crate) const HEADING: &str = "\
load      connections  server         ns CPU per operation   against the floor (least - most)";

/// The samples of one load. The first server added is the floor.
pub(crate) struct Report {
    load: &'static str,
    operation: &'static str,
    connections: usize,
    servers: Vec<(&'static str, Vec<f64>)>,
}

impl Report {
    pub(crate) fn new(load: &'static str, operation: &'static str, connections: usize) -> Self {
        Self {
            load,
            operation,
            connections,
            servers: Vec::new(),
        }
    }

    pub(crate) fn add(&mut self, server: &'static str, ns: f64) {
        match self.servers.iter_mut().find(|(name, _)| *name == server) {
            Some((_, samples)) => samples.push(ns),
            None => self.servers.push((server, vec![ns])),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some((_, floor)) = self.servers.first() else {
            return Ok(());
        };
        for (server, samples) in &self.servers {
            // Neighbours in time share the machine's mood.
            let ratios = sorted(samples.iter().zip(floor).map(|(ns, floor)| ns / floor));
            writeln!(
                f,
                "{:<9} {:>11}  {:<12} {:>11.0} a {:<9} {:>6.2} ({:.2} - {:.2})",
                self.load,
                self.connections,
                server,
                median(&sorted(samples.iter().copied())),
                self.operation,
                median(&ratios),
                ratios.first().copied().unwrap_or(f64::NAN),
                ratios.last().copied().unwrap_or(f64::NAN),
            )?;
        }
        Ok(())
    }
}

/// How costs grow with connections: pairs that were measured one after the other.
pub(crate) struct Growth {
    few: usize,
    many: usize,
    /// The floor's and the broker's.
    pairs: Vec<(f64, f64)>,
}

impl Growth {
    pub(crate) fn new(few: usize, many: usize) -> Self {
        Self {
            few,
            many,
            pairs: Vec::new(),
        }
    }

    pub(crate) fn add(&mut self, floor: f64, broker: f64) {
        self.pairs.push((floor, broker));
    }
}

impl fmt::Display for Growth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let floor = sorted(self.pairs.iter().map(|(floor, _)| *floor));
        let broker = sorted(self.pairs.iter().map(|(_, broker)| *broker));
        let ratio = sorted(self.pairs.iter().map(|(floor, broker)| broker / floor));
        writeln!(
            f,
            "growth    {} to {} connections: floor {:.2}, broker {:.2}; broker's over floor's {:.2} ({:.2} - {:.2})",
            self.few,
            self.many,
            median(&floor),
            median(&broker),
            median(&ratio),
            ratio.first().copied().unwrap_or(f64::NAN),
            ratio.last().copied().unwrap_or(f64::NAN),
        )
    }
}

fn sorted(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values
}

/// Of sorted values.
fn median(values: &[f64]) -> f64 {
    match values.len() {
        0 => f64::NAN,
        count if count % 2 == 1 => values[count / 2],
        count => (values[count / 2 - 1] + values[count / 2]) / 2.0,
    }
}
