//! What must be true at the end, each with the numbers that show it. Pure.
//!
//! Every check can fail, and its test makes it. Where two witnesses exist that do not know each
//! other (the journal and RingCX's record, the journal and the webhook's far end), both are asked.

use std::collections::BTreeMap;

use super::facts::DemoFacts;
use super::stage::WEBHOOK;

mod delivery;
#[cfg(test)]
mod tests;
mod tokens;

/// Rotations that each account must have had, its first token left out.
const ROTATIONS: usize = 3;

/// One thing that was checked.
pub struct Check {
    /// What ought to be so, as a heading.
    pub what: &'static str,
    /// Whether it is so.
    pub passed: bool,
    /// The numbers that show it.
    pub found: String,
}

/// Everything that must be true.
pub fn all(facts: &DemoFacts) -> Vec<Check> {
    vec![
        tokens::rotations(facts),
        delivery::reads(facts),
        delivery::flow(facts),
        tokens::logins(facts),
        tokens::mints(facts),
        tokens::lost_mint(facts),
        delivery::outage(facts),
        mails(facts),
        tokens::retired(facts),
        tokens::foreign(facts),
        delivery::webhooks(facts),
        delivery::drift(facts),
        delivery::sinks(facts),
        secrets(facts),
        journal(facts),
        ending(facts),
    ]
}

/// Each incident is mailed once, and its end once, in this order.
fn mails(facts: &DemoFacts) -> Check {
    let mut told: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for subject in &facts.mails {
        // The state is the last word of a subject: `… (FIRING)` or `… (RESOLVED)`.
        let (incident, state) = subject.rsplit_once(' ').unwrap_or((subject, ""));
        told.entry(incident).or_default().push(state);
    }
    let webhook: Vec<_> = told
        .iter()
        .filter(|(incident, _)| incident.contains(WEBHOOK))
        .collect();
    let states: Vec<&str> = webhook
        .iter()
        .flat_map(|(_, states)| states.iter().copied())
        .collect();
    let count = |wanted| states.iter().filter(|state| **state == wanted).count();
    // Of every incident, not only of the webhook's: a second mail for one would be spam.
    let once = told
        .values()
        .all(|states| states == &["(FIRING)", "(RESOLVED)"]);
    let found = format!(
        "the failing webhook: {} FIRING, {} RESOLVED; the {} other incidents: {}",
        count("(FIRING)"),
        count("(RESOLVED)"),
        told.len() - webhook.len(),
        if once {
            "likewise".to_owned()
        } else {
            list(&facts.mails)
        },
    );
    Check {
        what: "One mail when it fails, one when it is over",
        passed: webhook.len() == 1 && once,
        found,
    }
}

fn secrets(facts: &DemoFacts) -> Check {
    let report = &facts.leaks;
    let (there, seen) = report.control;
    // The counts have to be positive: a search for nothing in no place would pass too.
    let passed = report.found.is_empty()
        && report.secrets > 0
        && report.places > 0
        && there > 0
        && there == seen;
    let found = format!(
        "{} tokens, passwords and keys looked for in {} files, mails and outputs: {} found \
         (and {seen} of {there} in the files where they belong)",
        report.secrets,
        report.places,
        report.found.len(),
    );
    let found = if report.found.is_empty() {
        found
    } else {
        format!("{found}: {}", list(&report.found))
    };
    Check {
        what: "No secret is where it should not be",
        passed,
        found,
    }
}

fn journal(facts: &DemoFacts) -> Check {
    let (passed, found) = match &facts.journal {
        // An empty journal would verify too.
        Ok(rows) => (
            *rows > 0,
            format!("its chain of hashes holds over all {rows} rows"),
        ),
        Err(error) => (false, error.clone()),
    };
    Check {
        what: "The journal is whole",
        passed,
        found,
    }
}

fn ending(facts: &DemoFacts) -> Check {
    let took = facts.stopping.as_millis();
    let (passed, found) = match facts.status {
        // A socket that stays behind means that the shutdown was not completed.
        Some(status) if status.success() && facts.socket_gone => (
            true,
            format!("{took} ms after SIGTERM, with exit code 0, its socket removed"),
        ),
        Some(status) => (false, format!("{status}, {took} ms after SIGTERM")),
        None => (false, "it had to be killed".to_owned()),
    };
    Check {
        what: "The daemon ended cleanly",
        passed,
        found,
    }
}

fn list(items: &[impl AsRef<str>]) -> String {
    items
        .iter()
        .map(AsRef::as_ref)
        .collect::<Vec<_>>()
        .join(", ")
}
