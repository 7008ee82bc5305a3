mod listen;

use std::io::{self, Read, Write};
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser, Subcommand};
use kosmonaut::{Client, Error, Url};
use serde_json::value::RawValue;

/// Talk to a WebRocket broker as a backend does.
#[derive(Parser)]
#[command(version, after_help = EXIT_CODES)]
struct Arguments {
    #[command(subcommand)]
    action: Action,
}

const EXIT_CODES: &str = "\
URL is wr://TOKEN@host:port/vhost; the port is 8081 where it is left out.

Exit codes:
  0  done
  1  the broker refused; its code and the reason stand on stderr
  2  wrong usage: arguments, URL or JSON
  3  cannot connect, no answer in time, or the connection was lost";

#[derive(Subcommand)]
enum Action {
    /// Open a channel; one that is open already stays as it is.
    Open {
        /// wr://TOKEN@host:port/vhost
        url: String,
        /// The channel's name.
        channel: String,
    },
    /// Close a channel.
    Close {
        /// wr://TOKEN@host:port/vhost
        url: String,
        /// The channel's name.
        channel: String,
    },
    /// Send an event to the subscribers of a channel.
    Broadcast {
        /// wr://TOKEN@host:port/vhost
        url: String,
        /// The channel's name.
        channel: String,
        /// The event's name.
        event: String,
        /// A JSON object, or - to read it from stdin.
        #[arg(default_value = "{}")]
        json: String,
    },
    /// Print a single access token.
    Token {
        /// wr://TOKEN@host:port/vhost
        url: String,
        /// Whom the frontend authenticates as.
        uid: String,
        /// Regular expression over the names of the channels it may subscribe.
        pattern: String,
    },
    /// Be a worker: print one line of JSON, {"event":...,"data":...}, for each
    /// trigger until interrupted. Reconnects by itself.
    Listen {
        /// wr://TOKEN@host:port/vhost
        url: String,
        /// Print only the events of this name; may be given more than once.
        /// The others are taken from the broker all the same, and lost.
        #[arg(long = "event", value_name = "NAME")]
        events: Vec<String>,
    },
}

enum Failure {
    Usage(String),
    Request(Error),
    /// Standard output, a signal handler or the runtime.
    System(io::Error),
}

pub(crate) fn run() -> ExitCode {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let done = match runtime {
        Ok(runtime) => {
            let done = runtime.block_on(act(arguments.action));
            // A handler stuck on standard output must not hold up the end.
            runtime.shutdown_background();
            done
        }
        Err(error) => Err(Failure::System(error)),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        // Prints the usage and ends with 2.
        Err(Failure::Usage(message)) => Arguments::command()
            .error(ErrorKind::ValueValidation, message)
            .exit(),
        Err(Failure::Request(error)) => {
            report(&error);
            ExitCode::from(if error.code().is_some() { 1 } else { 3 })
        }
        Err(Failure::System(error)) => {
            report(&error);
            ExitCode::from(3)
        }
    }
}

/// The error and what it comes from, in one line on stderr.
fn report(error: &dyn std::error::Error) {
    let mut line = format!("kosmonaut: {error}");
    let mut source = error.source();
    while let Some(cause) = source {
        line.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    eprintln!("{line}");
}

async fn act(action: Action) -> Result<(), Failure> {
    match action {
        Action::Open { url, channel } => Ok(client(&url)?.open_channel(&channel).await?),
        Action::Close { url, channel } => Ok(client(&url)?.close_channel(&channel).await?),
        Action::Broadcast {
            url,
            channel,
            event,
            json,
        } => {
            let client = client(&url)?;
            let payload = read_payload(json)?;
            Ok(client.broadcast(&channel, &event, &payload).await?)
        }
        Action::Token { url, uid, pattern } => {
            let token = client(&url)?
                .request_single_access_token(&uid, &pattern)
                .await?;
            writeln!(io::stdout(), "{token}").map_err(Failure::System)
        }
        Action::Listen { url, events } => listen::run(parse_url(&url)?, events).await,
    }
}

fn client(url: &str) -> Result<Client, Failure> {
    Ok(Client::new(parse_url(url)?))
}

/// Not clap's own parsing: its message would repeat the token.
fn parse_url(url: &str) -> Result<Url, Failure> {
    url.parse()
        .map_err(|error: kosmonaut::UrlError| Failure::Usage(error.to_string()))
}

fn read_payload(argument: String) -> Result<Box<RawValue>, Failure> {
    let text = if argument == "-" {
        let mut text = String::new();
        io::stdin()
            .read_to_string(&mut text)
            .map_err(|error| Failure::Usage(format!("stdin cannot be read: {error}")))?;
        text
    } else {
        argument
    };
    serde_json::from_str(&text)
        .map_err(|error| Failure::Usage(format!("the payload is not JSON: {error}")))
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::InvalidUrl(_) | Error::Payload(_) | Error::PayloadNotObject => {
                Self::Usage(error.to_string())
            }
            error => Self::Request(error),
        }
    }
}
