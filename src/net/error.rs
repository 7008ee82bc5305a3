use std::io;

use thiserror::Error;

/// Why there is no ring. Only the operator can help; the text says how.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum DriverError {
    /// The kernel was built without io_uring, or is older than it.
    #[error("this kernel has no io_uring (Linux 6.1 or newer is needed)")]
    Missing,
    /// The kernel has io_uring and keeps it from this process.
    #[error(
        "io_uring is forbidden here: set the sysctl kernel.io_uring_disabled to 0 \
         (1 allows only the group in kernel.io_uring_group), and in a container \
         allow the io_uring system calls in its seccomp profile"
    )]
    Forbidden,
    /// The kernel has an io_uring without a feature that the driver needs.
    #[error("this kernel's io_uring is too old (Linux 6.1 or newer is needed)")]
    TooOld,
    /// The rings don't fit into the memory that this process may lock.
    #[error("no memory for the rings: raise the limit on locked memory (ulimit -l)")]
    NoMemory,
    /// A connection's slot does not fit into the ring's `user_data`.
    #[error("the shard has no place for another connection")]
    TooManyConnections,
    /// A listener more than `LISTENERS_PER_SHARD_MAX`.
    #[error("the shard has no place for another listener")]
    TooManyListeners,
    /// A second eventfd to wake the same thread.
    #[error("the driver watches a wake-up already")]
    AlreadyWatching,
}

impl DriverError {
    /// What `io_uring_setup(2)` means by its error.
    pub(super) fn from_setup(error: &io::Error) -> Option<Self> {
        match error.raw_os_error()? {
            libc::ENOSYS => Some(Self::Missing),
            libc::EPERM | libc::EACCES => Some(Self::Forbidden),
            libc::EINVAL => Some(Self::TooOld),
            libc::ENOMEM => Some(Self::NoMemory),
            _ => None,
        }
    }
}

impl From<DriverError> for io::Error {
    fn from(error: DriverError) -> Self {
        let kind = match error {
            DriverError::Missing | DriverError::TooOld => io::ErrorKind::Unsupported,
            DriverError::Forbidden => io::ErrorKind::PermissionDenied,
            DriverError::NoMemory => io::ErrorKind::OutOfMemory,
            DriverError::TooManyConnections | DriverError::TooManyListeners => {
                io::ErrorKind::QuotaExceeded
            }
            DriverError::AlreadyWatching => io::ErrorKind::AlreadyExists,
        };
        Self::new(kind, error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_forbidden_ring_names_the_sysctl() {
        let refused = io::Error::from_raw_os_error(libc::EPERM);
        let error = DriverError::from_setup(&refused).expect("known");
        assert_eq!(error, DriverError::Forbidden);
        assert!(error.to_string().contains("kernel.io_uring_disabled"));
        assert_eq!(
            io::Error::from(error).kind(),
            io::ErrorKind::PermissionDenied
        );
    }

    #[test]
    fn what_setup_may_say() {
        let explain = |errno| DriverError::from_setup(&io::Error::from_raw_os_error(errno));
        assert_eq!(explain(libc::ENOSYS), Some(DriverError::Missing));
        assert_eq!(explain(libc::EINVAL), Some(DriverError::TooOld));
        assert_eq!(explain(libc::ENOMEM), Some(DriverError::NoMemory));
        assert_eq!(explain(libc::EMFILE), None);
    }
}
