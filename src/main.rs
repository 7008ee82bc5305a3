//! The program `webrocket`: a broker between browsers and backends.

#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    webrocket::cli::run()
}
