//! `kosmonaut listen`.

use std::io::{self, Write};
use std::sync::Arc;

use kosmonaut::{Event, Notice, Url, Worker};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;

use super::Failure;

pub(super) async fn run(url: Url, events: Vec<String>) -> Result<(), Failure> {
    let mut interrupt = signal(SignalKind::interrupt()).map_err(Failure::System)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(Failure::System)?;
    // Whoever read our lines is gone: as good as an interrupt.
    let unread = Arc::new(Notify::new());
    let print = {
        let unread = Arc::clone(&unread);
        move |event: Event| {
            let unread = Arc::clone(&unread);
            async move {
                if print_line(&event).is_err() {
                    unread.notify_one();
                }
            }
        }
    };
    let address = url.to_string();
    let mut worker = Worker::new(url).on_notice(move |notice| report(&address, &notice));
    if events.is_empty() {
        worker = worker.on_any(print);
    } else {
        for event in events {
            worker = worker.on(event, print.clone());
        }
    }
    let shutdown = async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            () = unread.notified() => {}
        }
    };
    Ok(worker.run_until(shutdown).await?)
}

/// One line, flushed at once: the reader may be a pipe.
fn print_line(event: &Event) -> io::Result<()> {
    let name = serde_json::to_string(&event.name)?;
    let mut stdout = io::stdout().lock();
    writeln!(stdout, r#"{{"event":{name},"data":{}}}"#, event.data())?;
    stdout.flush()
}

fn report(address: &str, notice: &Notice) {
    match notice {
        Notice::Ready => eprintln!("kosmonaut: listening on {address}"),
        Notice::Disconnected { cause, retry_in } => eprintln!(
            "kosmonaut: {address}: {cause}; next attempt in {:.1} s",
            retry_in.as_secs_f64()
        ),
        Notice::UnreadableTrigger => {
            eprintln!("kosmonaut: {address}: skipped a trigger of an unknown form");
        }
        // Our handlers don't panic; whatever else comes has no line of its own.
        notice => eprintln!("kosmonaut: {address}: {notice:?}"),
    }
}
