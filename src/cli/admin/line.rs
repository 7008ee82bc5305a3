use std::ffi::{OsStr, OsString};
use std::io::{self, IsTerminal};
use std::path::Path;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{ArgMatches, Command, FromArgMatches};

use super::error::Error;

/// The command line, that of 2012's `webrocket-admin` among them: options with one
/// dash and command names with underscores become today's.
///
/// The program called `webrocket-admin`, by a link, is `webrocket admin`.
pub(crate) struct Line {
    words: Vec<OsString>,
    command: Command,
    /// Set where it is a line for `admin`.
    name: Option<Name>,
}

/// The name of admin's command.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Name {
    Today,
    /// One with an underscore: failures exit with 1, output has lines only.
    Of2012,
    /// None, or none that is known.
    Unknown,
}

/// Options of 2012; Go's flags take one dash or two, and a value after `=` or a space.
const OPTIONS_OF_2012: &[&str] = &["-admin-addr", "-cookie", "-node"];

impl Line {
    /// The words of the process, for the program that `command` describes.
    pub(crate) fn new(words: impl IntoIterator<Item = OsString>, mut command: Command) -> Self {
        // Makes global options known to subcommands.
        command.build();
        let mut words: Vec<_> = words.into_iter().collect();
        let called = words.first().map(Path::new).and_then(Path::file_name);
        if called == Some(OsStr::new("webrocket-admin")) {
            words.insert(1, "admin".into());
        }
        let name = modernize(&mut words, &command);
        Self {
            words,
            command,
            name,
        }
    }

    /// The arguments in it, and where each came from. What is no valid line, or asks for
    /// help, is answered here, and the exit code given.
    pub(crate) fn parse<T: FromArgMatches>(&self) -> Result<(T, ArgMatches), ExitCode> {
        let matches = self.command.clone().try_get_matches_from(&self.words);
        let parsed = matches.and_then(|matches| Ok((T::from_arg_matches(&matches)?, matches)));
        parsed.map_err(|error| self.refuse(&error))
    }

    /// Whether the command is called as in 2012.
    pub(super) fn is_of_2012(&self) -> bool {
        self.name == Some(Name::Of2012)
    }

    /// What the process ends with.
    pub(super) fn exit_code(&self, error: &Error) -> ExitCode {
        if self.is_of_2012() {
            return ExitCode::FAILURE;
        }
        error.exit_code().into()
    }

    fn refuse(&self, error: &clap::Error) -> ExitCode {
        if let Some(name) = self.name.filter(|_| error.use_stderr()) {
            self.explain(error, name);
            return ExitCode::FAILURE;
        }
        // Where not even this can be said there is nobody to tell.
        let _ = error.print();
        ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
    }

    /// Section 6: usage with all commands and options, unless today's name says which
    /// command's usage is meant.
    fn explain(&self, error: &clap::Error, name: Name) {
        if error.kind() == ErrorKind::MissingSubcommand {
            // Clap's own words would list the names of 2012.
            eprintln!("error: no command is given");
        } else {
            let _ = error.print();
        }
        if name != Name::Today {
            self.usage();
        }
    }

    fn usage(&self) {
        let mut command = self.command.clone();
        if let Some(admin) = command.find_subcommand_mut("admin") {
            let help = admin.render_help();
            if io::stderr().is_terminal() {
                eprint!("\n{}", help.ansi());
            } else {
                eprint!("\n{help}");
            }
        }
    }
}

/// Rewrites the options of 2012 in place; tells which name admin's command has.
fn modernize(words: &mut [OsString], program: &Command) -> Option<Name> {
    let at = next_command(words, 1, program)?;
    let admin = program.find_subcommand(&words[at])?;
    if admin.get_name() != "admin" {
        return None;
    }
    for word in &mut words[at + 1..] {
        if let Some(today) = option_of_today(word) {
            *word = today;
        } else if !is_option(word) && admin.find_subcommand(&*word).is_some() {
            break;
        }
    }
    let name = next_command(words, at + 1, admin).map(|at| &words[at]);
    Some(match name {
        Some(name) if admin.find_subcommand(name).is_none() => Name::Unknown,
        Some(name) if name.as_encoded_bytes().contains(&b'_') => Name::Of2012,
        Some(_) => Name::Today,
        None => Name::Unknown,
    })
}

/// Where the next command stands: the first word from `at` on that is neither an option
/// nor the value of one.
fn next_command(words: &[OsString], mut at: usize, command: &Command) -> Option<usize> {
    while let Some(word) = words.get(at) {
        if !is_option(word) {
            return Some(at);
        }
        at += if takes_next(word, command) { 2 } else { 1 };
    }
    None
}

