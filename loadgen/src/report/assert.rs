//! Terms that a run must meet, as `p99<20ms,loss=0,rate>=0.99`: for `--assert`
//! and for the planner's `--slo`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{Distribution, Report};

/// All must hold.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Assertions(Vec<Term>);

/// One term and what became of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Assertion {
    /// As given.
    pub(crate) text: String,
    /// In the term's unit; null where nothing was measured, which never holds.
    pub(crate) measured: Option<f64>,
    /// Of `measured`: `us`, `%` or nothing.
    pub(crate) unit: String,
    pub(crate) holds: bool,
}

#[derive(Clone, Debug, PartialEq)]
struct Term {
    text: String,
    subject: Subject,
    comparison: Comparison,
    /// Microseconds, percent or a plain number.
    bound: f64,
}

/// What is compared.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Subject {
    /// Of a distribution, in microseconds.
    Time(Source, Statistic),
    Loss,
    Duplicated,
    Reordered,
    Failed,
    TriggerLoss,
    ReplyLoss,
    Rate,
    Deliveries,
    CpuPerDelivery,
    BrokerCpu,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Source {
    Corrected,
    Raw,
    Connect,
    Subscribe,
    Comeback,
    Trigger,
    Reply,
    Late,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Statistic {
    Percentile(f64),
    Max,
    Mean,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Comparison {
    Less,
    LessOrEqual,
    More,
    MoreOrEqual,
    Equal,
}

/// What is wrong with a term, and how it should look.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum TermError {
    /// Nothing to compare.
    #[error("{0:?} compares nothing: write it as p99<20ms, loss=0 or rate>=0.99")]
    Form(String),
    /// What is measured is never just that.
    #[error("{0:?} will never be: compare it with <, <=, > or >=")]
    Equal(String),
    /// Nobody measures that.
    #[error(
        "nothing is called {0:?}: there are p50, p90, p99, p99.9, p99.99, max and mean (corrected; with \
         raw., connect., subscribe., comeback., trigger., reply. or late. before it of those), loss, \
         trigger.loss, reply.loss, duplicated, reordered, failed, rate, deliveries, cpu_per_delivery \
         and broker_cpu"
    )]
    Subject(String),
    /// Not a number, or of another unit.
    #[error("{text:?} should end with {expected}")]
    Bound {
        /// The term.
        text: String,
        /// What its bound looks like.
        expected: &'static str,
    },
}

impl Assertions {
    /// What became of each.
    pub(crate) fn check(&self, report: &Report) -> Vec<Assertion> {
        self.0.iter().map(|term| term.check(report)).collect()
    }
}

impl FromStr for Assertions {
    type Err = TermError;

    fn from_str(text: &str) -> Result<Self, TermError> {
        let terms = text.split(',').map(|term| term.trim().parse());
        Ok(Self(terms.collect::<Result<_, _>>()?))
    }
}

impl fmt::Display for Assertions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let texts: Vec<&str> = self.0.iter().map(|term| term.text.as_str()).collect();
        f.write_str(&texts.join(","))
    }
}

impl FromStr for Term {
    type Err = TermError;

    fn from_str(text: &str) -> Result<Self, TermError> {
        let form = || TermError::Form(text.to_owned());
        let at = text.find(['<', '>', '=']).ok_or_else(form)?;
        let (subject, rest) = text.split_at(at);
        let signs = [
            ("<=", Comparison::LessOrEqual),
            (">=", Comparison::MoreOrEqual),
            ("<", Comparison::Less),
            (">", Comparison::More),
            ("=", Comparison::Equal),
        ];
        let (bound, comparison) = signs
            .into_iter()
            .find_map(|(sign, comparison)| Some((rest.strip_prefix(sign)?, comparison)))
            .ok_or_else(form)?;
        let subject: Subject = subject.trim().parse()?;
        let refused = |expected| TermError::Bound {
            text: text.to_owned(),
            expected,
        };
        let bound = subject.read(bound.trim()).map_err(refused)?;
        if comparison == Comparison::Equal && !subject.is_count() {
            return Err(TermError::Equal(text.to_owned()));
        }
        Ok(Self {
            text: text.to_owned(),
            subject,
            comparison,
            bound,
        })
    }
}

impl Term {
    fn check(&self, report: &Report) -> Assertion {
        let measured = self.subject.measure(report);
        Assertion {
            text: self.text.clone(),
            measured,
            unit: self.subject.unit().to_owned(),
            holds: measured.is_some_and(|value| self.comparison.holds(value, self.bound)),
        }
    }
}

impl FromStr for Subject {
    type Err = TermError;

    fn from_str(name: &str) -> Result<Self, TermError> {
        let plain = [
            ("loss", Self::Loss),
            ("duplicated", Self::Duplicated),
            ("reordered", Self::Reordered),
            ("failed", Self::Failed),
            ("trigger.loss", Self::TriggerLoss),
            ("reply.loss", Self::ReplyLoss),
            ("rate", Self::Rate),
            ("deliveries", Self::Deliveries),
            ("cpu_per_delivery", Self::CpuPerDelivery),
            ("broker_cpu", Self::BrokerCpu),
        ];
        if let Some((_, subject)) = plain.into_iter().find(|(known, _)| *known == name) {
            return Ok(subject);
        }
        let sources = [
            ("raw.", Source::Raw),
            ("connect.", Source::Connect),
            ("subscribe.", Source::Subscribe),
            ("comeback.", Source::Comeback),
            ("trigger.", Source::Trigger),
            ("reply.", Source::Reply),
            ("late.", Source::Late),
            ("", Source::Corrected),
        ];
        let unknown = || TermError::Subject(name.to_owned());
        let (statistic, source) = sources
            .into_iter()
            .find_map(|(prefix, source)| Some((name.strip_prefix(prefix)?, source)))
            .ok_or_else(unknown)?;
        let statistic = match statistic {
            "p50" => Statistic::Percentile(50.0),
            "p90" => Statistic::Percentile(90.0),
            "p99" => Statistic::Percentile(99.0),
            "p99.9" => Statistic::Percentile(99.9),
            "p99.99" => Statistic::Percentile(99.99),
            "max" => Statistic::Max,
            "mean" => Statistic::Mean,
            _ => return Err(unknown()),
        };
        let is_told = source != Source::Late
            || matches!(statistic, Statistic::Max | Statistic::Percentile(99.0));
        is_told
            .then_some(Self::Time(source, statistic))
            .ok_or_else(unknown)
    }
}

