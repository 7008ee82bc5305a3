//! The shapes of the node's answers, and how each is shown.

use std::fmt::Write;

use serde::Deserialize;
use serde_json::Value;

use super::show::{Shown, Table, clean};

/// `{"vhosts":[...]}`.
#[derive(Deserialize)]
pub(super) struct Vhosts {
    vhosts: Vec<ListedVhost>,
}

#[derive(Deserialize)]
struct ListedVhost {
    path: String,
}

impl Shown for Vhosts {
    fn sort(&mut self) {
        self.vhosts.sort_by(|a, b| a.path.cmp(&b.path));
    }

    fn plain(&self, out: &mut String) {
        for vhost in &self.vhosts {
            line(out, &[&vhost.path]);
        }
    }

    fn table(&self) -> Table {
        let rows = self.vhosts.iter().map(|it| vec![it.path.clone()]);
        Table::list(&["vhost"], rows)
    }
}

/// `{"vhost":{...}}`.
#[derive(Deserialize)]
pub(super) struct ShownVhost {
    vhost: Vhost,
}

#[derive(Deserialize)]
struct Vhost {
    path: String,
    #[serde(rename = "accessToken")]
    token: String,
    channels: Size,
}

#[derive(Deserialize)]
pub(super) struct Size {
    pub(super) size: u64,
}

impl Shown for ShownVhost {
    fn plain(&self, out: &mut String) {
        line(out, &[&self.vhost.path]);
        line(out, &[&self.vhost.token]);
    }

    fn table(&self) -> Table {
        Table::thing([
            ("vhost", self.vhost.path.clone()),
            ("access token", self.vhost.token.clone()),
            ("channels", self.vhost.channels.size.to_string()),
        ])
    }
}

/// The same answer, where only the token is of interest.
#[derive(Deserialize)]
pub(super) struct Token(ShownVhost);

impl Shown for Token {
    fn plain(&self, out: &mut String) {
        line(out, &[&self.0.vhost.token]);
    }

    fn table(&self) -> Table {
        Table::thing([("access token", self.0.vhost.token.clone())])
    }
}

/// `{"channels":[...]}`.
#[derive(Deserialize)]
pub(super) struct Channels {
    pub(super) channels: Vec<Channel>,
}

#[derive(Deserialize)]
pub(super) struct Channel {
    pub(super) name: String,
    /// Not in the list of a node that keeps to the routes of 2012.
    pub(super) subscribers: Option<Size>,
}

impl Channel {
    fn subscribers(&self) -> u64 {
        self.subscribers.as_ref().map_or(0, |it| it.size)
    }

    fn plain(&self, out: &mut String) {
        let count = format!("({} subscribers)", self.subscribers());
        line(out, &[&self.name, &count]);
    }

    fn row(&self) -> Vec<String> {
        vec![self.name.clone(), self.subscribers().to_string()]
    }
}

impl Shown for Channels {
    fn sort(&mut self) {
        self.channels.sort_by(|a, b| a.name.cmp(&b.name));
    }

    fn plain(&self, out: &mut String) {
        self.channels.iter().for_each(|channel| channel.plain(out));
    }

    fn table(&self) -> Table {
        let rows = self.channels.iter().map(Channel::row);
        Table::list(&["channel", "subscribers"], rows)
    }
}

/// `{"channel":{...}}`.
#[derive(Deserialize)]
pub(super) struct ShownChannel {
    pub(super) channel: Channel,
}

impl Shown for ShownChannel {
    fn plain(&self, out: &mut String) {
        self.channel.plain(out);
    }

    fn table(&self) -> Table {
        Table::thing([
            ("channel", self.channel.name.clone()),
            ("subscribers", self.channel.subscribers().to_string()),
        ])
    }
}

/// `{"workers":[...]}`.
#[derive(Deserialize)]
pub(super) struct Workers {
    workers: Vec<Worker>,
}

#[derive(Deserialize)]
struct Worker {
    id: String,
}

impl Shown for Workers {
    fn sort(&mut self) {
        self.workers.sort_by(|a, b| a.id.cmp(&b.id));
    }

    fn plain(&self, out: &mut String) {
        for worker in &self.workers {
            line(out, &[&worker.id]);
        }
    }

    fn table(&self) -> Table {
        let rows = self.workers.iter().map(|it| vec![it.id.clone()]);
        Table::list(&["worker"], rows)
    }
}

/// `{"subscribers":[...]}`.
#[derive(Deserialize)]
pub(super) struct Subscribers {
    subscribers: Vec<Subscriber>,
}

#[derive(Deserialize)]
struct Subscriber {
    sid: String,
    uid: Option<String>,
    hidden: bool,
    data: Option<Value>,
}

impl Subscriber {
    fn row(&self) -> Vec<String> {
        vec![
            self.sid.clone(),
            self.uid.clone().unwrap_or_default(),
            visibility(self.hidden).to_owned(),
            self.data.as_ref().map(Value::to_string).unwrap_or_default(),
        ]
    }
}