fn is_option(word: &OsStr) -> bool {
    word.as_encoded_bytes().starts_with(b"-")
}

/// Whether the word after this option is its value.
fn takes_next(option: &OsStr, command: &Command) -> bool {
    let long = option.to_str().and_then(|option| option.strip_prefix("--"));
    let known = |long: &str| {
        let mut options = command.get_arguments();
        options.find(|option| option.get_long() == Some(long))
    };
    long.and_then(known)
        .is_some_and(|option| option.get_action().takes_values())
}

fn option_of_today(word: &OsStr) -> Option<OsString> {
    let word = word.to_str()?;
    let option = word.split('=').next()?;
    OPTIONS_OF_2012
        .contains(&option)
        .then(|| format!("-{word}").into())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A program with another command and with admin's options, as the real one has them.
    fn line(words: &[&str]) -> Line {
        use clap::{Arg, ArgAction};
        let valued = |name: &'static str| Arg::new(name).long(name).global(true);
        let admin = Command::new("admin")
            .args(["admin-addr", "cookie", "node"].map(valued))
            .arg(Arg::new("json").long("json").action(ArgAction::SetTrue))
            .subcommand(Command::new("list-vhosts").alias("list_vhosts"))
            .subcommand(Command::new("add-vhost").alias("add_vhost"));
        let program = Command::new("webrocket")
            .arg(valued("log"))
            .subcommand(Command::new("serve"))
            .subcommand(admin);
        Line::new(words.iter().map(OsString::from), program)
    }

    #[test]
    fn which_name_admins_command_has() {
        use Name::{Of2012, Today, Unknown};
        for (words, name) in [
            (&["webrocket"][..], None),
            (&["webrocket", "serve"], None),
            (&["webrocket", "--log", "admin", "serve"], None),
            (&["webrocket", "serve", "admin"], None),
            (&["webrocket", "admin"], Some(Unknown)),
            (&["webrocket", "admin", "no_such"], Some(Unknown)),
            (&["webrocket", "admin", "list-vhosts"], Some(Today)),
            (
                &["webrocket", "admin", "add-vhost", "add_vhost"],
                Some(Today),
            ),
            (&["webrocket", "admin", "list_vhosts"], Some(Of2012)),
            (
                &["webrocket", "--log", "x", "admin", "list_vhosts"],
                Some(Of2012),
            ),
            (
                &["webrocket", "admin", "--json", "list_vhosts"],
                Some(Of2012),
            ),
            (
                &["webrocket", "admin", "--log", "x", "list_vhosts"],
                Some(Of2012),
            ),
            (
                &["webrocket", "admin", "--node=x", "list_vhosts"],
                Some(Of2012),
            ),
            (
                &["webrocket", "admin", "-node", "x", "list_vhosts"],
                Some(Of2012),
            ),
            (
                &["webrocket", "admin", "--node", "list_vhosts", "list-vhosts"],
                Some(Today),
            ),
            (&["webrocket", "admin", "--node"], Some(Unknown)),
            (&["/bin/webrocket-admin", "list_vhosts"], Some(Of2012)),
            (&["webrocket-admin"], Some(Unknown)),
        ] {
            assert_eq!(line(words).name, name, "{words:?}");
        }
    }

    #[test]
    fn options_of_2012_become_todays_before_the_command_only() {
        for (words, today) in [
            (
                &[
                    "webrocket",
                    "admin",
                    "-cookie",
                    "c",
                    "-node=n",
                    "list_vhosts",
                ][..],
                &[
                    "webrocket",
                    "admin",
                    "--cookie",
                    "c",
                    "--node=n",
                    "list_vhosts",
                ][..],
            ),
            (
                &["webrocket", "admin", "-admin-addr=:1", "add_vhost", "-node"],
                &[
                    "webrocket",
                    "admin",
                    "--admin-addr=:1",
                    "add_vhost",
                    "-node",
                ],
            ),
            (
                &["webrocket", "admin", "-nodes", "-cookie2=x", "list_vhosts"],
                &["webrocket", "admin", "-nodes", "-cookie2=x", "list_vhosts"],
            ),
            (
                &["webrocket", "serve", "-node"],
                &["webrocket", "serve", "-node"],
            ),
            (
                &["a/webrocket-admin", "-node", "n", "list_vhosts"],
                &["a/webrocket-admin", "admin", "--node", "n", "list_vhosts"],
            ),
            (&[], &[]),
        ] {
            assert_eq!(line(words).words, today);
        }
    }
}
