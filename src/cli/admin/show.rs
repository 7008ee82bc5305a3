use std::borrow::Cow;
use std::fmt::Write;

use comfy_table::presets;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::Value;

use super::error::Error;
use crate::cli::node::Client;

/// How an answer is shown.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Form {
    /// Lines of fields, as section 6 has them.
    Plain,
    /// Tables for people.
    Table,
    /// The node's JSON as it came.
    Json,
    /// The node's JSON, indented.
    Pretty,
}

impl Form {
    /// Scripts of 2012 find their lines on a terminal too.
    pub(super) fn new(json: bool, terminal: bool, of_2012: bool) -> Self {
        match (json, terminal) {
            (true, true) => Self::Pretty,
            (true, false) => Self::Json,
            (false, true) if !of_2012 => Self::Table,
            (false, _) => Self::Plain,
        }
    }

    pub(super) fn is_json(self) -> bool {
        matches!(self, Self::Json | Self::Pretty)
    }
}

/// An answer that can be shown.
pub(super) trait Shown: DeserializeOwned {
    /// Lists come in any order and are shown sorted.
    fn sort(&mut self) {}

    /// Adds its lines for scripts.
    fn plain(&self, out: &mut String);

    /// The same for people.
    fn table(&self) -> Table;
}

/// The text for stdout of the JSON that `client`'s node answered.
pub(super) fn show<T: Shown>(client: &Client, form: Form, body: &str) -> Result<String, Error> {
    if form.is_json() {
        return json(client, form, body);
    }
    Ok(text(form, parse::<T>(client, body)?))
}

/// The same of an answer taken apart already.
pub(super) fn text(form: Form, mut answer: impl Shown) -> String {
    answer.sort();
    if form == Form::Table {
        return answer.table().text();
    }
    let mut text = String::new();
    answer.plain(&mut text);
    text
}

pub(super) fn parse<T: DeserializeOwned>(client: &Client, body: &str) -> Result<T, Error> {
    serde_json::from_str(body).map_err(|error| client.invalid(&error.to_string()).into())
}

/// The node's own words, once they are known to be JSON; nothing of nothing.
pub(super) fn json(client: &Client, form: Form, body: &str) -> Result<String, Error> {
    if body.is_empty() {
        return Ok(String::new());
    }
    if form == Form::Json {
        parse::<IgnoredAny>(client, body)?;
        return Ok(format!("{body}\n"));
    }
    let value: Value = parse(client, body)?;
    let lines = format!("{value:#}");
    let cleaned: Vec<_> = lines.split('\n').map(clean).collect();
    Ok(format!("{}\n", cleaned.join("\n")))
}

/// Columns for people.
pub(super) struct Table(comfy_table::Table);

impl Table {
    /// One row a thing, under a head.
    pub(super) fn list(head: &[&str], rows: impl Iterator<Item = Vec<String>>) -> Self {
        let mut table = Self::empty();
        table.0.set_header(head.iter().map(|it| it.to_uppercase()));
        for row in rows {
            table.0.add_row(row.iter().map(|cell| clean(cell)));
        }
        table
    }

    /// One thing, a row for each of its properties.
    pub(super) fn thing<N: AsRef<str>>(rows: impl IntoIterator<Item = (N, String)>) -> Self {
        let mut table = Self::empty();
        for (name, value) in rows {
            table.0.add_row([clean(name.as_ref()), clean(&value)]);
        }
        table
    }

    /// Without lines: what is copied out of it is the text alone.
    fn empty() -> Self {
        let mut table = comfy_table::Table::new();
        table.load_style(presets::NOTHING);
        Self(table)
    }

    fn text(&self) -> String {
        let lines = self.0.lines();
        lines.fold(String::new(), |mut text, line| {
            // Writing to a string does not fail.
            let _ = writeln!(text, "{}", line.trim());
            text
        })
    }
}

/// The text with control characters escaped as JSON does it. A uid and presence data
/// come from strangers: they must not steer the operator's terminal, nor break lines.
pub(super) fn clean(text: &str) -> Cow<'_, str> {
    if !text.contains(char::is_control) {
        return text.into();
    }
    let mut cleaned = String::with_capacity(text.len());
    for letter in text.chars() {
        if letter.is_control() {
            // Writing to a string does not fail. Control characters end at U+009F.
            let _ = write!(cleaned, "\\u{:04x}", u32::from(letter));
        } else {
            cleaned.push(letter);
        }
    }
    cleaned.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms() {
        for (json, terminal, of_2012, form) in [
            (false, false, false, Form::Plain),
            (false, false, true, Form::Plain),
            (false, true, false, Form::Table),
            (false, true, true, Form::Plain),
            (true, false, false, Form::Json),
            (true, true, true, Form::Pretty),
        ] {
            assert_eq!(Form::new(json, terminal, of_2012), form);
        }
    }

    #[test]
    fn control_characters_stay_out_of_the_terminal() {
        assert_eq!(clean("joe ä"), "joe ä");
        assert_eq!(
            clean("a\x1b[2J\t\u{9b}\n"),
            "a\\u001b[2J\\u0009\\u009b\\u000a"
        );
        assert_eq!(clean("\x7f"), "\\u007f");
    }

    #[test]
    fn tables() {
        let rows = [["room", "12"], ["presence-x", "3"]];
        let rows = rows.iter().map(|row| row.map(str::to_owned).to_vec());
        let table = Table::list(&["channel", "subscribers"], rows);
        let expected = "CHANNEL     SUBSCRIBERS\nroom        12\npresence-x  3\n";
        assert_eq!(table.text(), expected);
        let thing = Table::thing([("uid", "joe".to_owned()), ("session", "\r".to_owned())]);
        assert_eq!(thing.text(), "uid      joe\nsession  \\u000d\n");
    }
}
