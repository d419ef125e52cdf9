//! The `lapsed` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    lapsed::cli::main()
}
