//! The protocol state of one connection, without its socket: bytes in; commands,
//! replies and closes out. Each state is a type of its own.

#![forbid(unsafe_code)]

mod client;
mod fresh;
mod frontend;
mod pace;
mod request;
mod worker;

pub use client::{Client, Reply};
pub use fresh::{First, Fresh};
pub use frontend::{Frontend, Upgrade, handle_upgrade};
pub use pace::{Pace, Rates};
pub use request::Request;
pub use worker::{Worker, WorkerStep};