fn visibility(hidden: bool) -> &'static str {
    if hidden { "hidden" } else { "visible" }
}

impl Subscribers {
    pub(super) fn len(&self) -> usize {
        self.subscribers.len()
    }
}

impl Shown for Subscribers {
    fn sort(&mut self) {
        self.subscribers.sort_by(|a, b| a.sid.cmp(&b.sid));
    }

    fn plain(&self, out: &mut String) {
        for subscriber in &self.subscribers {
            line(out, &subscriber.row());
        }
    }

    fn table(&self) -> Table {
        let rows = self.subscribers.iter().map(Subscriber::row);
        Table::list(&["sid", "uid", "presence", "data"], rows)
    }
}

/// `{"sessions":[...]}`.
#[derive(Deserialize)]
pub(super) struct Sessions {
    sessions: Vec<ListedSession>,
}

#[derive(Deserialize)]
struct ListedSession {
    sid: String,
    uid: Option<String>,
    subscriptions: u64,
}

impl ListedSession {
    fn row(&self) -> Vec<String> {
        vec![
            self.sid.clone(),
            self.uid.clone().unwrap_or_default(),
            self.subscriptions.to_string(),
        ]
    }
}

impl Sessions {
    pub(super) fn len(&self) -> usize {
        self.sessions.len()
    }
}

impl Shown for Sessions {
    fn sort(&mut self) {
        self.sessions.sort_by(|a, b| a.sid.cmp(&b.sid));
    }

    fn plain(&self, out: &mut String) {
        for session in &self.sessions {
            line(out, &session.row());
        }
    }

    fn table(&self) -> Table {
        let rows = self.sessions.iter().map(ListedSession::row);
        Table::list(&["sid", "uid", "subscriptions"], rows)
    }
}

/// `{"session":{...}}`.
#[derive(Deserialize)]
pub(super) struct ShownSession {
    session: Session,
}

#[derive(Deserialize)]
struct Session {
    sid: String,
    uid: Option<String>,
    channels: Vec<Subscription>,
}

#[derive(Deserialize)]
struct Subscription {
    name: String,
    hidden: bool,
}

impl Shown for ShownSession {
    fn sort(&mut self) {
        self.session.channels.sort_by(|a, b| a.name.cmp(&b.name));
    }

    fn plain(&self, out: &mut String) {
        let session = &self.session;
        let uid = session.uid.as_deref().unwrap_or_default();
        line(out, &[&session.sid, uid]);
        for channel in &session.channels {
            line(out, &[channel.name.as_str(), visibility(channel.hidden)]);
        }
    }

    fn table(&self) -> Table {
        let session = &self.session;
        let own = [
            ("session", session.sid.clone()),
            ("uid", session.uid.clone().unwrap_or_default()),
        ];
        let channels = session.channels.iter().map(|channel| {
            let hidden = if channel.hidden { " (hidden)" } else { "" };
            ("channel", format!("{}{hidden}", channel.name))
        });
        Table::thing(own.into_iter().chain(channels))
    }
}

/// `{"disconnected":n}`.
#[derive(Deserialize)]
pub(super) struct Disconnected {
    disconnected: u64,
}

impl Shown for Disconnected {
    fn plain(&self, out: &mut String) {
        line(out, &[&self.disconnected.to_string()]);
    }

    fn table(&self) -> Table {
        Table::thing([("sessions disconnected", self.disconnected.to_string())])
    }
}

/// `{"stats":{...}}`: whatever the node counts, nested names joined with dots.
#[derive(Deserialize)]
pub(super) struct Stats {
    stats: Value,
}

impl Stats {
    fn rows(&self) -> Vec<(String, String)> {
        let mut rows = Vec::new();
        flatten(&self.stats, String::new(), &mut rows);
        rows
    }
}

/// Recursion ends: the parser refuses JSON deeper than 128.
fn flatten(value: &Value, name: String, rows: &mut Vec<(String, String)>) {
    match value {
        Value::Object(members) => {
            for (key, value) in members {
                let dot = if name.is_empty() { "" } else { "." };
                flatten(value, format!("{name}{dot}{key}"), rows);
            }
        }
        Value::String(text) => rows.push((name, text.clone())),
        other => rows.push((name, other.to_string())),
    }
}

impl Shown for Stats {
    fn plain(&self, out: &mut String) {
        for (name, value) in self.rows() {
            line(out, &[name, value]);
        }
    }

    fn table(&self) -> Table {
        Table::thing(self.rows())
    }
}

/// One line, its fields apart by TABs.
fn line(out: &mut String, fields: &[impl AsRef<str>]) {
    for (at, field) in fields.iter().enumerate() {
        let tab = if at == 0 { "" } else { "\t" };
        // Writing to a string does not fail.
        let _ = write!(out, "{tab}{}", clean(field.as_ref()));
    }
    out.push('\n');
}
