//! Arguments that several commands take.

use std::path::PathBuf;

use clap::Args;

use super::DEFAULT_CONFIG;
use crate::console::{ColorChoice, Format};

/// What every command takes.
#[derive(Args)]
pub struct Globals {
    /// The policy file
    #[arg(long, short, global = true, env = "RINGCX_ROTATOR_CONFIG")]
    #[arg(default_value = DEFAULT_CONFIG)]
    pub config: PathBuf,
    /// Use colours
    #[arg(long, global = true, value_enum, default_value_t = ColorChoice::Auto)]
    pub color: ColorChoice,
}

/// For commands that print.
#[derive(Args)]
pub struct Json {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

impl Json {
    /// The format that `--json` asks for, so that no command passes a `bool` on.
    pub fn format(&self) -> Format {
        if self.json {
            Format::Json
        } else {
            Format::Text
        }
    }
}

/// For commands that ask before they delete.
#[derive(Args)]
pub struct Yes {
    /// Do not ask first
    #[arg(long, short)]
    pub yes: bool,
}
