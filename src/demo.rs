//! The whole story in under a minute.

use clap::Args;

use crate::cli::{Exit, Palette};

/// `demo`
#[derive(Args)]
pub struct DemoOptions {}

/// STUB
pub fn demo(_: DemoOptions, _: Palette) -> Exit {
    Exit::Failing
}
