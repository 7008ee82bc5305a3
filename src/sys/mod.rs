//! Thin, safe wrappers over the few system calls that `std` lacks, and one hint to the core. With `net`
//! the only room for `unsafe`.

mod descriptors;
mod eventfd;
mod prefetch;
mod table;
mod thread;

pub use descriptors::raise_descriptor_limit;
pub use eventfd::EventFd;
pub use prefetch::prefetch;
pub use table::unshare_descriptors;
pub use thread::{allowed_cores, thread_id};
