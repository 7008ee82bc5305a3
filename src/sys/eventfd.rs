use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::Arc;

/// A counter in the kernel that one thread waits for and any thread may raise.
#[derive(Clone, Debug)]
pub struct EventFd(Arc<OwnedFd>);

impl EventFd {
    /// A new counter at zero, non-blocking, closed on exec.
    ///
    /// # Errors
    /// What `eventfd(2)` refuses, `EMFILE` above all.
    pub fn new() -> io::Result<Self> {
        // SAFETY: takes no pointer; a negative result is handled, any other is
        // a descriptor that nobody else owns.
        let fd = unsafe { libc::eventfd(0, libc::EFD_NONBLOCK | libc::EFD_CLOEXEC) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: just opened, owned by nobody else.
        Ok(Self(Arc::new(unsafe { OwnedFd::from_raw_fd(fd) })))
    }

    /// Wakes whoever waits. A full counter means that it is awake already.
    pub fn notify(&self) {
        let one = 1_u64.to_ne_bytes();
        // SAFETY: the buffer is 8 bytes long and lives through the call; the
        // descriptor is open as long as `self`.
        unsafe { libc::write(self.as_raw_fd(), one.as_ptr().cast(), one.len()) };
    }

    /// Sets the counter back to zero.
    pub fn clear(&self) {
        let mut count = [0_u8; 8];
        // SAFETY: the buffer is 8 bytes long and lives through the call; the
        // descriptor is open as long as `self`.
        unsafe { libc::read(self.as_raw_fd(), count.as_mut_ptr().cast(), count.len()) };
    }
}

impl AsRawFd for EventFd {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}
