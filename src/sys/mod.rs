//! Thin, safe wrappers over the few system calls that `std` lacks. With `net`
//! the only room for `unsafe`.

mod eventfd;

pub use eventfd::EventFd;
