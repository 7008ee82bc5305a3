use std::collections::BTreeMap;
use std::str::FromStr;
use std::time::Duration;

use thiserror::Error;
use ureq::Agent;
use ureq::http::Uri;

use crate::limits::{METRICS_BYTES_MAX, METRICS_SHARDS_MAX, METRICS_TIMEOUT};
use crate::process::Usage;

/// Where a broker's metrics are: `http://host:port/metrics`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MetricsUrl(Uri);

/// What is wrong with such a URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("it should be http://host:port/metrics, as in http://127.0.0.1:8082/metrics")]
pub(crate) struct MetricsUrlError;

/// Why there are no metrics.
#[derive(Debug, Error)]
pub(crate) enum FetchError {
    /// No answer, or not one that is 200.
    #[error("{0}")]
    Http(#[from] ureq::Error),
    /// Somebody else's.
    #[error("what it answers is not a WebRocket broker's")]
    Foreign,
}

/// A broker's own account.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Metrics {
    pub(crate) version: String,
    /// By shard.
    pub(crate) shards: Vec<ShardCounters>,
    /// Consumers that were too slow, by what became of that.
    pub(crate) slow: BTreeMap<String, u64>,
    /// What was refused, by cause.
    pub(crate) refused: BTreeMap<String, u64>,
    /// Of its process. The system's part is not told apart.
    pub(crate) usage: Usage,
    pub(crate) traffic: Traffic,
}

/// What the whole node carries. All but the first two have grown since its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Traffic {
    /// Connected now.
    pub(crate) frontends: u64,
    /// Open now.
    pub(crate) channels: u64,
    /// Connections accepted, of all kinds.
    pub(crate) connects: u64,
    pub(crate) broadcasts: u64,
    pub(crate) deliveries: u64,
    pub(crate) triggers: u64,
    pub(crate) sent_bytes: u64,
}

/// What one shard has counted since its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ShardCounters {
    /// Open now, of all kinds.
    pub(crate) connections: u64,
    pub(crate) deliveries: u64,
}

impl FromStr for MetricsUrl {
    type Err = MetricsUrlError;

    fn from_str(url: &str) -> Result<Self, MetricsUrlError> {
        let uri: Uri = url.parse().map_err(|_| MetricsUrlError)?;
        let authority = uri.authority().ok_or(MetricsUrlError)?;
        if uri.scheme_str() != Some("http") || authority.as_str().contains('@') {
            return Err(MetricsUrlError);
        }
        Ok(Self(uri))
    }
}

impl MetricsUrl {
    /// Those of the broker with this admin address.
    pub(crate) fn at(admin: std::net::SocketAddr) -> Result<Self, MetricsUrlError> {
        format!("http://{admin}/metrics").parse()
    }

    /// Asks for them. Blocks up to [`METRICS_TIMEOUT`].
    ///
    /// # Errors
    /// No answer that can be used.
    pub(crate) fn fetch(&self) -> Result<Metrics, FetchError> {
        let config = Agent::config_builder()
            .timeout_global(Some(METRICS_TIMEOUT))
            // The broker that was named answers, or none.
            .max_redirects(0)
            .proxy(None)
            .build();
        let mut response = config.new_agent().get(&self.0).call()?;
        let body = response.body_mut().with_config().limit(METRICS_BYTES_MAX);
        Metrics::parse(&body.read_to_string()?).ok_or(FetchError::Foreign)
    }
}

impl Metrics {
    /// None where the broker's own metrics are not among them.
    fn parse(text: &str) -> Option<Self> {
        let mut metrics = Self::default();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            if let Some(series) = Series::parse(line) {
                metrics.take(&series);
            }
        }
        (!metrics.version.is_empty()).then_some(metrics)
    }

    fn take(&mut self, series: &Series<'_>) {
        let count = series.value as u64;
        match series.name {
            "webrocket_build_info" => {
                self.version = series.label("version").unwrap_or_default().to_owned();
            }
            "webrocket_connections" => {
                if series.label("kind") == Some("frontend") {
                    self.traffic.frontends += count;
                }
                self.of_shard(series, |shard| shard.connections += count);
            }
            "webrocket_deliveries_total" => {
                self.traffic.deliveries += count;
                self.of_shard(series, |shard| shard.deliveries = count);
            }
            "webrocket_channels" => self.traffic.channels = count,
            "webrocket_connections_accepted_total" => self.traffic.connects += count,
            "webrocket_broadcasts_total" => self.traffic.broadcasts += count,
            "webrocket_triggers_total" => self.traffic.triggers += count,
            "webrocket_sent_bytes_total" => self.traffic.sent_bytes += count,
            "webrocket_slow_consumers_total" => add(&mut self.slow, series, count),
            "webrocket_refused_total" => add(&mut self.refused, series, count),
            "process_cpu_seconds_total" => {
                self.usage.cpu = Duration::try_from_secs_f64(series.value).unwrap_or_default();
            }
            "process_resident_memory_bytes" => self.usage.resident_bytes = count,
            _ => {}
        }
    }

    fn of_shard(&mut self, series: &Series<'_>, change: impl FnOnce(&mut ShardCounters)) {
        let number = series.label("shard").and_then(|number| number.parse().ok());
        let Some(number) = number.filter(|number| *number < METRICS_SHARDS_MAX) else {
            return;
        };
        if self.shards.len() <= number {
            self.shards.resize(number + 1, ShardCounters::default());
        }
        change(&mut self.shards[number]);
    }

    /// Deliveries of all shards.
    pub(crate) fn deliveries(&self) -> u64 {
        self.shards.iter().map(|shard| shard.deliveries).sum()
    }
}

