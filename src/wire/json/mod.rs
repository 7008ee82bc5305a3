//! JSON without a tree: the text is checked in one pass and its parts are
//! spliced as they stand, so that numbers, escapes and unknown members pass
//! through unchanged ([BR-11]).

mod scan;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::collections::HashSet;

pub(in crate::wire) use scan::{Scan, Value};

/// The members of an object whose text is known to be valid, without its braces
/// and the white space next to them; empty for `{}`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Members<'a> {
    text: &'a str,
    names: Names,
}

impl<'a> Members<'a> {
    /// Those of `{}`.
    pub const EMPTY: Self = Self {
        text: "",
        names: Names::NONE,
    };

    /// Members that were taken from a valid object before, kept as text.
    pub fn trusted(text: &'a str) -> Self {
        Self::named(text, Names::UNKNOWN)
    }

    /// Members with all these names at least.
    fn named(text: &'a str, names: Names) -> Self {
        let text = trim(text);
        Self { text, names }
    }

    /// `"name":value` separated by commas.
    pub fn as_str(self) -> &'a str {
        self.text
    }

    /// Whether the object has no member.
    pub fn is_empty(self) -> bool {
        self.text.is_empty()
    }

    /// Each member's name and the text of its value, in the order written.
    pub fn iter(self) -> impl Iterator<Item = (JsonString<'a>, &'a str)> {
        let mut scan = Scan::new(self.text);
        std::iter::from_fn(move || {
            if scan.is_at_end() {
                return None;
            }
            let name = scan.name()?;
            let value = scan.raw_value(1)?;
            scan.skip_space();
            let _more = scan.take(b',');
            scan.skip_space();
            Some((name, value))
        })
    }

    /// The members but those of the given names, however their names are
    /// escaped. Borrowed where there is none of them.
    pub fn without(self, names: &[&str]) -> Cow<'a, str> {
        // Nearly all data has none of them, and is not looked at again.
        if !names.iter().any(|name| self.names.may_have(name)) {
            return Cow::Borrowed(self.text);
        }
        let named = |name: &JsonString<'_>| names.iter().any(|other| name.is(other));
        if !self.iter().any(|(name, _)| named(&name)) {
            return Cow::Borrowed(self.text);
        }
        let mut kept = String::with_capacity(self.text.len());
        for (name, value) in self.iter().filter(|(name, _)| !named(name)) {
            write_member(&mut kept, name, value);
        }
        Cow::Owned(kept)
    }
}

/// The names are told by the text.
impl PartialEq for Members<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Members<'_> {}

/// Which names an object may have: a bit for each, by its length and first
/// byte. Two names may share one, so it rules names out and never in.
#[derive(Clone, Copy, Debug, Default)]
struct Names(u64);

impl Names {
    const NONE: Self = Self(0);

    /// Any names.
    const UNKNOWN: Self = Self(u64::MAX);

    fn put(&mut self, name: &[u8]) {
        self.0 |= Self::bit(name);
    }

    fn may_have(self, name: &str) -> bool {
        self.0 & Self::bit(name.as_bytes()) != 0
    }

    fn bit(name: &[u8]) -> u64 {
        let first = name.first().copied().unwrap_or_default();
        // Lengths are put eleven apart, since names begin within some thirty letters.
        1 << ((name.len() * 11 + usize::from(first)) % 64)
    }
}

/// Without JSON's white space at both ends. By bytes: `trim_matches` goes by
/// characters, which takes as long as scanning a small value.
#[inline]
fn trim(text: &str) -> &str {
    let bytes = text.as_bytes();
    match (bytes.first(), bytes.last()) {
        (Some(&first), Some(&last)) if is_space(first) || is_space(last) => trim_spaces(text),
        _ => text,
    }
}

#[cold]
fn trim_spaces(text: &str) -> &str {
    let start = text.bytes().take_while(|&byte| is_space(byte)).count();
    let text = &text[start..];
    let end = text
        .bytes()
        .rev()
        .take_while(|&byte| is_space(byte))
        .count();
    &text[..text.len() - end]
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

/// The members of `text` where the whole of it is one valid object.
pub fn parse_members(text: &str) -> Option<Members<'_>> {
    let mut scan = Scan::new(text);
    scan.skip_space();
    let Value::Object(members) = scan.value(0)? else {
        return None;
    };
    scan.end()?;
    Some(members)
}

