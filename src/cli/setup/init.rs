//! What `init` does: from nothing to a policy that works, for an operator who does this once.
//!
//! It asks for what no flag gave, and writes nothing until all of it is known and the policy loads.
//! Then it writes each file as a whole: the password as a systemd credential, the drop-in that
//! gives it to the service, and the policy.

use std::path::{Path, PathBuf};

use super::systemd_dropin::{self, DropIn};
use super::unit::requirements::RealHost;
use crate::console::{Exit, Screen};
use encrypt::StoredSecret;
use error::InitError;
use options::{InitOptions, Keep};
use place::Placed;
use questions::NamedSecret;
use terminal::Terminal;

mod answers;
mod encrypt;
pub mod error;
pub mod options;
mod place;
mod questions;
mod terminal;

/// Asks, and writes the files. Returns their paths; an inner error has been shown already.
pub fn set_up(
    config: &Path,
    options: InitOptions,
    screen: &Screen,
) -> Result<Result<Vec<PathBuf>, Exit>, InitError> {
    let mut terminal = Terminal::if_there();
    // Before the questions: nothing should be typed in vain.
    may_replace(config, &options, terminal.as_mut())?;
    let (dropin, keep) = (options.dropin.clone(), options.credential);
    let (answers, secrets) = questions::ask(options, terminal.as_mut())?;
    let text = answers.policy();
    // From here on a signal waits until the files are in place, or removed again.
    let held = place::hold_signals();
    let mut placed = Placed::default();
    let draft = placed.draft(config, &text)?;
    // From a draft beside its place, so that relative paths in it are resolved as they will be.
    let loaded = rotator_policy::load(draft.path());
    let mut policy = match loaded {
        Ok(loaded) => loaded.policy,
        Err(errors) => {
            screen.policy_errors(&errors);
            screen.error("no policy can be made of these answers: nothing was written");
            return Ok(Err(Exit::Usage));
        }
    };
    // The drop-in has to name the policy, not the draft.
    policy.path = config.to_owned();
    for secret in &secrets {
        // Before the drop-in is made, which looks which form of each credential exists.
        store(&mut placed, config, secret, keep, screen)?;
    }
    let settings = DropIn::of(&policy, &RealHost);
    for note in settings.notes() {
        screen.note(note);
    }
    placed.open(&dropin, settings.text().as_bytes())?;
    // Last, because the service can start as soon as there is a policy.
    placed.policy(config, draft)?;
    drop(held);
    Ok(Ok(placed.keep()))
}

/// Stores a secret as a credential, encrypted if that is wanted and possible.
fn store(
    placed: &mut Placed,
    config: &Path,
    NamedSecret { name, secret }: &NamedSecret,
    keep: Keep,
    screen: &Screen,
) -> Result<(), InitError> {
    let (plain, encrypted) = systemd_dropin::places(config, name);
    match encrypt::kept(name, secret, keep)? {
        StoredSecret::Encrypted(text) => placed.secret(&encrypted, text.as_bytes(), &plain),
        StoredSecret::Plain { why } => {
            if let Some(why) = why {
                screen.note(format!(
                    "{name} is kept as a file that only root can read: {why}"
                ));
            }
            placed.secret(&plain, secret.expose().as_bytes(), &encrypted)
        }
    }
}

/// Asks whether an existing policy may be replaced; an error if it may not.
fn may_replace(
    config: &Path,
    options: &InitOptions,
    terminal: Option<&mut Terminal>,
) -> Result<(), InitError> {
    // A dangling link counts too: an administrator has decided where the policy is.
    let there = config.symlink_metadata().is_ok();
    if options.force || !there {
        // Without a policy, a credential or a drop-in is left over from an earlier attempt.
        return Ok(());
    }
    let old = place::old_name(config);
    let refused = InitError::There {
        there: config.to_owned(),
        old: old.clone(),
    };
    // A script has to say `--force`; it cannot be asked.
    let Some(terminal) = terminal else {
        return Err(refused);
    };
    let question = format!(
        "There is a policy already: {}. Replace it, and keep it as {}? [yes/no]",
        config.display(),
        old.display()
    );
    if terminal.agreed(&question)? {
        Ok(())
    } else {
        Err(refused)
    }
}
