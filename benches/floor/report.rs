//! Medians with their spread, what was aimed at, and whether it was met.
//!
//! Rows of a Markdown table, so that documents quote what was printed.

use std::fmt;

/// Stands over all rows.
pub(crate) const HEADING: &str = "\
| figure | measured | against the floor | least - most | target | met |
|---|---|---|---|---|---|";

/// What a figure is meant to be. Told, never enforced: machines are noisy.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Goal {
    AtMost(f64),
    AtLeast(f64),
}

/// Figures in the order in which they were first added.
#[derive(Default)]
pub(crate) struct Report(Vec<Figure>);

struct Figure {
    name: String,
    unit: &'static str,
    goal: Option<Goal>,
    values: Vec<f64>,
    /// Each value over the floor's of the same turn; empty where there is none.
    ratios: Vec<f64>,
}

impl Report {
    /// A sample that is judged as it is.
    pub(crate) fn add(&mut self, name: &str, unit: &'static str, value: f64, goal: Option<Goal>) {
        self.figure(name, unit, goal).values.push(value);
    }

    /// A sample that is judged by its ratio to a floor measured just before:
    /// neighbours in time share the machine's mood.
    pub(crate) fn compare(
        &mut self,
        name: &str,
        unit: &'static str,
        (value, floor): (f64, f64),
        goal: Option<Goal>,
    ) {
        let figure = self.figure(name, unit, goal);
        figure.values.push(value);
        figure.ratios.push(value / floor);
    }

    fn figure(&mut self, name: &str, unit: &'static str, goal: Option<Goal>) -> &mut Figure {
        let known = self.0.iter().position(|figure| figure.name == name);
        let at = known.unwrap_or_else(|| {
            self.0.push(Figure {
                name: name.to_owned(),
                unit,
                goal,
                values: Vec::new(),
                ratios: Vec::new(),
            });
            self.0.len() - 1
        });
        &mut self.0[at]
    }
}

impl Goal {
    fn is_met(self, value: f64) -> bool {
        match self {
            Self::AtMost(bound) => value <= bound,
            Self::AtLeast(bound) => value >= bound,
        }
    }
}

impl fmt::Display for Goal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::AtMost(bound) => write!(f, "at most {}", Number(bound)),
            Self::AtLeast(bound) => write!(f, "at least {}", Number(bound)),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|figure| writeln!(f, "{figure}"))
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let measured = Number(median(&self.values));
        write!(f, "| {} | {measured} {} | ", self.name, self.unit)?;
        let judged = if self.ratios.is_empty() {
            &self.values
        } else {
            write!(f, "{}", Number(median(&self.ratios)))?;
            &self.ratios
        };
        let [least, most] = [f64::min, f64::max].map(|pick| judged.iter().copied().reduce(pick));
        let [least, most] = [least, most].map(|it| Number(it.unwrap_or(f64::NAN)));
        write!(f, " | {least} - {most} | ")?;
        match self.goal {
            Some(goal) if goal.is_met(median(judged)) => write!(f, "{goal} | yes |"),
            Some(goal) => write!(f, "{goal} | **no** |"),
            None => write!(f, "| |"),
        }
    }
}

/// Three digits are enough, and whole numbers show all of theirs.
struct Number(f64);

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.0;
        if !value.is_finite() {
            return write!(f, "-");
        }
        match value.abs() {
            0.0..10.0 => write!(f, "{value:.2}"),
            10.0..100.0 => write!(f, "{value:.1}"),
            _ => {
                let digits = format!("{:.0}", value.abs());
                let groups = digits.as_bytes().rchunks(3).rev();
                let groups: Vec<&str> = groups.filter_map(|it| str::from_utf8(it).ok()).collect();
                let sign = if value < 0.0 { "-" } else { "" };
                write!(f, "{sign}{}", groups.join(","))
            }
        }
    }
}

/// The middle one, or the mean of the two in the middle.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => f64::NAN,
        count if count % 2 == 1 => values[count / 2],
        count => f64::midpoint(values[count / 2 - 1], values[count / 2]),
    }
}
