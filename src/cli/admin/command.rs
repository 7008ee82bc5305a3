use std::io::{Read, Write};

use clap::{Subcommand, ValueHint};
use serde::de::IgnoredAny;
use ureq::http::Method;

use super::answer::{
    Channels, Disconnected, Sessions, ShownChannel, ShownSession, ShownVhost, Size, Stats,
    Subscribers, Token, Vhosts, Workers,
};
use super::error::Error;
use super::show::{self, Form, Shown};
use crate::cli::node::{self, Client, path};
use crate::limits::{ADMIN_BODY_BYTES_MAX, ADMIN_LIST_MAX};

/// What the node is asked for. The hidden aliases are the names of 2012.
///
/// What clears or deletes asks nothing back, as its models (rabbitmqctl, kubectl) do
/// not: scripts of 2012 run it, and a question that a pipe answers protects nobody.
#[derive(Subcommand)]
pub(super) enum Command {
    /// Adds a vhost; prints its path and access token
    #[command(alias = "add_vhost")]
    AddVhost(Vhost),
    /// Lists all vhosts
    #[command(alias = "list_vhosts")]
    ListVhosts,
    /// Shows the path and the access token of a vhost
    #[command(alias = "show_vhost")]
    ShowVhost(Vhost),
    /// Deletes a vhost with its channels, and closes its connections
    #[command(alias = "delete_vhost")]
    DeleteVhost(Vhost),
    /// Deletes all vhosts
    #[command(alias = "clear_vhosts")]
    ClearVhosts,
    /// Replaces the access token of a vhost; prints the new one
    #[command(alias = "regenerate_vhost_token")]
    RegenerateVhostToken(Vhost),
    /// Shows what a vhost holds and has done
    VhostStats(Vhost),
    /// Opens a channel
    #[command(alias = "add_channel")]
    AddChannel(Channel),
    /// Lists the channels of a vhost and how many subscribers each has
    #[command(alias = "list_channels")]
    ListChannels(Vhost),
    /// Shows how many subscribers a channel has
    ShowChannel(Channel),
    /// Closes a channel
    #[command(alias = "delete_channel")]
    DeleteChannel(Channel),
    /// Closes all channels of a vhost
    #[command(alias = "clear_channels")]
    ClearChannels(Vhost),
    /// Lists who has subscribed a channel: sid, uid, presence, data
    ListSubscribers {
        #[command(flatten)]
        channel: Channel,
        #[command(flatten)]
        limit: Limit,
    },
    /// Lists the ids of the workers of a vhost
    #[command(alias = "list_workers")]
    ListWorkers(Vhost),
    /// Lists sessions of a vhost: sid, uid, number of subscriptions
    ListSessions {
        #[command(flatten)]
        vhost: Vhost,
        #[command(flatten)]
        limit: Limit,
    },
    /// Shows a session and its channels
    ShowSession {
        #[command(flatten)]
        vhost: Vhost,
        /// The session's id
        #[arg(value_hint = ValueHint::Other, value_parser = named)]
        sid: String,
    },
    /// Closes the connection of a session, or of all sessions of a user
    #[command(group = clap::ArgGroup::new("whom").required(true))]
    Disconnect {
        #[command(flatten)]
        vhost: Vhost,
        /// The session's id
        #[arg(long, group = "whom", value_hint = ValueHint::Other, value_parser = named)]
        sid: Option<String>,
        /// The user's id, as given with the single access token
        #[arg(long, group = "whom", value_hint = ValueHint::Other, value_parser = named)]
        uid: Option<String>,
    },
    /// Sends an event to a channel or to one session
    #[command(group = clap::ArgGroup::new("whom").required(true))]
    SendEvent {
        #[command(flatten)]
        vhost: Vhost,
        /// To all subscribers of this channel
        #[arg(long, group = "whom", value_hint = ValueHint::Other, value_parser = named)]
        channel: Option<String>,
        /// To this session
        #[arg(long, group = "whom", value_hint = ValueHint::Other, value_parser = named)]
        sid: Option<String>,
        /// The event's name
        #[arg(value_hint = ValueHint::Other)]
        event: String,
        /// The event's data, a JSON object; "-" reads it from stdin
        #[arg(default_value = "{}", value_hint = ValueHint::Other, allow_hyphen_values = true)]
        data: String,
    },
}

