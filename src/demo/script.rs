//! What is printed before and after the story: the policy, the checks and the result.

use std::path::Path;
use std::time::Duration;

use super::Leftovers;
use super::checks::Check;
use super::stage::{ACCOUNTS, DemoStage};
use super::timeline::Timeline;
use crate::console::output::complain;
use crate::console::{Exit, Tone};

/// Lines of the daemon's log that are shown where the story breaks off.
const LOG_LINES: usize = 12;

/// Prints what takes part, and the policy.
pub fn opening(timeline: &mut Timeline, stage: &DemoStage) {
    timeline.verdict(
        Tone::Strong,
        "ringcx-rotator, the whole story in under a minute",
    );
    timeline.blank();
    timeline.say(
        "A stand-in for RingCX and RingEX, the webhooks' far ends and a mail server run on this \
         machine's loopback. The daemon is the real one, with this policy: seconds where there \
         would be days. The second account has the sinks of the first and one more, which is \
         inside RingCX: an IVR flow takes its credential from there. Everything is in",
    );
    timeline.quote(&stage.root().display().to_string());
    timeline.blank();
    timeline.quote(&shown_policy(stage));
}

/// The policy without what is the same in every policy, and of the second account what the first
/// has not. `…` is the directory, and what is left out.
fn shown_policy(stage: &DemoStage) -> String {
    let whole = std::fs::read_to_string(stage.config()).unwrap_or_default();
    // Before that are directories and the log, which are the same in every demo.
    let from = whole.find("[ringcx]").unwrap_or_default();
    let second = format!("\n[[account]]\nname = \"{}\"", ACCOUNTS[1]);
    let (first, second) =
        whole[from..].split_at(whole[from..].find(&second).unwrap_or(whole.len() - from));
    let (head, sinks) = second.split_once(SINK).unwrap_or((second, ""));
    // Only the last sink differs from those of the first account.
    let last = sinks.rsplit(SINK).next().unwrap_or_default();
    let text = format!("{first}{head}…\n{SINK}{last}");
    text.trim_end()
        .replace(&stage.root().display().to_string(), "…")
}

/// The beginning of a sink in the policy.
const SINK: &str = "\n[[account.sink]]";

/// What the checks come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Every check passed, so the exit code is 0.
    Passed,
    /// At least one check failed.
    Failed,
}

/// Prints every check with what was found, and says whether all passed.
pub fn verdict(timeline: &mut Timeline, checks: &[Check]) -> Verdict {
    timeline.heading("Checked, against what the stand-ins themselves recorded");
    for check in checks {
        timeline.check(check.passed, check.what, &check.found);
    }
    if checks.iter().all(|check| check.passed) {
        Verdict::Passed
    } else {
        Verdict::Failed
    }
}

/// Prints the end of the daemon's log, where the story broke off.
pub fn last_log_lines(timeline: &mut Timeline, stage: &DemoStage) {
    timeline.heading("The daemon's last words");
    let log = std::fs::read_to_string(stage.log()).unwrap_or_default();
    let lines: Vec<&str> = log.lines().collect();
    timeline.quote(&lines[lines.len().saturating_sub(LOG_LINES)..].join("\n"));
}

/// Prints the result, once the directory is removed or kept.
pub fn closing(
    timeline: &mut Timeline,
    judged: Result<Verdict, String>,
    root: &Path,
    leftovers: Leftovers,
    took: Duration,
) -> Exit {
    // Looked at and not assumed: removing a temporary directory ignores errors.
    let removed = !root.exists();
    let left = match (leftovers, removed) {
        (Leftovers::Remove, true) => "the directory is gone".to_owned(),
        (Leftovers::Remove, false) => format!("{} could not be removed", root.display()),
        (Leftovers::Keep, _) => format!("{} is kept", root.display()),
    };
    let mut verdict = match judged {
        Ok(verdict) => verdict,
        Err(why) => {
            // On stderr: a closed stdout may be the reason.
            complain(format!("error: {why}; {left}"));
            return Exit::Failing;
        }
    };
    match leftovers {
        Leftovers::Remove => timeline.check(
            removed,
            "Nothing is left",
            &format!("no process, and {left}"),
        ),
        Leftovers::Keep => {
            timeline.blank();
            timeline.say(&format!("Policy, log, journal and tokens: {left}"));
        }
    }
    if leftovers == Leftovers::Remove && !removed {
        verdict = Verdict::Failed;
    }
    timeline.blank();
    let seconds = took.as_secs_f64();
    match verdict {
        Verdict::Passed => {
            timeline.verdict(
                Tone::Good,
                &format!("All as it should be, after {seconds:.0} s"),
            );
            Exit::Done
        }
        Verdict::Failed => {
            timeline.verdict(
                Tone::Bad,
                &format!("Not all as it should be, after {seconds:.0} s"),
            );
            Exit::Failing
        }
    }
}
