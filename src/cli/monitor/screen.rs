//! The live view: one thread looks, one reads keys, one waits for signals; all
//! tell the screen, which draws.

use std::io;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use ratatui::DefaultTerminal;
use ratatui::crossterm::cursor::Show;
use ratatui::crossterm::event::{self, Event};
use ratatui::crossterm::execute;
use tokio::signal::unix::{SignalKind, signal};

use super::Failure;
use super::model::{Flow, Model};
use super::source::{LookError, Source};
use super::view::{self, Palette};
use crate::cli::node::Error;
use crate::control::stats::Stats;
use crate::limits::MONITOR_NEWS_MAX;

/// Shows the node until a key or a signal ends it.
pub(super) fn run(source: Source, interval: Duration) -> Result<(), Failure> {
    let mut model = Model::new(source.addr());
    let (sender, inbox) = sync_channel(MONITOR_NEWS_MAX);
    // First of all, so that no signal finds the terminal changed and no handler.
    tell_signals(sender.clone()).map_err(Failure::Terminal)?;
    let terminal = match ratatui::try_init() {
        Ok(terminal) => terminal,
        Err(error) => {
            restore();
            return Err(Failure::Terminal(error));
        }
    };
    restore_on_panic();
    tell_keys(sender.clone());
    tell_looks(source, interval, sender);
    let outcome = show(terminal, &mut model, &inbox);
    restore();
    outcome
}

/// The terminal as it was; nothing can be done where that fails.
fn restore() {
    ratatui::restore();
    let _ = execute!(io::stdout(), Show);
}

/// The hook that `try_init` puts before the one that reports a panic leaves the
/// cursor to a destructor, which a panic that aborts never runs.
fn restore_on_panic() {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        restore();
        hook(panic);
    }));
}

/// What changes the screen.
enum News {
    Looked(Result<Stats, LookError>),
    Terminal(Event),
    /// A signal, or a terminal that is gone.
    Stop,
}

fn show(
    mut terminal: DefaultTerminal,
    model: &mut Model,
    inbox: &Receiver<News>,
) -> Result<(), Failure> {
    let palette = Palette::for_terminal();
    loop {
        terminal
            .draw(|frame| {
                let area = frame.area();
                view::draw(model, Instant::now(), palette, area, frame.buffer_mut());
            })
            .map_err(Failure::Terminal)?;
        match inbox.recv() {
            Ok(News::Looked(Ok(stats))) => model.handle_stats(stats, Instant::now()),
            // No look will ever succeed with it.
            Ok(News::Looked(Err(error @ LookError::Node(Error::WrongCookie { .. })))) => {
                return Err(error.into());
            }
            Ok(News::Looked(Err(error))) => model.handle_failure(error.reason(), Instant::now()),
            Ok(News::Terminal(Event::Key(key))) => {
                if model.handle_key(key) == Flow::Quit {
                    return Ok(());
                }
            }
            // A new size is seen by the next drawing.
            Ok(News::Terminal(_)) => {}
            Ok(News::Stop) | Err(_) => return Ok(()),
        }
    }
}

fn tell_looks(mut source: Source, interval: Duration, sender: SyncSender<News>) {
    thread::spawn(move || {
        loop {
            let begun = Instant::now();
            if sender.send(News::Looked(source.look())).is_err() {
                return;
            }
            thread::sleep(interval.saturating_sub(begun.elapsed()));
        }
    });
}

fn tell_keys(sender: SyncSender<News>) {
    thread::spawn(move || {
        loop {
            let news = event::read().map_or(News::Stop, News::Terminal);
            if sender.send(news).is_err() {
                return;
            }
        }
    });
}

fn tell_signals(sender: SyncSender<News>) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let [mut interrupt, mut terminate, mut hangup] = {
        let _entered = runtime.enter();
        [
            signal(SignalKind::interrupt())?,
            signal(SignalKind::terminate())?,
            signal(SignalKind::hangup())?,
        ]
    };
    thread::spawn(move || {
        runtime.block_on(async {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
                _ = hangup.recv() => {}
            }
        });
        // A screen that is gone needs no signal.
        let _ = sender.send(News::Stop);
    });
    Ok(())
}
