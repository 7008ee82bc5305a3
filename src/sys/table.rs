use std::fs;
use std::io;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};

/// The standard streams: a panic and the log are written there.
const STREAMS: [RawFd; 3] = [libc::STDIN_FILENO, libc::STDOUT_FILENO, libc::STDERR_FILENO];

/// How `/proc` names a counter of `eventfd(2)`.
const EVENT_LINK: &str = "anon_inode:[eventfd]";

/// Signals that a thread raises by what it does itself; nobody else can take them.
const OWN_SIGNALS: [libc::c_int; 5] = [
    libc::SIGSEGV,
    libc::SIGBUS,
    libc::SIGILL,
    libc::SIGFPE,
    libc::SIGTRAP,
];

/// Gives the calling thread a descriptor table of its own, in which only these
/// stay open: the standard streams, every eventfd, and `adopted`, which the
/// caller owns here from now on. `RLIMIT_NOFILE` then counts for this thread
/// alone, and opening or closing here takes no lock that another thread wants.
///
/// The order, for whoever starts such a thread:
///
/// 1. Everything that it will wake exists before: a wake-up is a write to the
///    number of an eventfd, and a number that came to be elsewhere afterwards may
///    be a peer's socket here.
/// 2. The thread calls this first of all. Whatever it owned by its number would
///    be closed here, and open for ever in the table that it leaves.
/// 3. Who passed `adopted` on keeps the originals open until then, and closes
///    them afterwards: a socket ends with the last copy of its descriptor.
///
/// All signals that come from outside are blocked: a handler that rings a pipe by
/// its number would ring another file here. The process's other threads take them.
///
/// # Errors
/// `AlreadyExists` for a thread that has its own table, or for the main thread,
/// whose table is the process's. `InvalidInput` where one of `adopted` is not
/// open, or not once only. Otherwise what `close_range(2)` says, or that `/proc`
/// is not there to be read.
pub fn unshare_descriptors(adopted: &[RawFd]) -> io::Result<Vec<OwnedFd>> {
    if owns_its_table() {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    if (1..adopted.len()).any(|at| adopted[..at].contains(&adopted[at])) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    block_signals()?;
    // The range is empty: nothing is closed in the table that is left. Unlike
    // unshare(2) this call is open to a container without privileges.
    close_range(RawFd::MAX, RawFd::MAX, libc::CLOSE_RANGE_UNSHARE)?;
    OWNS_TABLE.set(true);
    let kept = kept(adopted)?;
    if !adopted.iter().all(|fd| kept.contains(fd)) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    close_all_but(&kept)?;
    // SAFETY: each is open in this table, which came to be above and whose
    // descriptors nobody owns; none is named twice, and no second call gets here.
    let own = |&fd: &RawFd| unsafe { OwnedFd::from_raw_fd(fd) };
    Ok(adopted.iter().map(own).collect())
}

thread_local! {
    static OWNS_TABLE: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
}

fn owns_its_table() -> bool {
    // SAFETY: both take nothing and always succeed.
    let is_main = unsafe { libc::gettid() == libc::getpid() };
    is_main || OWNS_TABLE.get()
}

fn block_signals() -> io::Result<()> {
    let mut set = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: `sigfillset` makes a valid set of the memory given, and the others
    // get that set; it lives through all of the calls. No old set is asked for.
    let errno = unsafe {
        libc::sigfillset(set.as_mut_ptr());
        for signal in OWN_SIGNALS {
            libc::sigdelset(set.as_mut_ptr(), signal);
        }
        libc::pthread_sigmask(libc::SIG_BLOCK, set.as_ptr(), std::ptr::null_mut())
    };
    match errno {
        0 => Ok(()),
        errno => Err(io::Error::from_raw_os_error(errno)),
    }
}

/// What is to stay open, in rising order.
fn kept(adopted: &[RawFd]) -> io::Result<Vec<RawFd>> {
    let mut kept = STREAMS.to_vec();
    for entry in fs::read_dir("/proc/thread-self/fd")? {
        let entry = entry?;
        let name = entry.file_name();
        let number = name.to_str().and_then(|name| name.parse::<RawFd>().ok());
        let fd = number.ok_or(io::ErrorKind::InvalidData)?;
        let stays = adopted.contains(&fd) || fs::read_link(entry.path())?.as_os_str() == EVENT_LINK;
        if stays && !STREAMS.contains(&fd) {
            kept.push(fd);
        }
    }
    kept.sort_unstable();
    Ok(kept)
}

/// `kept` in rising order.
fn close_all_but(kept: &[RawFd]) -> io::Result<()> {
    let mut first = 0;
    for &fd in kept {
        if first < fd {
            close_range(first, fd - 1, 0)?;
        }
        first = fd + 1;
    }
    close_range(first, RawFd::MAX, 0)
}

fn close_range(first: RawFd, last: RawFd, flags: libc::c_uint) -> io::Result<()> {
    // SAFETY: takes no pointer. What it closes are copies that nobody owns: it
    // is only called on a table that has just come to be, or with an empty range.
    let result = unsafe { libc::syscall(libc::SYS_close_range, first, last, flags) };
    match result {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests;
