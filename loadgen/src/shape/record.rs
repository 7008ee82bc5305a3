//! Looks at a broker's counters again and again, and writes down what changed.

use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use clap::Args;
use thiserror::Error;
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::spawn_blocking;
use tokio::time::{sleep, sleep_until};

use super::{Shape, ShapeError, Span};
use crate::args::Phase;
use crate::limits::{SHAPE_SPANS_MAX, SPAN_MIN};
use crate::server::{FetchError, MetricsUrl, Traffic};

/// What to record.
#[derive(Clone, Debug, Args)]
pub(crate) struct Record {
    /// The broker's metrics: http://host:port/metrics
    #[arg(long, value_name = "URL")]
    metrics_url: MetricsUrl,
    /// Where to write the shape
    #[arg(long, short, value_name = "FILE")]
    output: PathBuf,
    /// Time from one look to the next
    #[arg(long, value_name = "TIME", default_value = "5s")]
    interval: Phase,
    /// How long to look; an interrupt ends it earlier and keeps what was seen
    #[arg(long, value_name = "TIME", default_value = "10m")]
    duration: Phase,
}

/// Why nothing, or not all, was recorded.
#[derive(Debug, Error)]
pub(crate) enum RecordError {
    /// Shorter than a second, or too many of them.
    #[error(
        "--interval should be 1s or more, and fit into --duration from 1 to {SHAPE_SPANS_MAX} times"
    )]
    Interval,
    /// Not one look.
    #[error("cannot read the broker's metrics: {0}")]
    Metrics(#[from] FetchError),
    /// It was there, and went away.
    #[error("the broker went away after {spans} looks, which are kept: {source}")]
    Gone {
        /// Recorded before.
        spans: usize,
        /// Why.
        source: FetchError,
    },
    /// No runtime or signal.
    #[error("cannot start: {0}")]
    Start(#[from] std::io::Error),
    /// Not written.
    #[error("{0}")]
    Shape(#[from] ShapeError),
}

impl Record {
    /// Looks until the end and writes the shape; what was seen until then where
    /// the broker goes away.
    ///
    /// # Errors
    /// Nothing, or not all, is recorded.
    pub(crate) fn run(&self) -> Result<(), RecordError> {
        let (interval, duration) = (self.interval.0, self.duration.0);
        let looks = duration.as_nanos() / interval.as_nanos().max(1);
        if interval < SPAN_MIN || looks == 0 || looks > SHAPE_SPANS_MAX as u128 {
            return Err(RecordError::Interval);
        }
        let runtime = Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(self.record(interval, looks as usize))
    }

    async fn record(&self, interval: Duration, looks: usize) -> Result<(), RecordError> {
        let mut interrupts = signal(SignalKind::interrupt())?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let mut shape = Shape::new(now.unwrap_or_default().as_secs());
        let mut before = (Instant::now(), self.look().await?);
        let mut next = tokio::time::Instant::now();
        eprintln!("recording; an interrupt ends it and keeps what was seen");
        for _ in 0..looks {
            next += interval;
            tokio::select! {
                () = sleep_until(next) => {}
                _ = interrupts.recv() => break,
            }
            let now = Instant::now();
            let traffic = match self.look().await {
                Ok(traffic) => traffic,
                Err(source) => {
                    let spans = shape.spans.len();
                    shape.save(&self.output)?;
                    return Err(RecordError::Gone { spans, source });
                }
            };
            let length_s = now.duration_since(before.0).as_secs_f64();
            match span(&before.1, &traffic, length_s) {
                Some(span) => shape.spans.push(span),
                None => eprintln!("the broker has begun anew: {length_s:.1} s are left out"),
            }
            before = (now, traffic);
        }
        shape.save(&self.output)?;
        Ok(())
    }

    /// One more try, a second later, before it counts as gone.
    async fn look(&self) -> Result<Traffic, FetchError> {
        match self.fetch().await {
            Ok(traffic) => Ok(traffic),
            Err(_) => {
                sleep(SPAN_MIN).await;
                self.fetch().await
            }
        }
    }

    async fn fetch(&self) -> Result<Traffic, FetchError> {
        let url = self.metrics_url.clone();
        let fetched = spawn_blocking(move || url.fetch()).await;
        fetched
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))
            .map(|metrics| metrics.traffic)
    }
}

/// What happened between two looks; `None` where the broker has begun anew.
pub(super) fn span(before: &Traffic, after: &Traffic, length_s: f64) -> Option<Span> {
    Some(Span {
        length_s,
        frontends: after.frontends,
        channels: after.channels,
        connects: after.connects.checked_sub(before.connects)?,
        broadcasts: after.broadcasts.checked_sub(before.broadcasts)?,
        deliveries: after.deliveries.checked_sub(before.deliveries)?,
        triggers: after.triggers.checked_sub(before.triggers)?,
        sent_bytes: after.sent_bytes.checked_sub(before.sent_bytes)?,
    })
}
