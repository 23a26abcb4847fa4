//! `man`: made from the command line's own description.

use std::io;
use std::path::PathBuf;

use clap::Args;

use crate::console::Exit;

/// Arguments of `man`.
#[derive(Args)]
pub struct ManArgs {
    /// Write one page for each command into this directory
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

pub fn man(args: &ManArgs) -> Exit {
    let command = crate::cli::command();
    exit_of(match &args.dir {
        Some(directory) => clap_mangen::generate_to(command, directory),
        None => clap_mangen::Man::new(command).render(&mut io::stdout()),
    })
}

/// A reader that closes the pipe early (`man | head`) is no error.
pub fn exit_of(written: io::Result<()>) -> Exit {
    match written {
        Ok(()) => Exit::Done,
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Exit::Done,
        Err(error) => {
            eprintln!("error: {error}");
            Exit::Failing
        }
    }
}
