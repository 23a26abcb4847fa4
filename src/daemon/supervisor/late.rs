//! What is wrong with accounts whose task does not get to say it.
//!
//! A pass reports at its end. One that hangs, or waits behind others that do, would report nothing,
//! so what is overdue is found here, from the journal and the clock alone.

use std::time::Duration;

use super::Supervisor;
use crate::reconcile::Observer;
use rotator_core::incidents::conditions;

impl Supervisor {
    /// Reports what is wrong with the accounts that have shown nothing for this long.
    pub async fn report_late(&self, quiet: Duration) {
        let (policy, now) = (self.policy().await, self.clock.now());
        let quiet = self.systemd().quiet(quiet);
        for account in &policy.accounts {
            let name = &account.name;
            let Some(snapshot) = self.shared.status.snapshot(name) else {
                continue;
            };
            // Its own report is the better one: it knows what was seen a moment ago.
            if quiet.contains(name) || snapshot.is_late(now) {
                let found = conditions(account, &policy.alerts, &snapshot.state, now);
                self.observer.conditions(name, found).await;
            }
        }
    }
}
