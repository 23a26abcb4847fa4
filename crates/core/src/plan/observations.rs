//! What only has to be recorded: it follows from what was seen, and no step is needed for it.
//!
//! For example, a sink that was proved and now holds something else has drifted: that is an event
//! of its own, before the plan decides to deliver again. What a list of the server's tokens shows
//! is in `observations/listed.rs`, what the sinks show in `observations/sinks.rs`.

use super::{Look, Planner};
use crate::config::LoginPolicy;
use crate::event::{BackoffKey, Event, ReleaseCause};

mod listed;
mod sinks;

impl Planner<'_> {
    pub(super) fn record_observations(&mut self) {
        // With a JWT the reconciler reads the user's name from it and records the change itself.
        if let LoginPolicy::Admin(login) = &self.policy.login
            && self.state.login_differs(self.policy)
        {
            self.record(vec![Event::LineStarted {
                username: login.username.clone(),
                platform_id: login.platform_id.clone(),
            }]);
        }
        // Of all these only the first that finds something is recorded now. The others find theirs
        // again in the next call, on a state that has the first.
        self.bind_sinks();
        self.note_changed_secret();
        if self.evidence.sinks.is_none() {
            self.look(Look::Sinks);
        }
        // After the bindings: what was proved at an old target says nothing about the new one.
        self.note_drift();
        self.note_acknowledgements();
        // Before `note_adopted`, which would look after tokens that are another account's.
        self.note_claimed();
        self.note_adopted();
        self.clear_needless_keys();
        if let Some(list) = self.fresh_list().filter(|list| !self.is_strange_now(list)) {
            // The clock first: it decides whether ages can be trusted.
            self.note_clock(list);
            // Before `note_own`, which would record the end of what was answered.
            self.note_false_answer(list);
            self.note_own(list);
            // After `note_own`, which records what is gone from this list.
            self.note_late_delete();
            self.note_unknown(list);
        }
        // Without a list too: a refusal is the last word on a token that lists lack.
        self.note_ends();
        self.await_lost_mints();
        self.note_lost_tokens();
        self.report_leftovers();
    }

    /// A rejected login waits for a long time, but not with another password.
    fn note_changed_secret(&mut self) {
        let rejected = self
            .state
            .lanes
            .get(&BackoffKey::Login)
            .and_then(|failure| failure.rejected);
        // The secret is read only while a login is held back, so mostly there is no tag.
        if let (Some(rejected), Some(now)) = (rejected, self.evidence.secret_tag)
            && rejected != now
        {
            self.record(vec![Event::HoldLifted {
                lane: BackoffKey::Login,
                by: ReleaseCause::SecretChanged,
            }]);
        }
    }
}
