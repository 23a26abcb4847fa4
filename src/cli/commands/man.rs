//! `man`: made from the command line's own description.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use clap::{Args, Command};
use clap_mangen::Man;

use crate::cli::context;
use crate::console::{Exit, Screen, output};

/// Arguments of `man`.
#[derive(Args)]
pub struct ManArgs {
    /// Write one page for each command into this directory
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

pub fn man(args: &ManArgs, screen: &Screen) -> Exit {
    // Without `help`, which has no page of its own to refer to.
    let mut command = crate::cli::command().disable_help_subcommand(true);
    command.build();
    let made = match &args.dir {
        Some(directory) => write_pages(command, directory),
        None => page(command).map(|page| output::stdout(&page)),
    };
    match made {
        Ok(()) => Exit::Done,
        Err(error) => context::failing(error, screen),
    }
}

/// Writes the page of a command and those of its subcommands.
fn write_pages(command: Command, directory: &Path) -> io::Result<()> {
    for subcommand in command.get_subcommands().filter(|it| !it.is_hide_set()) {
        write_pages(subcommand.clone(), directory)?;
    }
    let name = Man::new(command.clone()).get_filename();
    File::create(directory.join(name))?.write_all(&page(command)?)
}

/// One page. What stands behind the options in `--help` is the list of exit codes, for which
/// man pages have a section of their own.
fn page(command: Command) -> io::Result<Vec<u8>> {
    let mut page = Vec::new();
    Man::new(command).render(&mut page)?;
    let page = String::from_utf8(page).map_err(io::Error::other)?;
    Ok(page
        .replace(".SH EXTRA\n", ".SH \"EXIT STATUS\"\n")
        .into_bytes())
}
