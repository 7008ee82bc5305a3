//! The program itself, as a process.

use std::process::{Command, Stdio};

/// The program with these arguments, and with none of the settings that the
/// tests' own environment may have.
pub fn webrocket(arguments: &[&str]) -> Command {
    let mut command = Command::new(PROGRAM);
    forget_settings(&mut command);
    command.args(arguments).stdin(Stdio::null());
    command
}

/// Where it is.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_webrocket");

/// Takes from the environment what the program listens to.
pub fn forget_settings(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        let is_setting = text.starts_with("WEBROCKET_") || OTHERS.contains(&&*text);
        if is_setting {
            command.env_remove(name);
        }
    }
}

/// Those of the log, of terminals and of systemd.
const OTHERS: &[&str] = &[
    "RUST_LOG",
    "NO_COLOR",
    "NOTIFY_SOCKET",
    "WATCHDOG_USEC",
    "WATCHDOG_PID",
];
