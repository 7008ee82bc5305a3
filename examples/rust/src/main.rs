//! A backend of WebRocket with axum and `kosmonaut`.
//!
//! Usage: `example-backend [wr://TOKEN@host:port/vhost]`
//!
//! The URL may also come from the environment, as `LISTEN` and
//! `WEBROCKET_BROWSER_URL` do; see `../README.md`.

#![forbid(unsafe_code)]

use std::io;
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use axum::Router;
use axum::extract::{Query, State};
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse, Json, Response};
use axum::routing::get;
use kosmonaut::{Client, Error, Event, Notice, Url, UrlError, Worker};
use serde::Deserialize;
use serde_json::json;
use tokio::net::TcpListener;

const CHANNELS: [&str; 2] = ["lobby", "presence-lobby"];

/// A regular expression over whole channel names.
const PERMISSION: &str = "presence-lobby";

const NAME_BYTES_MAX: usize = 32;

/// Between two attempts to open the channels of a broker that is not there yet.
const OPEN_RETRY_DELAY: Duration = Duration::from_secs(1);

/// Why the backend ends. The operator recovers from all of these.
#[derive(Debug, thiserror::Error)]
enum Fatal {
    #[error("usage: example-backend [wr://TOKEN@host:port/vhost] (or WEBROCKET_URL)")]
    Usage,
    #[error(transparent)]
    Url(#[from] UrlError),
    #[error("cannot listen on {addr}: {cause}")]
    Listen { addr: String, cause: io::Error },
    #[error("no longer listening: {0}")]
    Serve(io::Error),
    #[error(transparent)]
    Broker(#[from] Error),
}

// One thread is plenty: all that a backend does is to wait.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(fatal) => {
            log(fatal);
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), Fatal> {
    let mut arguments = std::env::args().skip(1);
    let url = arguments.next().or_else(|| setting("WEBROCKET_URL"));
    let (Some(url), None) = (url, arguments.next()) else {
        return Err(Fatal::Usage);
    };
    let url: Url = url.parse()?;
    let addr = setting("LISTEN").unwrap_or_else(|| "127.0.0.1:8000".into());
    let cannot_listen = |cause| Fatal::Listen {
        addr: addr.clone(),
        cause,
    };
    let listener = TcpListener::bind(&addr).await.map_err(cannot_listen)?;
    let local = listener.local_addr().map_err(cannot_listen)?;
    println!("listening on http://{local}/");

    let client = Client::new(url.clone());
    tokio::select! {
        served = axum::serve(listener, pages(client.clone())) => served.map_err(Fatal::Serve),
        worked = work(url, client) => Ok(worked?),
        _ = tokio::signal::ctrl_c() => Ok(()),
    }
}

fn setting(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Keeps a worker at the broker; ends when the broker refuses the token for good.
async fn work(url: Url, client: Client) -> Result<(), Error> {
    open_channels(&client).await?;
    Worker::new(url)
        .on("command", move |event| handle(client.clone(), event))
        .on_notice(|notice| match notice {
            Notice::Ready => log("worker ready"),
            Notice::Disconnected { cause, retry_in } => {
                log(format_args!(
                    "no broker: {cause}; next attempt in {retry_in:.1?}"
                ));
            }
            other => log(format_args!("{other:?}")),
        })
        .run()
        .await
}

/// Once is enough: the broker keeps its channels over a restart.
async fn open_channels(client: &Client) -> Result<(), Error> {
    for channel in CHANNELS {
        // Those with a code are refusals; all others pass when the broker is back.
        while let Err(error) = client.open_channel(channel).await {
            if error.code().is_some() {
                return Err(error);
            }
            log(format_args!(
                "no broker: {error}; next attempt in {OPEN_RETRY_DELAY:?}"
            ));
            tokio::time::sleep(OPEN_RETRY_DELAY).await;
        }
    }
    Ok(())
}

/// What a frontend's trigger carries, beside its `sid`.
#[derive(Deserialize)]
struct Command {
    channel: String,
    text: String,
}

async fn handle(client: Client, event: Event) {
    let Ok(Command { channel, text }) = event.deserialize() else {
        return log("ignored a command that is malformed");
    };
    if !CHANNELS.contains(&&*channel) {
        return log("ignored a command for another channel");
    }
    let (verb, rest) = text.split_once(' ').unwrap_or((&text, ""));
    let reply = match verb {
        "echo" => rest.to_owned(),
        "time" => humantime::format_rfc3339_seconds(SystemTime::now()).to_string(),
        _ => "commands: echo TEXT, time".to_owned(),
    };
    let answer = json!({ "text": reply });
    if let Err(error) = client.broadcast(&channel, "answer", &answer).await {
        log(format_args!("answer not sent: {error}"));
    }
}

fn pages(client: Client) -> Router {
    let browser_url = setting("WEBROCKET_BROWSER_URL");
    let browser_url = browser_url
        .as_deref()
        .unwrap_or("http://127.0.0.1:8080/example");
    let page = include_str!("../../page.html").replace("{browser_url}", browser_url);
    Router::new()
        .route("/", get(async move || Html(page)))
        .route("/webrocket/auth.json", get(auth))
        .with_state(client)
}

#[derive(Deserialize)]
struct Asker {
    #[serde(default)]
    name: String,
}

/// Whoever asks gets a token here; an application takes the name from its login.
async fn auth(State(client): State<Client>, Query(Asker { name }): Query<Asker>) -> Response {
    let (status, body) = if !is_name(&name) {
        let error = "name: 1 to 32 letters, digits, _ or -";
        (StatusCode::BAD_REQUEST, json!({ "error": error }))
    } else {
        match client.request_single_access_token(&name, PERMISSION).await {
            Ok(token) => (StatusCode::OK, json!({ "token": token.as_str() })),
            Err(error) => {
                log(format_args!("no token: {error}"));
                let error = "the broker gives no token";
                (StatusCode::SERVICE_UNAVAILABLE, json!({ "error": error }))
            }
        }
    };
    // A token works once.
    (status, [(header::CACHE_CONTROL, "no-store")], Json(body)).into_response()
}

fn is_name(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
    (1..=NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(fits)
}

fn log(text: impl std::fmt::Display) {
    eprintln!("backend: {text}");
}
