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
    #[command(flatten)]
    #[cfg(feature = "tls")]
    tls: TlsFiles,
    #[command(subcommand)]
    action: Action,
}

/// For wrs:// URLs.
#[cfg(feature = "tls")]
#[derive(clap::Args)]
struct TlsFiles {
    /// Trust these authorities (PEM) instead of the system's; for wrs:// URLs.
    #[arg(long, value_name = "FILE", global = true)]
    ca: Option<std::path::PathBuf>,
    /// Show this certificate (PEM, with its chain) to a broker that asks.
    #[arg(long, value_name = "FILE", global = true)]
    cert: Option<std::path::PathBuf>,
    /// Its private key; where it is left out, it stands with the certificate.
    #[arg(long, value_name = "FILE", global = true, requires = "cert")]
    key: Option<std::path::PathBuf>,
}

const EXIT_CODES: &str = "\
URL is wr://TOKEN@host:port/vhost; the port is 8081 where it is left out.
Over TLS it is wrs://TOKEN@host:port/vhost; the port is then 8444.

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
            let done = runtime.block_on(act(arguments));
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

async fn act(arguments: Arguments) -> Result<(), Failure> {
    #[cfg(feature = "tls")]
    let tls = arguments.tls.load()?;
    let parse = |url: &str| {
        let url = parse_url(url)?;
        #[cfg(feature = "tls")]
        let url = match &tls {
            Some(tls) => url.with_tls(tls.clone()),
            None => url,
        };
        Ok::<Url, Failure>(url)
    };
    let client = |url: &str| parse(url).map(Client::new);
    match arguments.action {
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
        Action::Listen { url, events } => listen::run(parse(&url)?, events).await,
    }
}

#[cfg(feature = "tls")]
impl TlsFiles {
    /// None where the system's authorities do.
    fn load(&self) -> Result<Option<kosmonaut::Tls>, Failure> {
        let told = |path: &std::path::Path, error: &dyn std::fmt::Display| {
            Failure::Usage(format!("{}: {error}", path.display()))
        };
        let read = |path: &std::path::Path| std::fs::read(path).map_err(|it| told(path, &it));
        let tls = match &self.ca {
            None if self.cert.is_none() => return Ok(None),
            None => kosmonaut::Tls::system().map_err(|it| Failure::Usage(it.to_string()))?,
            Some(ca) => kosmonaut::Tls::trusting(&read(ca)?).map_err(|it| told(ca, &it))?,
        };
        let Some(cert) = &self.cert else {
            return Ok(Some(tls));
        };
        let key = self.key.as_ref().unwrap_or(cert);
        let tls = tls.with_certificate(&read(cert)?, &read(key)?);
        tls.map(Some).map_err(|it| told(key, &it))
    }
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
