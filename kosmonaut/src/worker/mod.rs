//! The receiving side: events that frontends trigger.

mod backoff;
mod crew;
mod event;
mod session;

use std::collections::HashMap;
use std::future::{Future, pending};
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

pub use self::event::Event;

use self::backoff::Backoff;
use self::crew::Crew;
use self::session::End;
use crate::error::Error;
use crate::limits::RECONNECT_DELAY_MAX;
use crate::url::Url;

/// Receives the triggers of one vhost; the broker deals them out in turn to all
/// of its workers.
///
/// Events are handed to their handlers in the order in which they come, one at a
/// time unless [`concurrency`](Self::concurrency) allows more. Each handler call
/// is a task of its own, so that a slow one stops no heartbeat; one that *blocks*
/// a single-threaded runtime for 1.5 s does, and the broker then forgets the
/// worker. While 64 events wait the worker reads no more, and the broker turns
/// to other workers. Nothing is acknowledged or repeated: an event whose handler
/// panics is gone.
///
/// A lost connection is opened anew under a fresh id, after a random delay of up
/// to 100 ms, doubling to up to 10 s (full jitter).
#[must_use = "a worker does nothing until it runs"]
pub struct Worker {
    url: Url,
    handlers: Handlers,
    concurrency: usize,
    notices: Notices,
}

/// What a running worker has to tell; see [`Worker::on_notice`].
#[derive(Debug)]
#[non_exhaustive]
pub enum Notice {
    /// The broker has registered this worker; events may come.
    Ready,
    /// No connection; the next attempt follows by itself.
    Disconnected {
        /// What happened.
        cause: Disconnect,
        /// Time until the next attempt.
        retry_in: Duration,
    },
    /// A handler panicked. Its event is lost, the worker goes on.
    HandlerPanicked {
        /// The event's name.
        event: String,
    },
    /// A trigger that is not JSON of the agreed form was skipped.
    UnreadableTrigger,
}

/// Why a worker has no connection.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Disconnect {
    /// The broker could not be reached.
    #[error("cannot connect: {0}")]
    Connect(#[source] io::Error),
    /// The broker closed the connection, or said that it will.
    #[error("closed by the broker")]
    Closed,
    /// The broker sent nothing for 2 s.
    #[error("the broker fell silent")]
    Silent,
    /// The broker refused with a code that may pass; 402 would end the worker.
    #[error("refused by the broker with code {0}")]
    Refused(u16),
    /// A packet longer than 4 MiB.
    #[error("the broker sent a packet that is too large")]
    TooLarge,
}

impl Worker {
    /// A worker without handlers.
    pub fn new(url: Url) -> Self {
        Self {
            url,
            handlers: Handlers::default(),
            concurrency: 1,
            notices: Notices(None),
        }
    }

    /// Handles the events of this name. The last handler given for a name counts.
    pub fn on<H, F>(mut self, event: impl Into<String>, handler: H) -> Self
    where
        H: Fn(Event) -> F + Send + Sync + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        self.handlers
            .by_event
            .insert(event.into(), boxed_handler(handler));
        self
    }

    /// Handles the events that have no handler of their own; without this they
    /// are ignored.
    pub fn on_any<H, F>(mut self, handler: H) -> Self
    where
        H: Fn(Event) -> F + Send + Sync + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        self.handlers.any = Some(boxed_handler(handler));
        self
    }

    /// How many events may be handled at the same time; 0 counts as 1. With more
    /// than one, events begin in order and may finish in any.
    pub fn concurrency(mut self, handlers_max: usize) -> Self {
        self.concurrency = handlers_max.max(1);
        self
    }

    /// Called with whatever an operator may want in a log. Must not block.
    pub fn on_notice(mut self, hook: impl Fn(Notice) + Send + Sync + 'static) -> Self {
        self.notices = Notices(Some(Box::new(hook)));
        self
    }

    /// Works until the broker refuses for good.
    ///
    /// # Errors
    ///
    /// Always ends with one: [`Error::Unauthorized`], which only the operator
    /// can set right. Everything else is waited out.
    pub async fn run(self) -> Result<(), Error> {
        self.run_until(pending::<()>()).await
    }

    /// Works until `shutdown` completes, then stops gracefully: takes leave of
    /// the broker, takes what is still on its way, and returns once every event
    /// received has been handled. Dropping the future stops at once and aborts
    /// the handlers.
    ///
    /// # Errors
    ///
    /// As for [`run`](Self::run).
    pub async fn run_until(self, shutdown: impl Future) -> Result<(), Error> {
        let mut shutdown = pin!(shutdown);
        let mut crew = Crew::new(&self.handlers, self.concurrency, &self.notices);
        let mut backoff = Backoff::default();
        let result = loop {
            let cause =
                match session::run(&self.url, &mut crew, shutdown.as_mut(), &self.notices).await {
                    End::Stopped => break Ok(()),
                    End::Unauthorized => break Err(Error::Unauthorized),
                    End::Lost { cause, lived } => {
                        if lived >= RECONNECT_DELAY_MAX {
                            backoff = Backoff::default();
                        }
                        cause
                    }
                };
            let retry_in = backoff.next_delay();
            self.notices.tell(Notice::Disconnected { cause, retry_in });
            tokio::select! {
                biased;
                _ = shutdown.as_mut() => break Ok(()),
                never = crew.work_on() => match never {},
                () = tokio::time::sleep(retry_in) => {}
            }
        };
        crew.finish().await;
        result
    }
}

type Handler = Arc<dyn Fn(Event) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync>;

fn boxed_handler<H, F>(handler: H) -> Handler
where
    H: Fn(Event) -> F + Send + Sync + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    Arc::new(move |event| Box::pin(handler(event)))
}

#[derive(Default)]
struct Handlers {
    by_event: HashMap<String, Handler>,
    any: Option<Handler>,
}

impl Handlers {
    fn find(&self, event: &str) -> Option<&Handler> {
        self.by_event.get(event).or(self.any.as_ref())
    }
}

struct Notices(Option<Box<dyn Fn(Notice) + Send + Sync>>);

impl Notices {
    fn tell(&self, notice: Notice) {
        if let Some(hook) = &self.0 {
            hook(notice);
        }
    }
}