fn add(counts: &mut BTreeMap<String, u64>, series: &Series<'_>, count: u64) {
    let cause = series.label("cause").unwrap_or("unknown").to_owned();
    *counts.entry(cause).or_default() += count;
}

/// `name{label="value",...} number` of the text format.
struct Series<'a> {
    name: &'a str,
    labels: &'a str,
    value: f64,
}

impl<'a> Series<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let (series, value) = line.rsplit_once(' ')?;
        let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
        Some(Self {
            name,
            labels: labels.strip_suffix('}')?,
            value: value.parse().ok()?,
        })
    }

    /// None of the values that are asked for holds a comma or a quote.
    fn label(&self, name: &str) -> Option<&'a str> {
        let mut labels = self.labels.split(',');
        labels.find_map(|label| {
            let value = label.strip_prefix(name)?.strip_prefix("=\"")?;
            value.strip_suffix('"')
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "\
# HELP webrocket_build Always 1
webrocket_build_info{version=\"1.2.3\",node=\"n\"} 1
webrocket_connections{shard=\"0\",kind=\"frontend\"} 7
webrocket_connections{shard=\"0\",kind=\"client\"} 1
webrocket_connections{shard=\"1\",kind=\"frontend\"} 5
webrocket_deliveries_total{shard=\"0\"} 70
webrocket_deliveries_total{shard=\"1\"} 50
webrocket_slow_consumers_total{shard=\"0\",cause=\"evicted\"} 2
webrocket_slow_consumers_total{shard=\"1\",cause=\"evicted\"} 3
webrocket_channels 4
webrocket_connections_accepted_total{shard=\"0\"} 20
webrocket_connections_accepted_total{shard=\"1\"} 10
webrocket_broadcasts_total{shard=\"0\"} 1
webrocket_broadcasts_total{shard=\"1\"} 2
webrocket_triggers_total{shard=\"1\"} 2
webrocket_sent_bytes_total{shard=\"0\"} 900
process_cpu_seconds_total 1.25
process_resident_memory_bytes 4096
";

    #[test]
    fn a_page_is_read_by_shard() {
        let metrics = Metrics::parse(PAGE).expect("a broker's");
        assert_eq!(metrics.version, "1.2.3");
        let shard = |connections, deliveries| ShardCounters {
            connections,
            deliveries,
        };
        assert_eq!(metrics.shards, [shard(8, 70), shard(5, 50)]);
        assert_eq!(metrics.deliveries(), 120);
        let traffic = Traffic {
            frontends: 12,
            channels: 4,
            connects: 30,
            broadcasts: 3,
            deliveries: 120,
            triggers: 2,
            sent_bytes: 900,
        };
        assert_eq!(metrics.traffic, traffic);
        assert_eq!(metrics.slow.get("evicted"), Some(&5));
        assert_eq!(metrics.usage.cpu, Duration::from_millis(1250));
        assert_eq!(metrics.usage.resident_bytes, 4096);
    }

    #[test]
    fn shards_at_the_bound_and_past_it() {
        let shards = |number: usize| {
            let page = format!("{PAGE}webrocket_deliveries_total{{shard=\"{number}\"}} 1\n");
            Metrics::parse(&page).expect("a broker's").shards.len()
        };
        assert_eq!(shards(METRICS_SHARDS_MAX - 1), METRICS_SHARDS_MAX);
        assert_eq!(shards(METRICS_SHARDS_MAX), 2);
    }

    #[test]
    fn another_page_and_broken_lines() {
        assert_eq!(Metrics::parse("up 1\n"), None);
        let broken = format!("{PAGE}webrocket_deliveries_total{{shard=\"0\" 9\nx y\n\nz\n");
        assert_eq!(Metrics::parse(&broken), Metrics::parse(PAGE));
        let wild = format!("{PAGE}process_cpu_seconds_total NaN\n");
        let usage = Metrics::parse(&wild).expect("a broker's").usage;
        assert_eq!(usage.cpu, Duration::ZERO);
    }

    #[test]
    fn urls() {
        assert!(
            "http://127.0.0.1:8082/metrics"
                .parse::<MetricsUrl>()
                .is_ok()
        );
        assert!("http://[::1]:1/metrics".parse::<MetricsUrl>().is_ok());
        for wrong in [
            "",
            "metrics",
            "https://h/metrics",
            "http://a:b@h/metrics",
            "/metrics",
        ] {
            assert_eq!(wrong.parse::<MetricsUrl>(), Err(MetricsUrlError), "{wrong}");
        }
    }
}
