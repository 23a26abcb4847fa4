//! What really happened: every token and every call, for a test to ask instead of guessing from
//! outside.

use std::sync::Arc;
use std::time::Instant;

use chrono::TimeDelta;
use serde_json::{Value, json};

use super::fault::Call;
use super::records::{CallRecord, ConfigRecord, FlowRecord, TokenRecord};
use super::world::World;
use rotator_core::secret::Fingerprint;

/// The record of a running or stopped simulator.
#[derive(Clone)]
pub struct Record {
    pub(super) world: Arc<World>,
}

impl Record {
    /// Every token there ever was, oldest first.
    pub fn tokens(&self) -> Vec<TokenRecord> {
        self.world.lock().tokens.clone()
    }

    /// Every call, oldest first; of very many only the last 100,000.
    pub fn calls(&self) -> Vec<CallRecord> {
        self.world.lock().calls.iter().cloned().collect()
    }

    /// The tokens of this user that are not deleted, oldest first.
    pub fn alive(&self, user: &str) -> Vec<TokenRecord> {
        let state = self.world.lock();
        let alive = state
            .tokens
            .iter()
            .filter(|token| token.user == user && token.deleted_at.is_none());
        // Copies and no references: a test keeps them while the server goes on.
        alive.cloned().collect()
    }

    /// The token with this fingerprint.
    pub fn token(&self, fingerprint: Fingerprint) -> Option<TokenRecord> {
        self.world
            .lock()
            .tokens
            .iter()
            .find(|token| token.fingerprint == fingerprint)
            .cloned()
    }

    /// Whether this text is a token that is not deleted. Quick enough to be asked all the time.
    pub fn is_alive(&self, token: &str) -> bool {
        self.world
            .lock()
            .find(token)
            .is_some_and(|token| token.dead_since.is_none())
    }

    /// Since when the token is there, deleted or not.
    pub fn alive_since(&self, token: &str) -> Option<Instant> {
        self.world.lock().find(token).map(|token| token.alive_since)
    }

    /// Since when the token is deleted; `None` also where there never was such a token.
    pub fn dead_since(&self, token: &str) -> Option<Instant> {
        self.world
            .lock()
            .find(token)
            .and_then(|token| token.dead_since)
    }

    /// How often this call was made.
    pub fn count(&self, call: Call) -> usize {
        self.world
            .lock()
            .calls
            .iter()
            .filter(|record| record.call == call)
            .count()
    }

    /// How often this call changed something on the server.
    pub fn effects(&self, call: Call) -> usize {
        self.world
            .lock()
            .calls
            .iter()
            .filter(|record| record.call == call && record.effect)
            .count()
    }

    /// The most logins that this user made in any 60 seconds.
    pub fn logins_in_any_minute(&self, user: &str) -> usize {
        let state = self.world.lock();
        let logins = state
            .calls
            .iter()
            .filter(|record| matches!(record.call, Call::Login | Call::RingexLogin))
            .filter(|record| record.user.as_deref() == Some(user));
        most_in_a_minute(logins)
    }

    /// The most requests that RingEX had in any 60 seconds.
    pub fn ringex_requests_in_any_minute(&self) -> usize {
        let state = self.world.lock();
        most_in_a_minute(
            state
                .calls
                .iter()
                .filter(|record| record.call == Call::RingexToken),
        )
    }

    /// How many requests followed a redirect to the other host.
    pub fn redirected_calls(&self) -> u64 {
        self.world.lock().redirected_calls
    }

    /// The auth config of this id.
    pub fn config(&self, config_id: &str) -> Option<ConfigRecord> {
        self.world
            .lock()
            .configs
            .iter()
            .find(|config| config.config_id == config_id)
            .cloned()
    }

    /// What came of the calls of the flow that uses this auth config.
    pub fn flow(&self, config_id: &str) -> Option<FlowRecord> {
        self.world
            .lock()
            .flows
            .iter()
            .find(|flow| flow.config_id == config_id)
            .cloned()
    }

    /// Waits until the closure returns true for the record, for example until a token is deleted. It is
    /// called again after everything that happens.
    pub async fn until(&self, mut as_asked: impl FnMut(&Self) -> bool) {
        let mut changes = self.world.changes();
        loop {
            // Before the look: a change between the look and the wait must wake it again.
            changes.mark_unchanged();
            if as_asked(self) {
                return;
            }
            // The sender lives as long as the world that we hold.
            if changes.changed().await.is_err() {
                return;
            }
        }
    }

    /// Users, tokens and calls, without a token or password.
    pub fn to_json(&self) -> Value {
        let state = self.world.lock();
        let users: Vec<_> = state
            .users
            .iter()
            .map(|(name, user)| {
                json!({ "name": name, "platform": user.platform, "locked": user.locked })
            })
            .collect();
        json!({
            "users": users,
            // Serialized without the text of a token, see `records.rs`.
            "tokens": state.tokens,
            "calls": state.calls,
            "strayed": state.redirected_calls,
            "auth_configs": state.configs,
            "flows": state.flows,
        })
    }
}

fn most_in_a_minute<'r>(calls: impl Iterator<Item = &'r CallRecord>) -> usize {
    let times: Vec<_> = calls.map(|record| record.at).collect();
    let minute = TimeDelta::seconds(60);
    // The fullest minute begins with one of the calls, so only those beginnings are tried.
    let from_each = times.iter().map(|from| {
        times
            .iter()
            .filter(|at| *at >= from && **at - *from < minute)
            .count()
    });
    from_each.max().unwrap_or(0)
}
