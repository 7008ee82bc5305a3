use std::io;
use std::os::fd::AsRawFd;
use std::time::Duration;

use super::ring::{Completion, Ring};
use super::user_data::Operation;
use crate::limits::{COMPLETION_ENTRIES, SUBMISSION_ENTRIES};
use crate::sys::EventFd;

/// Far longer than a kernel that can do it takes.
const PATIENCE: Duration = Duration::from_secs(1);

/// Why the driver would not work on this host. The operator recovers.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// No ring of the size and with the flags of a shard's.
    #[error(transparent)]
    Ring(io::Error),
    /// A poll ends with its first event instead of going on.
    #[error("this kernel's io_uring has no multishot poll (Linux 6.1 or newer is needed)")]
    MultishotPoll,
    /// What the probe itself needs: an eventfd.
    #[error("io_uring could not be tried: {0}")]
    System(#[from] io::Error),
}

/// Tries what the driver does: a ring as every shard has one, and a poll that goes
/// on after its first completion. Takes under a millisecond.
///
/// # Errors
/// The first of it that does not work.
pub fn probe() -> Result<(), ProbeError> {
    let mut ring = Ring::new(SUBMISSION_ENTRIES, COMPLETION_ENTRIES).map_err(ProbeError::Ring)?;

    let eventfd = EventFd::new()?;
    ring.poll_many(eventfd.as_raw_fd(), libc::POLLIN.into(), Operation::Wakeup);
    eventfd.notify();
    ring.wait(Some(PATIENCE))?;
    let goes_on = |completion: &Completion| completion.result >= 0 && completion.more;
    match ring.take_completion().as_ref().is_some_and(goes_on) {
        true => Ok(()),
        false => Err(ProbeError::MultishotPoll),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_the_driver_works_the_probe_does() {
        probe().expect("this host runs the driver's tests");
    }
}