impl Subject {
    /// The bound in the unit of what is measured, or what it should look like.
    fn read(self, text: &str) -> Result<f64, &'static str> {
        let number = |text: &str| text.trim().parse::<f64>().ok().filter(|it| it.is_finite());
        match self {
            Self::Time(..) | Self::CpuPerDelivery => {
                let units = [("us", 1.0), ("ms", 1e3), ("s", 1e6)];
                units
                    .into_iter()
                    .find_map(|(unit, us)| Some(number(text.strip_suffix(unit)?)? * us))
                    .ok_or("a time: 500us, 20ms or 1.5s")
            }
            Self::BrokerCpu => number(text.strip_suffix('%').unwrap_or(text))
                .ok_or("a percentage of one core, as 80%"),
            Self::Rate => match text.strip_suffix('%') {
                Some(percent) => number(percent).map(|percent| percent / 100.0),
                None => number(text),
            }
            .ok_or("a share of what was asked for, as 0.99 or 99%"),
            Self::Loss
            | Self::Duplicated
            | Self::Reordered
            | Self::Failed
            | Self::TriggerLoss
            | Self::ReplyLoss
            | Self::Deliveries => number(text).ok_or("a number"),
        }
    }

    /// A whole number, which may equal another.
    fn is_count(self) -> bool {
        matches!(
            self,
            Self::Loss
                | Self::Duplicated
                | Self::Reordered
                | Self::Failed
                | Self::TriggerLoss
                | Self::ReplyLoss
        )
    }

    fn unit(self) -> &'static str {
        match self {
            Self::Time(..) | Self::CpuPerDelivery => "us",
            Self::BrokerCpu => "%",
            _ => "",
        }
    }

    fn measure(self, report: &Report) -> Option<f64> {
        let deliveries = &report.deliveries;
        match self {
            Self::Time(source, statistic) => source.measure(report, statistic),
            Self::Loss => Some(deliveries.lost as f64),
            Self::Duplicated => Some(deliveries.duplicated as f64),
            Self::Reordered => Some(deliveries.reordered as f64),
            Self::Failed => {
                let connections = &report.connections;
                Some((connections.failed + connections.lost + connections.not_tried) as f64)
            }
            Self::TriggerLoss => Some(report.triggers.as_ref()?.missing as f64),
            Self::ReplyLoss => {
                let replies = report.triggers.as_ref()?.replies.as_ref()?;
                Some(replies.missing as f64)
            }
            Self::Rate => {
                let due = report.load.rate_per_s * report.load.measured_s;
                // The first broadcast is due when the measuring begins, so that
                // a whole number of them is due.
                (due > 0.0).then(|| report.broadcasts.sent as f64 / due.floor().max(1.0))
            }
            Self::Deliveries => Some(deliveries.per_s),
            Self::CpuPerDelivery => report.broker.as_ref()?.cpu_us_per_delivery,
            Self::BrokerCpu => Some(report.broker.as_ref()?.cpu_percent),
        }
    }
}

impl Source {
    fn measure(self, report: &Report, statistic: Statistic) -> Option<f64> {
        let of = |distribution: &Distribution| match statistic {
            Statistic::Percentile(percentile) => distribution.at_us(percentile),
            Statistic::Max => distribution.max_us(),
            Statistic::Mean => distribution.histogram().mean() / 1000.0,
        };
        match self {
            Self::Corrected => Some(of(&report.latency.as_ref()?.corrected)),
            Self::Raw => Some(of(&report.latency.as_ref()?.raw)),
            Self::Connect => Some(of(&report.joining.as_ref()?.connect)),
            Self::Subscribe => Some(of(&report.joining.as_ref()?.subscribe)),
            Self::Comeback => Some(of(report.comebacks.as_ref()?.time.as_ref()?)),
            Self::Trigger => Some(of(report.triggers.as_ref()?.time.as_ref()?)),
            Self::Reply => {
                let replies = report.triggers.as_ref()?.replies.as_ref()?;
                Some(of(replies.time.as_ref()?))
            }
            Self::Late if statistic == Statistic::Max => Some(report.generator.late_max_us),
            Self::Late => Some(report.generator.late_p99_us),
        }
    }
}

impl Comparison {
    fn holds(self, value: f64, bound: f64) -> bool {
        match self {
            Self::Less => value < bound,
            Self::LessOrEqual => value <= bound,
            Self::More => value > bound,
            Self::MoreOrEqual => value >= bound,
            Self::Equal => (value - bound).abs() < f64::EPSILON,
        }
    }
}

#[cfg(test)]
#[path = "assert/tests.rs"]
mod tests;
