//! `init`: sets up an account, and checks that it works.

use std::path::{Path, PathBuf};

use super::check::{self, Reach};
use crate::cli::setup::init::error::InitError;
use crate::cli::setup::init::set_up;
use crate::cli::setup::systemd_dropin;
use crate::console::{Exit, Format, Screen};

pub use crate::cli::setup::init::options::InitOptions;

pub fn init(config: &Path, options: InitOptions, screen: &Screen) -> Exit {
    // Only an empty path cannot be made absolute, and writing to it fails later.
    let config = std::path::absolute(config).unwrap_or_else(|_| config.to_owned());
    let reach = if options.offline {
        Reach::File
    } else {
        Reach::Online
    };
    // Cloned because the questions consume the options.
    let dropin = options.dropin.clone();
    let written = match write_files(&config, options, screen) {
        Ok(written) => written,
        Err(exit) => return exit,
    };
    for path in written {
        screen.print(&format!("written: {}", path.display()));
    }
    // Before the operator is told to start the unit, which would otherwise start without the
    // drop-in.
    reload_systemd(&dropin, screen);
    match check::check_policy(&config, reach, Format::Text, screen) {
        Exit::Done => {
            screen.print("\nnext: systemctl enable --now ringcx-rotator");
            Exit::Done
        }
        // The files stay: a mail server that is down is no reason to type everything again.
        failing => {
            screen.error(
                "the files are in place, but something does not work yet: correct what is named \
                 above, run `ringcx-rotator check --online` until it reports no error, then \
                 `systemctl enable --now ringcx-rotator`",
            );
            failing
        }
    }
}

fn write_files(config: &Path, options: InitOptions, screen: &Screen) -> Result<Vec<PathBuf>, Exit> {
    set_up(config, options, screen).unwrap_or_else(|error| {
        screen.error(&error);
        Err(match error {
            InitError::Missing(_) => Exit::Usage,
            InitError::Stopped
            | InitError::There { .. }
            | InitError::Secret { .. }
            | InitError::Encrypt(_)
            | InitError::Write { .. } => Exit::Failing,
        })
    })
}

/// Makes systemd read the drop-in, if it runs here and the drop-in is where it looks.
fn reload_systemd(dropin: &Path, screen: &Screen) {
    let is_running = Path::new("/run/systemd/system").exists();
    if dropin != Path::new(systemd_dropin::PLACE) || !is_running {
        return;
    }
    let reloaded = std::process::Command::new("systemctl")
        .arg("daemon-reload")
        .status();
    // Only a note: the policy is in place, and the operator can do this by hand.
    if !reloaded.is_ok_and(|status| status.success()) {
        screen.note("systemd has not read the new drop-in: run `systemctl daemon-reload`");
    }
}