/// `base` with the members of `over` put over it: those of `base` that have a
/// name in `over` are gone.
pub fn merge(base: Members<'_>, over: Members<'_>) -> String {
    // Hashed, since both may hold a hundred thousand names chosen to hurt.
    let replaced: HashSet<Cow<'_, str>> = over.iter().map(|(name, _)| name.unescape()).collect();
    let mut merged = String::with_capacity(base.text.len() + 1 + over.text.len());
    for (name, value) in base.iter() {
        if !replaced.contains(&name.unescape()) {
            write_member(&mut merged, name, value);
        }
    }
    push_members(&mut merged, over.text);
    merged
}

/// Appends members to members, with a comma where both sides have some.
pub(in crate::wire) fn push_members(out: &mut String, members: &str) {
    if !out.is_empty() && !members.is_empty() {
        out.push(',');
    }
    out.push_str(members);
}

fn write_member(out: &mut String, name: JsonString<'_>, value: &str) {
    if !out.is_empty() {
        out.push(',');
    }
    out.push_str(name.raw);
    out.push(':');
    out.push_str(value);
}

/// A valid JSON string as it stands in its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JsonString<'a> {
    raw: &'a str,
    escaped: bool,
}

impl<'a> JsonString<'a> {
    /// The text with its quotes and escapes.
    pub fn raw(self) -> &'a str {
        self.raw
    }

    /// What the string says. Half a surrogate pair becomes U+FFFD, since Rust
    /// text has no room for it.
    #[inline]
    pub fn unescape(self) -> Cow<'a, str> {
        let inside = &self.raw[1..self.raw.len() - 1];
        if self.escaped {
            Cow::Owned(unescape(inside))
        } else {
            Cow::Borrowed(inside)
        }
    }

    /// Whether it is `""`.
    pub fn is_empty(self) -> bool {
        self.raw.len() == 2
    }

    /// Whether it says `text`.
    pub fn is(self, text: &str) -> bool {
        // An escape is never shorter than what it says.
        self.raw.len() >= text.len() + 2 && self.unescape() == text
    }

    /// Whether the first character that it says is a colon ([BR-10]).
    pub fn starts_with_colon(self) -> bool {
        match self.raw.as_bytes().get(1) {
            Some(b'\\') => self.unescape().starts_with(':'),
            first => first == Some(&b':'),
        }
    }
}

#[cold]
fn unescape(mut rest: &str) -> String {
    let mut text = String::with_capacity(rest.len());
    while let Some((plain, after)) = rest.split_once('\\') {
        text.push_str(plain);
        let mut chars = after.chars();
        text.push(match chars.next() {
            Some('b') => '\u{8}',
            Some('f') => '\u{c}',
            Some('n') => '\n',
            Some('r') => '\r',
            Some('t') => '\t',
            Some('u') => {
                let (said, after) = unescape_unicode(chars.as_str());
                chars = after.chars();
                said
            }
            // A quote, a slash or a backslash says itself.
            Some(itself) => itself,
            None => break,
        });
        rest = chars.as_str();
    }
    text.push_str(rest);
    text
}

/// The character of the digits behind `\u`, and what follows them; takes the
/// second half of a surrogate pair along.
fn unescape_unicode(text: &str) -> (char, &str) {
    let (unit, after) = hex_unit(text);
    if (0xd800..0xdc00).contains(&unit)
        && let Some(next) = after.strip_prefix("\\u")
        && let (low @ 0xdc00..0xe000, after) = hex_unit(next)
    {
        let pair = 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
        return (
            char::from_u32(pair).unwrap_or(char::REPLACEMENT_CHARACTER),
            after,
        );
    }
    (
        char::from_u32(unit).unwrap_or(char::REPLACEMENT_CHARACTER),
        after,
    )
}

fn hex_unit(text: &str) -> (u32, &str) {
    let (digits, after) = text.split_at_checked(4).unwrap_or((text, ""));
    (u32::from_str_radix(digits, 16).unwrap_or(0xfffd), after)
}

/// Appends `text` as a JSON string, quoted and escaped.
pub fn write_string(out: &mut String, text: &str) {
    out.push('"');
    let mut rest = text;
    loop {
        let (plain, special) = rest.split_at(scan::skip_plain(rest.as_bytes(), 0));
        out.push_str(plain);
        let mut chars = special.chars();
        match chars.next() {
            None => break,
            Some('"') => out.push_str("\\\""),
            Some('\\') => out.push_str("\\\\"),
            Some('\n') => out.push_str("\\n"),
            Some('\r') => out.push_str("\\r"),
            Some('\t') => out.push_str("\\t"),
            Some(control) => {
                const HEX: &[u8; 16] = b"0123456789abcdef";
                out.push_str("\\u00");
                out.push(char::from(HEX[control as usize >> 4 & 15]));
                out.push(char::from(HEX[control as usize & 15]));
            }
        }
        rest = chars.as_str();
    }
    out.push('"');
}
