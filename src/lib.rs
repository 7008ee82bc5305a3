//! WebRocket: a WebSocket broker between browsers and backend applications,
//! one io_uring shard per core.
//!
//! The modules are floors; imports point down only (`docs/architecture.md`).

pub mod cli;
pub mod control;
pub mod doctor;
pub mod hub;
pub mod limits;
pub mod mesh;
pub mod meter;
pub mod model;
#[allow(unsafe_code, reason = "the room for unsafe: raw sockets and the ring")]
pub mod net;
pub mod server;
pub mod session;
pub mod shard;
#[allow(
    unsafe_code,
    reason = "the room for unsafe: system calls that std lacks"
)]
pub mod sys;
pub mod tls;
pub mod wire;
