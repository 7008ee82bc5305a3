//! What packages carry beside the program, made from its own command line.

use std::path::PathBuf;

use clap::{Command, ValueHint};
use clap_complete::Shell;

use super::Failure;

/// Prints a script that completes commands and options in a shell
#[derive(clap::Args)]
#[command(after_help = COMPLETIONS_PLACES)]
pub(super) struct Completions {
    /// The shell
    shell: Shell,
}

const COMPLETIONS_PLACES: &str = "\
Where shells look for it:
  bash  /usr/share/bash-completion/completions/webrocket
  zsh   /usr/share/zsh/vendor-completions/_webrocket (or site-functions)
  fish  /usr/share/fish/vendor_completions.d/webrocket.fish";

/// Prints the manual page, or writes all pages into a directory
#[derive(clap::Args)]
#[command(after_help = "Packages put the pages into /usr/share/man/man1. \
To read one: webrocket man | man -l -")]
pub(super) struct Man {
    /// Where to write a page for the program and one for each command
    #[arg(value_hint = ValueHint::DirPath)]
    dir: Option<PathBuf>,
}

pub(super) fn complete(arguments: &Completions, mut program: Command) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut program, "webrocket", &mut script);
    super::print(&script).map_err(Failure::system("stdout"))
}

pub(super) fn write(arguments: &Man, program: Command) -> Result<(), Failure> {
    let Some(dir) = &arguments.dir else {
        let mut page = Vec::new();
        // As in the directory: there is no page of `help`.
        let program = program.disable_help_subcommand(true);
        let rendered = clap_mangen::Man::new(program).render(&mut page);
        rendered.map_err(Failure::system("manual"))?;
        return super::print(&page).map_err(Failure::system("stdout"));
    };
    std::fs::create_dir_all(dir)
        .and_then(|()| clap_mangen::generate_to(program, dir))
        .map_err(|source| Failure::Page {
            dir: dir.clone(),
            source,
        })
}
