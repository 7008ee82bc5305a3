use std::collections::VecDeque;
use std::io;
use std::os::fd::RawFd;
use std::time::Duration;

use io_uring::types::{Fd, SubmitArgs, Timespec};
use io_uring::{IoUring, cqueue, opcode, squeue};

use super::error::DriverError;
use super::user_data::Operation;
use crate::limits::COMPLETIONS_PER_TURN_MAX;

/// Calls of `io_uring_enter` in one wait. The kernel runs about twenty deferred
/// completions a call, so this many fill a turn.
const ENTERS_PER_WAIT_MAX: usize = COMPLETIONS_PER_TURN_MAX / 16;

/// The ring itself: operations in, completions out. Every operation it knows
/// names a descriptor and no memory, so that nothing can dangle.
pub(super) struct Ring {
    ring: IoUring,
    /// Operations that found the submission queue full, in their order.
    backlog: VecDeque<squeue::Entry>,
}

/// One completion.
pub(super) struct Completion {
    pub(super) operation: Operation,
    /// As of the system call: a negative `errno`, or what the operation gives.
    pub(super) result: i32,
    /// Whether the operation goes on and completes again.
    pub(super) more: bool,
}

impl Ring {
    pub(super) fn new(submissions: u32, completions: u32) -> io::Result<Self> {
        let ring = IoUring::builder()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_coop_taskrun()
            .setup_taskrun_flag()
            .setup_cqsize(completions)
            .build(submissions)
            .map_err(|error| match DriverError::from_setup(&error) {
                Some(reason) => reason.into(),
                None => error,
            })?;
        // Without NODROP a full completion queue loses completions.
        let features = ring.params();
        if !features.is_feature_nodrop() || !features.is_feature_ext_arg() {
            return Err(DriverError::TooOld.into());
        }
        Ok(Self {
            ring,
            backlog: VecDeque::new(),
        })
    }

    /// Polls until cancelled: a completion whenever something of `mask` happens.
    pub(super) fn poll_many(&mut self, fd: RawFd, mask: libc::c_int, operation: Operation) {
        let entry = opcode::PollAdd::new(Fd(fd), mask as u32)
            .multi(true)
            .build();
        self.push(entry, operation);
    }

    /// Polls once: a completion as soon as something of `mask` holds.
    pub(super) fn poll_once(&mut self, fd: RawFd, mask: libc::c_int, operation: Operation) {
        let entry = opcode::PollAdd::new(Fd(fd), mask as u32).build();
        self.push(entry, operation);
    }

    /// Cancels an operation; its last completion is `ECANCELED`. Unlike a poll
    /// removal this also reaches a poll whose completion is under way.
    pub(super) fn cancel(&mut self, operation: Operation) {
        let entry = opcode::AsyncCancel::new(operation.to_user_data())
            .build()
            .flags(squeue::Flags::SKIP_SUCCESS);
        self.push(entry, Operation::Cancel);
    }

    fn push(&mut self, entry: squeue::Entry, operation: Operation) {
        let entry = entry.user_data(operation.to_user_data());
        self.flush_backlog();
        if !self.backlog.is_empty() || !self.try_push(&entry) {
            self.backlog.push_back(entry);
        }
    }

    /// Submits when the queue is full; `false` when the kernel takes none of it.
    fn try_push(&mut self, entry: &squeue::Entry) -> bool {
        if self.ring.submission().is_full() && self.ring.submit().is_err() {
            return false;
        }
        // SAFETY: the entry was built above, from a descriptor and numbers; it
        // points to no memory that would have to outlive it. A descriptor that
        // is closed by then fails with EBADF.
        unsafe { self.ring.submission().push(entry) }.is_ok()
    }

    fn flush_backlog(&mut self) {
        while let Some(entry) = self.backlog.pop_front() {
            if !self.try_push(&entry) {
                self.backlog.push_front(entry);
                break;
            }
        }
    }

    /// Submits, and waits for a completion for at most `timeout`. No system
    /// call where none is due.
    pub(super) fn wait(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        self.flush_backlog();
        let mut timeout = if self.ready() > 0 {
            Some(Duration::ZERO)
        } else {
            timeout
        };
        for _ in 0..ENTERS_PER_WAIT_MAX {
            let due = self.kernel_has_work() || !self.ring.submission().is_empty();
            if self.ready() >= COMPLETIONS_PER_TURN_MAX || (timeout == Some(Duration::ZERO) && !due)
            {
                break;
            }
            self.enter(timeout)?;
            timeout = Some(Duration::ZERO);
        }
        Ok(())
    }

    fn enter(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        let outcome = match timeout {
            Some(Duration::ZERO) => self.ring.submit(),
            None => self.ring.submit_and_wait(1),
            Some(timeout) => {
                let timespec = Timespec::from(timeout);
                let args = SubmitArgs::new().timespec(&timespec);
                self.ring.submitter().submit_with_args(1, &args)
            }
        };
        match outcome {
            Ok(_) => Ok(()),
            Err(error) => match error.raw_os_error() {
                // The time is over, or a signal came: the owner decides.
                Some(libc::ETIME | libc::EINTR) => Ok(()),
                // Completions must be taken first (BUSY), or the kernel is out
                // of memory for now (AGAIN): what was not submitted is kept.
                Some(libc::EBUSY | libc::EAGAIN) => Ok(()),
                _ => Err(error),
            },
        }
    }

    /// Completions that the kernel could deliver: deferred, or past a full queue.
    fn kernel_has_work(&mut self) -> bool {
        let queue = self.ring.submission();
        queue.taskrun() || queue.cq_overflow()
    }

    /// Completions to take.
    pub(super) fn ready(&mut self) -> usize {
        self.ring.completion().len()
    }

    pub(super) fn take_completion(&mut self) -> Option<Completion> {
        let entry = self.ring.completion().next()?;
        Some(Completion {
            operation: Operation::from_user_data(entry.user_data()),
            result: entry.result(),
            more: cqueue::more(entry.flags()),
        })
    }
}
