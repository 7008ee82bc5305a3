//! File, variables and flags become valid settings, or lines that say what is
//! wrong with them. The later of the three is the stronger.

mod check;
mod file;
mod flags;
mod loader;
mod problem;
mod settings;
mod table;
mod value;

#[cfg(test)]
mod tests;

pub(in crate::cli) use check::{check, host_name};
pub(in crate::cli) use flags::Flags;
pub(in crate::cli) use problem::Problem;
pub(in crate::cli) use settings::Settings;

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::log;
use crate::model::VhostPath;
use loader::Loader;
use problem::{Reason, Source};
use table::{SETTINGS, Setting, VARIABLES};
use value::Value;

/// Where the file is when nobody says.
const DEFAULT_FILE: &str = "/etc/webrocket/webrocket.toml";

/// Names the file where no flag does.
const FILE_VARIABLE: &str = "WEBROCKET_CONFIG";

/// Gives the log filter where no variable of ours does: other programs know it too.
const RUST_LOG: &str = "RUST_LOG";

/// What the process was started with; the file is read anew with each load.
pub(in crate::cli) struct Layers {
    file: Option<PathBuf>,
    variables: Vec<(OsString, OsString)>,
    flags: Vec<Given>,
}

/// A value on its way to its setting.
#[derive(Clone)]
struct Given {
    target: Target,
    value: Value,
    source: Source,
}

#[derive(Clone)]
enum Target {
    Node(&'static Setting),
    Vhost(VhostPath, &'static Setting),
}

impl Layers {
    /// The layers of this process.
    pub(in crate::cli) fn new(flags: Flags, log: &log::Flags) -> Self {
        let mut given = flags.given;
        for (flag, text) in log.given() {
            let setting = SETTINGS.iter().find(|setting| setting.flag == flag);
            given.extend(setting.map(|setting| Given {
                target: Target::Node(setting),
                value: Value::Plain(text.into()),
                source: Source::Flag(flag),
            }));
        }
        let file = flags
            .config
            .or_else(|| env::var_os(FILE_VARIABLE).map(PathBuf::from))
            .filter(|path| !path.as_os_str().is_empty())
            .or_else(|| {
                let usual = Path::new(DEFAULT_FILE);
                // One that can't be looked at is there, and reading it says why not.
                let missing = matches!(usual.try_exists(), Ok(false));
                (!missing).then(|| usual.into())
            });
        Self {
            file,
            variables: env::vars_os().collect(),
            flags: given,
        }
    }

    /// The file that is read, if any.
    pub(in crate::cli) fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// Reads and validates all of them.
    ///
    /// # Errors
    /// Every problem found, in the order of the layers.
    pub(in crate::cli) fn load(&self) -> Result<Settings, Vec<Problem>> {
        let mut problems = Vec::new();
        let mut given = match &self.file {
            Some(path) => file::read(path, &mut problems),
            None => Vec::new(),
        };
        variables(&self.variables, &mut given, &mut problems);
        given.extend(self.flags.iter().cloned());
        let mut loader = Loader::new(problems);
        loader.apply(&given);
        loader.check_relations();
        let Loader {
            settings,
            mut problems,
            ..
        } = loader;
        if problems.is_empty() {
            return Ok(settings);
        }
        problems.sort_by_key(|problem| problem.source.rank());
        Err(problems)
    }
}

/// Adds what the variables give. One of a section of ours that names no setting
/// is a mistake; others belong to somebody else (Kubernetes sets some for every
/// service, after its name).
fn variables(
    variables: &[(OsString, OsString)],
    given: &mut Vec<Given>,
    problems: &mut Vec<Problem>,
) {
    let filter = variables.iter().filter(|(name, _)| *name == *RUST_LOG);
    let ours = variables
        .iter()
        .filter(|(name, _)| name.as_encoded_bytes().starts_with(VARIABLES.as_bytes()));
    for (name, value) in filter.chain(ours) {
        let Some(name) = name.to_str() else { continue };
        let setting = SETTINGS.iter().find(|setting| {
            setting.variable() == name || (name == RUST_LOG && setting.key == "log.filter")
        });
        let source = Source::Variable(name.into());
        let refused = |reason| Problem {
            source: source.clone(),
            key: String::new(),
            reason,
        };
        match (setting, value.to_str()) {
            (Some(setting), Some(value)) => given.push(Given {
                target: Target::Node(setting),
                value: Value::Plain(value.into()),
                source,
            }),
            (Some(_), None) => problems.push(refused(Reason::NoText)),
            (None, _) if is_of_our_sections(name) => {
                let name = name.strip_prefix(VARIABLES).unwrap_or_default();
                let name = name.split_once('_').map_or(name, |(_, name)| name);
                let found = nearest_setting(&name.to_ascii_lowercase());
                problems.push(refused(Reason::Unknown(found.map(Setting::variable))));
            }
            (None, _) => {}
        }
    }
}

fn is_of_our_sections(variable: &str) -> bool {
    let rest = variable.strip_prefix(VARIABLES).unwrap_or_default();
    SETTINGS.iter().any(|setting| {
        let section = setting.key.split('.').next().unwrap_or_default();
        rest.split('_').next() == Some(section.to_ascii_uppercase().as_str())
    })
}

/// The setting whose name below its section was probably meant.
fn nearest_setting(name: &str) -> Option<&'static Setting> {
    let found = nearest(name, SETTINGS.iter().map(Setting::name))?;
    SETTINGS.iter().find(|setting| setting.name() == found)
}

/// The known name that was probably meant.
fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    /// Below it two names have no more in common than any two.
    const ALIKE: f64 = 0.8;
    known
        .map(|known| (strsim::jaro_winkler(name, known), known))
        .filter(|(likeness, _)| *likeness >= ALIKE)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, known)| known)
}
