//! Pure codecs over byte slices: no socket, no clock, no state of the broker.

#![forbid(unsafe_code)]

#[cfg(test)]
mod arbitrary;
pub mod deflate;
pub mod event;
pub mod frame;
pub mod frames;
pub mod http;
pub mod json;
pub mod message;
pub mod packet;