#[derive(clap::Args)]
pub(super) struct Vhost {
    /// The vhost's path, as /chat or chat
    #[arg(value_name = "VHOST", value_hint = ValueHint::Other, value_parser = without_slash)]
    vhost: String,
}

#[derive(clap::Args)]
pub(super) struct Channel {
    #[command(flatten)]
    vhost: Vhost,
    /// The channel's name
    #[arg(value_name = "CHANNEL", value_hint = ValueHint::Other, value_parser = named)]
    channel: String,
}

#[derive(clap::Args)]
pub(super) struct Limit {
    /// How many to list at most; a node lists no more than 10,000 in one answer
    #[arg(long, value_name = "N", value_hint = ValueHint::Other, default_value_t = ADMIN_LIST_MAX)]
    limit: usize,
}

impl Limit {
    /// Lists what is at `path`. Where there may be more than is listed a line on stderr
    /// says so: it is not in the way of scripts.
    fn list<T: Shown>(
        &self,
        client: &Client,
        form: Form,
        path: &str,
        len: impl Fn(&T) -> usize,
    ) -> Result<String, Error> {
        let limit = self.limit;
        let body = client.get(&format!("{path}?limit={limit}"))?;
        if form.is_json() {
            return show::json(client, form, &body);
        }
        let listed: T = show::parse(client, &body)?;
        if len(&listed) >= limit {
            let note = "there may be more; vhost-stats tells how many there are";
            // Where it cannot be said the list is none the worse.
            let _ = writeln!(std::io::stderr(), "NOTE: --limit is {limit}: {note}");
        }
        Ok(show::text(form, listed))
    }
}

/// A vhost's path without its leading slash. What else is wrong with it the node says,
/// but without any name the path of one vhost would be that of all.
fn without_slash(path: &str) -> Result<String, &'static str> {
    let path = path.strip_prefix('/').unwrap_or(path);
    if path.is_empty() {
        return Err("a vhost has a name, as /chat");
    }
    Ok(path.to_owned())
}

/// A name or an id, whatever it be; see [`without_slash`].
fn named(text: &str) -> Result<String, &'static str> {
    if text.is_empty() {
        return Err("a name has at least one character");
    }
    Ok(text.to_owned())
}

impl Vhost {
    /// The path of one of its resources.
    fn path(&self, rest: &[&str]) -> String {
        path(&[&[self.vhost.as_str()], rest].concat())
    }
}

impl Channel {
    fn path(&self) -> String {
        self.vhost.path(&["channels", &self.channel])
    }
}

impl Command {
    /// Does it; gives what goes to stdout.
    pub(super) fn run(&self, client: &Client, form: Form) -> Result<String, Error> {
        // A change that has nothing to tell but its JSON.
        let change = |method, path: &str| {
            let answer = client.ask(method, path)?;
            if form.is_json() {
                return show::json(client, form, &client.follow(answer)?);
            }
            Ok(String::new())
        };
        match self {
            Self::ListVhosts => show::show::<Vhosts>(client, form, &client.get("/")?),
            Self::ClearVhosts => change(Method::DELETE, "/"),
            Self::AddVhost(vhost) => {
                let answer = client.ask(Method::POST, &vhost.path(&[]))?;
                show::show::<ShownVhost>(client, form, &client.follow(answer)?)
            }
            Self::ShowVhost(vhost) => {
                show::show::<ShownVhost>(client, form, &client.get(&vhost.path(&[]))?)
            }
            Self::DeleteVhost(vhost) => change(Method::DELETE, &vhost.path(&[])),
            Self::RegenerateVhostToken(vhost) => {
                let answer = client.ask(Method::PUT, &vhost.path(&["token"]))?;
                show::show::<Token>(client, form, &client.follow(answer)?)
            }
            Self::VhostStats(vhost) => {
                show::show::<Stats>(client, form, &client.get(&vhost.path(&["stats"]))?)
            }
            Self::ListChannels(vhost) => list_channels(client, form, vhost),
            Self::ClearChannels(vhost) => change(Method::DELETE, &vhost.path(&["channels"])),
            Self::AddChannel(channel) => change(Method::POST, &channel.path()),
            Self::ShowChannel(channel) => {
                show::show::<ShownChannel>(client, form, &client.get(&channel.path())?)
            }
            Self::DeleteChannel(channel) => change(Method::DELETE, &channel.path()),
            Self::ListSubscribers { channel, limit } => {
                let path = format!("{}/subscribers", channel.path());
                limit.list(client, form, &path, Subscribers::len)
            }
            Self::ListWorkers(vhost) => {
                show::show::<Workers>(client, form, &client.get(&vhost.path(&["workers"]))?)
            }
            Self::ListSessions { vhost, limit } => {
                limit.list(client, form, &vhost.path(&["sessions"]), Sessions::len)
            }
            Self::ShowSession { vhost, sid } => {
                let path = vhost.path(&["sessions", sid]);
                show::show::<ShownSession>(client, form, &client.get(&path)?)
            }
            Self::Disconnect { vhost, sid, uid } => {
                let (kind, id) = one_of(("sessions", sid), ("users", uid));
                let answer = client.ask(Method::DELETE, &vhost.path(&[kind, id]))?;
                show::show::<Disconnected>(client, form, &client.follow(answer)?)
            }
            Self::SendEvent {
                vhost,
                channel,
                sid,
                event,
                data,
            } => {
                let (kind, name) = one_of(("channels", channel), ("sessions", sid));
                let body = body(event, data)?;
                let answer = client.post(&vhost.path(&[kind, name, "events"]), body)?;
                let answer = client.follow(answer)?;
                if form.is_json() {
                    return show::json(client, form, &answer);
                }
                Ok(String::new())
            }
        }
    }
}

