//! Library for WebRocket backends: a [`Client`] opens and closes channels,
//! broadcasts events and hands out single access tokens; a [`Worker`] receives
//! the events that frontends trigger.
//!
//! Both find their vhost by a [`Url`], `wr://TOKEN@host:port/vhost`, and run
//! within a tokio runtime that has I/O and time enabled.
//!
//! ```no_run
//! use kosmonaut::{Client, Event, Url, Worker};
//!
//! # async fn example() -> Result<(), kosmonaut::Error> {
//! let url: Url = std::env::var("BROKER_URL").unwrap_or_default().parse()?;
//! let client = Client::new(url.clone());
//! client.open_channel("chat").await?;
//! Worker::new(url)
//!     .on("say", move |event: Event| {
//!         let client = client.clone();
//!         async move {
//!             let sent = client.broadcast("chat", "said", event.data()).await;
//!             if let Err(error) = sent {
//!                 eprintln!("not broadcast: {error}");
//!             }
//!         }
//!     })
//!     .run()
//!     .await
//! # }
//! ```
//!
//! The default feature `cli` builds the program `kosmonaut`; a service turns it
//! off with `default-features = false`. The feature `tls`, a default too, gives
//! `wrs://` and `Tls`: authorities of one's own and a client certificate.

#![forbid(unsafe_code)]

mod client;
mod connection;
mod error;
mod limits;
mod stream;
#[cfg(feature = "tls")]
mod tls;
mod url;
mod wire;
mod worker;

pub use client::{Client, SingleAccessToken};
pub use error::Error;
#[cfg(feature = "tls")]
pub use tls::{Tls, TlsError};
pub use url::{Url, UrlError};
pub use worker::{Disconnect, Event, Notice, Worker};

// The README's example compiles.
#[cfg(all(doctest, feature = "tls"))]
#[doc = include_str!("../README.md")]
struct Readme;
