//! `man`: made from the command line's own description.

use std::path::PathBuf;

use clap::Args;

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
    let command = crate::cli::command();
    let mut page = Vec::new();
    let made = match &args.dir {
        Some(directory) => clap_mangen::generate_to(command, directory),
        None => clap_mangen::Man::new(command).render(&mut page),
    };
    output::stdout(&page);
    match made {
        Ok(()) => Exit::Done,
        Err(error) => context::failing(error, screen),
    }
}
