//! What failed, and until when it is held back.

use chrono::{DateTime, Utc};

use crate::account::{AccountState, Failure};
use crate::event::{BackoffKey, Event, IncidentKind};

impl AccountState {
    /// What failed, and until when it is held back.
    pub(super) fn apply_backoff(&mut self, at: DateTime<Utc>, event: &Event) {
        match event {
            Event::AttemptFailed {
                lane,
                incident,
                error,
                failures,
                next_attempt_at,
                rejected,
            } => {
                // Another kind of incident is another failure, which begins now.
                let since = match self.lanes.get(lane) {
                    Some(earlier) if earlier.incident == *incident => earlier.since,
                    Some(_) | None => at,
                };
                let failure = Failure {
                    since,
                    last: at,
                    incident: *incident,
                    error: error.clone(),
                    count: *failures,
                    next_attempt_at: *next_attempt_at,
                    rejected: *rejected,
                };
                self.lanes.insert(lane.clone(), failure);
                self.stop_work(lane);
            }
            Event::LaneCleared { lane } => {
                self.lanes.remove(lane);
            }
            Event::HoldLifted { lane, .. } => {
                // The failure itself stays: only a success shows that it is over.
                if let Some(failure) = self.lanes.get_mut(lane) {
                    // Not `at`: that is yet to come where the clock is set back before the attempt.
                    failure.next_attempt_at = failure.last.min(at);
                    // Kept, it would differ from the new secret's tag and lift every later hold as
                    // well.
                    failure.rejected = None;
                }
                match lane {
                    BackoffKey::Sink(sink) => {
                        self.update_sink(sink, |record| record.parked = false);
                    }
                    BackoffKey::Server => self.server_quiet = None,
                    BackoffKey::Login
                    | BackoffKey::Rotation
                    | BackoffKey::Retirement
                    | BackoffKey::Pass
                    | BackoffKey::Notify(_) => {}
                }
            }
            crate::account_events!()
            | crate::foreign_events!()
            | crate::mint_events!()
            | crate::token_events!()
            | crate::sink_events!()
            | crate::consumer_events!() => {}
        }
    }

    /// Ends what was under way in a lane that failed.
    fn stop_work(&mut self, lane: &BackoffKey) {
        match lane {
            // Whether the delete worked after all is for the next list to show.
            BackoffKey::Retirement => self.open_delete = None,
            // The token was taken, but could not be seen to be there: it is to be delivered again.
            BackoffKey::Sink(sink) => self.update_sink(sink, |record| record.awaits_proof = false),
            BackoffKey::Login
            | BackoffKey::Server
            | BackoffKey::Rotation
            | BackoffKey::Pass
            | BackoffKey::Notify(_) => {}
        }
    }

    /// The incident that a lane has last failed with, if it is failing.
    pub fn trouble(&self, lane: &BackoffKey) -> Option<IncidentKind> {
        self.lanes.get(lane).map(|failure| failure.incident)
    }
}
