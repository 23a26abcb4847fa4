//! The texts of the incident table, filled in for one incident.

use crate::incidents::{DAEMON, IncidentInfo, IncidentKey};

/// One incident with its row of the table.
pub(super) struct AdviceSubject<'a> {
    info: &'static IncidentInfo,
    account: &'a str,
    sink: Option<&'a str>,
}

impl<'a> AdviceSubject<'a> {
    pub(super) fn of(key: &'a IncidentKey) -> Self {
        Self {
            info: key.kind.info(),
            account: &key.account,
            sink: key.sink.as_deref(),
        }
    }

    /// The account's name, or `daemon`.
    pub(super) fn place(&self) -> &'a str {
        if self.account == DAEMON {
            "daemon"
        } else {
            self.account
        }
    }

    /// What failed, in a few words.
    pub(super) fn headline(&self) -> String {
        self.fill(self.info.headline)
    }

    /// What failed, in full.
    pub(super) fn what(&self) -> String {
        self.fill(self.info.runbook.what)
    }

    /// What the daemon does next, where it tries again by itself; `when` is `now` or `at … (in …)`.
    pub(super) fn retried(&self, when: &str) -> String {
        self.fill(self.info.runbook.retried).replace("{when}", when)
    }

    /// What the daemon does next, where no time is set for it.
    pub(super) fn not_retried(&self) -> String {
        self.fill(self.info.runbook.not_retried)
    }

    /// What an operator can do, one step each.
    pub(super) fn steps(&self) -> Vec<String> {
        let steps = self.info.runbook.steps.iter();
        steps.map(|step| self.fill(step)).collect()
    }

    fn fill(&self, text: &str) -> String {
        let sink = match self.sink {
            Some(sink) => format!("sink {sink}"),
            None => "a sink".to_owned(),
        };
        // A name cannot hold a placeholder: the policy allows no braces in it.
        text.replace("{account}", self.place())
            .replace("{sink}", &sink)
    }
}