/// The one that was given: the command line demands one of both.
fn one_of<'a>(
    (kind, name): (&'a str, &'a Option<String>),
    (other, or): (&'a str, &'a Option<String>),
) -> (&'a str, &'a str) {
    match name {
        Some(name) => (kind, name),
        None => (other, or.as_deref().unwrap_or_default()),
    }
}

fn list_channels(client: &Client, form: Form, vhost: &Vhost) -> Result<String, Error> {
    let body = client.get(&vhost.path(&["channels"]))?;
    if form.is_json() {
        return show::json(client, form, &body);
    }
    let mut listed: Channels = show::parse(client, &body)?;
    for channel in &mut listed.channels {
        if channel.subscribers.is_none() {
            let size = subscribers(client, vhost, &channel.name)?;
            channel.subscribers = Some(Size { size });
        }
    }
    Ok(show::text(form, listed))
}

/// Asked one by one of a node whose list carries no sizes.
fn subscribers(client: &Client, vhost: &Vhost, channel: &str) -> Result<u64, Error> {
    let body = match client.get(&vhost.path(&["channels", channel])) {
        // Closed since the list was made: nobody is left there.
        Err(node::Error::Refused { status: 404, .. }) => return Ok(0),
        body => body?,
    };
    let shown: ShownChannel = show::parse(client, &body)?;
    Ok(shown.channel.subscribers.map_or(0, |it| it.size))
}

/// `{"event":"name","data":{...}}`, the data as it was given: its numbers stay as they are.
fn body(event: &str, data: &str) -> Result<String, Error> {
    let mut input = String::new();
    let data = if data == "-" {
        // One more than the node takes: past it the node says what is wrong.
        std::io::stdin()
            .take(ADMIN_BODY_BYTES_MAX as u64 + 1)
            .read_to_string(&mut input)
            .map_err(Error::Input)?;
        &input
    } else {
        data
    };
    serde_json::from_str::<IgnoredAny>(data).map_err(Error::Data)?;
    let event = serde_json::Value::from(event);
    Ok(format!(r#"{{"event":{event},"data":{data}}}"#))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_vhost_is_not_every_vhost() {
        for (given, path) in [("chat", "chat"), ("/a/b", "a/b"), ("//", "/")] {
            assert_eq!(without_slash(given).as_deref(), Ok(path));
        }
        for nothing in ["", "/"] {
            assert!(without_slash(nothing).is_err());
        }
    }

    #[test]
    fn data_goes_as_it_is() {
        let sent = body("a\"b", r#" {"n": 1.50, "big": 123456789012345678901} "#);
        let expected = r#"{"event":"a\"b","data": {"n": 1.50, "big": 123456789012345678901} }"#;
        assert_eq!(sent.ok().as_deref(), Some(expected));
        for bad in ["", "{", "{} {}", "{}\"", "nope"] {
            assert!(matches!(body("x", bad), Err(Error::Data(_))), "{bad}");
        }
    }
}
