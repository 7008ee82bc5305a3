//! Thin, safe wrappers over the few system calls that `std` lacks. With `net`
//! the only room for `unsafe`.

mod descriptors;
mod eventfd;
mod table;
mod thread;

pub use descriptors::raise_descriptor_limit;
pub use eventfd::EventFd;
pub use table::unshare_descriptors;
pub use thread::{allowed_cores, thread_id};
