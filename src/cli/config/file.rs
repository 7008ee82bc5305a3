use std::fs::File;
use std::io::Read;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::problem::{Problem, Reason, Source};
use super::table::{Place, SETTINGS, Setting};
use super::value::Value;
use super::{Given, Target, nearest, nearest_setting};
use crate::limits::{CONFIG_BYTES_MAX, VHOSTS_MAX};
use crate::model::VhostPath;

/// The section of quotas by vhost.
const VHOSTS: &str = "vhosts";

/// Reads the settings of a file; what it says of keys that there are not goes
/// to `problems`.
pub(super) fn read(path: &Path, problems: &mut Vec<Problem>) -> Vec<Given> {
    let whole = |reason| Problem {
        source: Source::File(path.into(), 0),
        key: String::new(),
        reason,
    };
    let text = match text(path) {
        Ok(text) => text,
        Err(reason) => {
            problems.push(whole(reason));
            return Vec::new();
        }
    };
    let mut reader = Reader {
        path,
        line_ends: line_ends(&text),
        given: Vec::new(),
        problems,
    };
    match DeTable::parse(&text) {
        Ok(root) => reader.root(root.get_ref()),
        Err(error) => {
            let at = error.span().map_or(0, |span| span.start);
            // One line, whatever the parser has to tell.
            let message = error.message().replace('\n', ", ");
            let source = reader.line(at);
            reader.problems.push(Problem {
                source,
                key: String::new(),
                reason: Reason::Malformed(message),
            });
        }
    }
    reader.given
}

fn text(path: &Path) -> Result<String, Reason> {
    let mut bytes = Vec::new();
    let file = File::open(path)?;
    file.take(CONFIG_BYTES_MAX as u64 + 1)
        .read_to_end(&mut bytes)?;
    if bytes.len() > CONFIG_BYTES_MAX {
        return Err(Reason::TooLong(CONFIG_BYTES_MAX));
    }
    String::from_utf8(bytes).map_err(|_| Reason::NoText)
}

fn line_ends(text: &str) -> Vec<usize> {
    text.match_indices('\n').map(|(at, _)| at).collect()
}

struct Reader<'a> {
    path: &'a Path,
    /// Where each line ends, so that a position is found among many thousands.
    line_ends: Vec<usize>,
    given: Vec<Given>,
    problems: &'a mut Vec<Problem>,
}

impl Reader<'_> {
    fn root(&mut self, root: &DeTable<'_>) {
        for (section, content) in root {
            let name = section.get_ref().as_ref();
            let at = section.span().start;
            let is_known = SETTINGS
                .iter()
                .any(|setting| setting.key.split('.').next() == Some(name));
            if name != VHOSTS && !is_known {
                let sections = SETTINGS.iter().filter_map(|it| it.key.split('.').next());
                let found = nearest(name, sections.chain([VHOSTS]));
                self.refuse(at, name.into(), Reason::Unknown(found.map(str::to_owned)));
                continue;
            }
            let Some(table) = self.table(at, name, content) else {
                continue;
            };
            if name == VHOSTS {
                self.vhosts(table);
            } else {
                self.section(name, table);
            }
        }
    }

    fn section(&mut self, section: &str, table: &DeTable<'_>) {
        for (name, value) in table {
            let key = format!("{section}.{}", name.get_ref());
            match SETTINGS.iter().find(|setting| setting.key == key) {
                Some(setting) => self.give(name, Target::Node(setting), value),
                None => {
                    let found = nearest_setting(name.get_ref());
                    let reason = Reason::Unknown(found.map(|setting| setting.key.into()));
                    self.refuse(name.span().start, key, reason);
                }
            }
        }
    }

    fn vhosts(&mut self, vhosts: &DeTable<'_>) {
        if vhosts.len() > VHOSTS_MAX {
            self.refuse(0, VHOSTS.into(), Reason::TooManyVhosts(VHOSTS_MAX));
            return;
        }
        for (name, content) in vhosts {
            let text = name.get_ref().as_ref();
            let at = name.span().start;
            let key = format!("{VHOSTS}.{text:?}");
            let Some(path) = VhostPath::parse(text) else {
                let expected = "a vhost path, as \"/shop\"";
                let value = text.to_owned();
                self.refuse(at, key, Reason::Not { value, expected });
                continue;
            };
            if let Some(table) = self.table(at, &key, content) {
                self.vhost(&key, &path, table);
            }
        }
    }

    fn vhost(&mut self, parent: &str, path: &VhostPath, table: &DeTable<'_>) {
        let known = || {
            SETTINGS
                .iter()
                .filter(|it| matches!(it.place, Place::Vhost(..)))
        };
        for (name, value) in table {
            let text = name.get_ref().as_ref();
            match known().find(|setting| setting.name() == text) {
                Some(setting) => self.give(name, Target::Vhost(path.clone(), setting), value),
                None => {
                    let found = nearest(text, known().map(Setting::name));
                    let reason = Reason::Unknown(found.map(str::to_owned));
                    self.refuse(name.span().start, format!("{parent}.{text}"), reason);
                }
            }
        }
    }

    fn table<'t, 'i>(
        &mut self,
        at: usize,
        key: &str,
        content: &'t Spanned<DeValue<'i>>,
    ) -> Option<&'t DeTable<'i>> {
        let table = content.get_ref().as_table();
        if table.is_none() {
            let (found, expected) = (content.get_ref().type_str(), "a table");
            self.refuse(at, key.into(), Reason::Kind { found, expected });
        }
        table
    }

    fn give<N>(&mut self, name: &Spanned<N>, target: Target, value: &Spanned<DeValue<'_>>) {
        let source = self.line(name.span().start);
        self.given.push(Given {
            target,
            value: convert(value.get_ref()),
            source,
        });
    }

    fn refuse(&mut self, at: usize, key: String, reason: Reason) {
        let source = self.line(at);
        self.problems.push(Problem {
            source,
            key,
            reason,
        });
    }

    fn line(&self, at: usize) -> Source {
        let line = 1 + self.line_ends.partition_point(|end| *end < at);
        Source::File(self.path.into(), line)
    }
}

fn convert(value: &DeValue<'_>) -> Value {
    match value {
        DeValue::String(text) => Value::Text(text.as_ref().to_owned()),
        DeValue::Boolean(on) => Value::Switch(*on),
        DeValue::Integer(number) => {
            let parsed = i64::from_str_radix(number.as_str(), number.radix());
            // Past every bound as well.
            Value::Integer(parsed.unwrap_or(i64::MAX))
        }
        DeValue::Array(values) => Value::List(
            values
                .iter()
                .map(|value| convert(value.get_ref()))
                .collect(),
        ),
        other => Value::Other(other.type_str()),
    }
}
