//! `systemd-dropin`: prints or writes the drop-in of the policy, or its polkit rule.

use std::path::{Path, PathBuf};

use clap::Args;

use crate::cli::context;
use crate::cli::setup::systemd_dropin::{DropIn, PLACE, polkit, write};
use crate::cli::setup::unit::requirements::RealHost;
use crate::console::{Exit, Screen};

/// Arguments of `systemd-dropin`.
#[derive(Args)]
pub struct SystemdDropinArgs {
    /// Write it instead, to this file or to where systemd finds it
    #[arg(long, value_name = "FILE", num_args = 0..=1)]
    write: Option<Option<PathBuf>>,
    /// Print the polkit rule instead that lets the service restart the units of `notify`
    #[arg(long)]
    polkit: bool,
    /// Print JSON
    #[arg(long, conflicts_with_all = ["write", "polkit"])]
    json: bool,
}

pub fn systemd_dropin(config: &Path, args: SystemdDropinArgs, screen: &Screen) -> Exit {
    let policy = match context::policy(config, screen) {
        Ok(policy) => policy,
        Err(exit) => return exit,
    };
    let dropin = DropIn::of(&policy, &RealHost);
    let (text, place, next) = if args.polkit {
        // polkit reads a changed rule by itself.
        (dropin.rule_text(), polkit::PLACE, "")
    } else {
        let notes = dropin.notes().into_iter();
        notes
            .chain(dropin.rule().advice())
            // On stderr, so that the drop-in on stdout can be redirected into a file.
            .for_each(|note| screen.note(note));
        let next = "\nnow: systemctl daemon-reload && systemctl restart ringcx-rotator";
        (dropin.text(), PLACE, next)
    };
    match args.write {
        Some(path) => {
            // `--write` without a file means the place where systemd or polkit looks.
            let path = path.unwrap_or_else(|| place.into());
            if let Err(error) = write(&path, &text) {
                return context::failing(format!("{}: {error}", path.display()), screen);
            }
            screen.print(&format!("written: {}{next}", path.display()));
        }
        None if args.json => screen.json(&dropin),
        None => screen.print(&text),
    }
    Exit::Done
}
