//! How each event changes the state: one function for each subject, one arm for each event. No
//! decisions are made here: for example, `promoted` sets the time of the promotion and ends an
//! operator's request for a rotation.

use chrono::{DateTime, Utc};

use super::AccountState;
use crate::event::Event;

mod account;
mod backoff;
mod foreign;
mod mint;
mod sink;
mod token;

impl AccountState {
    /// Folds one event in.
    pub fn apply(&mut self, seq: u64, at: DateTime<Utc>, event: &Event) {
        self.seq = seq;
        // No `_` arm: a new event must join one of these groups before it compiles.
        match event {
            crate::account_events!() => self.apply_account(at, event),
            crate::backoff_events!() => self.apply_backoff(at, event),
            crate::foreign_events!() => self.apply_foreign(at, event),
            crate::mint_events!() => self.apply_mint(at, event),
            crate::token_events!() => self.apply_token(at, event),
            crate::sink_events!() => self.apply_sink(at, event),
            crate::consumer_events!() => self.apply_consumer(at, event),
        }
    }
}
