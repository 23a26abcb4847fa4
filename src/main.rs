//! Arguments to exit code.

use std::process::ExitCode;

use clap::Parser;
use ringcx_rotator::cli::Cli;

fn main() -> ExitCode {
    ringcx_rotator::cli::main(Cli::parse())
}
