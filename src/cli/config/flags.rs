use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches};

use super::problem::Source;
use super::table::{SETTINGS, Setting};
use super::value::Value;
use super::{DEFAULT_FILE, FILE_VARIABLE, Given, Settings, Target};
use crate::cli::log;

/// The flags of `serve`: one for each setting. A value is looked at when all
/// layers are there, so that every problem is told in the same way.
pub(in crate::cli) struct Flags {
    pub(super) config: Option<PathBuf>,
    /// Whether to validate only.
    pub(in crate::cli) check: bool,
    pub(super) given: Vec<Given>,
}

impl Args for Flags {
    fn augment_args(command: Command) -> Command {
        let config = Arg::new("config")
            .long("config")
            .value_name("FILE")
            .value_parser(clap::value_parser!(PathBuf))
            .help("Reads settings from this file")
            .long_help(format!(
                "Reads settings from this file\n\n\
                 [default: {DEFAULT_FILE} where there is one]\n[env: {FILE_VARIABLE}]"
            ));
        let check = Arg::new("check")
            .long("check")
            .action(ArgAction::SetTrue)
            .help("Says whether a node could start with these settings, and starts none")
            .long_help(
                "Says whether a node could start with these settings, and starts none: \
                 that all\nare valid, the storage directory can be written, and the \
                 addresses are of this host.\nA port in use is none of it, for it may be \
                 the running node's.",
            );
        let defaults = Settings::default();
        own().fold(command.arg(config).arg(check), |command, setting| {
            let default = setting.show(&defaults);
            let variable = setting.variable();
            let (key, about) = (setting.key, setting.help);
            let help = format!("{about} [default: {default}]");
            let long_help =
                format!("{about}\n\n[default: {default}]\n[env: {variable}]\n[file: {key}]");
            command.arg(
                Arg::new(setting.key)
                    .long(setting.flag)
                    .value_name(setting.value)
                    .help_heading(heading(setting))
                    .help(help)
                    .long_help(long_help),
            )
        })
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Flags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let given = own().filter_map(|setting| {
            let text = matches.get_one::<String>(setting.key)?;
            Some(Given {
                target: Target::Node(setting),
                value: Value::Plain(text.clone()),
                source: Source::Flag(setting.flag),
            })
        });
        Ok(Self {
            config: matches.get_one("config").cloned(),
            check: matches.get_flag("check"),
            given: given.collect(),
        })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// All but those of logging, which every command has.
fn own() -> impl Iterator<Item = &'static Setting> {
    SETTINGS
        .iter()
        .filter(|setting| ![log::FILTER_FLAG, log::FORMAT_FLAG].contains(&setting.flag))
}

fn heading(setting: &Setting) -> &'static str {
    match setting.key.split('.').next() {
        Some("node") => "Node",
        Some("listen") => "Addresses",
        Some("tls") => "TLS",
        Some("drain") => "Drain",
        Some("limits") => "Limits",
        _ => "Settings",
    }
}
