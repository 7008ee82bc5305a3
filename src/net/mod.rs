//! The io_uring socket driver.
