//! Completions and man pages are there, and name every command.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use crate::{run, run_with, webrocket};

/// The commands of the program, or of one of its commands, as its help lists them.
fn commands(of: &[&str]) -> BTreeSet<String> {
    let help = run(webrocket(of).arg("--help")).stdout;
    let list = help.split("Commands:\n").nth(1).expect("commands");
    let list = list.split("\n\n").next().expect("an end");
    let names = list
        .lines()
        .filter_map(|line| line.split_whitespace().next());
    let names: BTreeSet<_> = names.map(str::to_owned).collect();
    assert!(names.contains("help"), "{help}");
    names
}

#[test]
fn completions_name_every_command() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = run(&mut webrocket(&["completions", shell]));
        assert_eq!((script.code, script.stderr.as_str()), (0, ""), "{shell}");
        for name in commands(&[]).union(&commands(&["admin"])) {
            assert!(script.stdout.contains(name), "{shell} without {name}");
        }
        assert!(!script.stdout.contains("add_vhost"), "{shell}");
    }
    let unknown = run(&mut webrocket(&["completions", "no-such-shell"]));
    assert_eq!(unknown.code, 2, "{unknown:?}");
}

#[test]
fn bash_completes_with_it() {
    let script = run(&mut webrocket(&["completions", "bash"])).stdout;
    let ask = |words: &str, position: u32, word: &str| {
        let ask = format!(
            "{script}\nCOMP_WORDS=({words}); COMP_CWORD={position}\n\
             _webrocket webrocket '{word}' ''; echo \"${{COMPREPLY[@]}}\"\n"
        );
        let mut bash = Command::new("bash");
        let run = run_with(bash.args(["--norc", "--noprofile"]), &ask);
        assert_eq!((run.code, run.stderr.as_str()), (0, ""), "{words}");
        run.stdout
    };
    assert_eq!(ask("webrocket ad", 1, "ad"), "admin\n");
    assert_eq!(ask("webrocket admin list-w", 2, "list-w"), "list-workers\n");
    let option = ask("webrocket admin disconnect --u", 3, "--u");
    assert_eq!(option, "--uid\n");
}

#[test]
fn man_pages_for_every_command() {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let dir = folder.path().join("man/man1");
    run(&mut webrocket(&["man", dir.to_str().expect("text")])).prints("");
    let page = |name: &str| {
        let text = fs::read_to_string(dir.join(format!("{name}.1"))).expect("a page");
        assert!(
            text.contains(".SH NAME") && text.contains(".SH SYNOPSIS"),
            "{name}"
        );
        text.replace("\\-", "-")
    };
    let program = page("webrocket");
    for name in commands(&[]).iter().filter(|name| *name != "help") {
        assert!(program.contains(&format!("webrocket-{name}(1)")), "{name}");
        page(&format!("webrocket-{name}"));
    }
    let admin = page("webrocket-admin");
    for name in commands(&["admin"]).iter().filter(|name| *name != "help") {
        assert!(
            admin.contains(&format!("webrocket-admin-{name}(1)")),
            "{name}"
        );
        page(&format!("webrocket-admin-{name}"));
    }
    assert!(admin.contains("Exit codes") && admin.contains("WEBROCKET_COOKIE_FILE"));
    // The program's own page goes to stdout as well.
    let printed = run(&mut webrocket(&["man"]));
    assert_eq!(printed.stdout.replace("\\-", "-"), program);
}

#[test]
fn a_place_where_no_page_can_be_written() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    let dir = file.path().join("below");
    let run = run(&mut webrocket(&["man", dir.to_str().expect("text")]));
    assert_eq!((run.code, run.stdout.as_str()), (1, ""), "{run:?}");
    assert!(run.stderr.contains(dir.to_str().expect("text")), "{run:?}");
}
