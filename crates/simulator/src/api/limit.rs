//! Rate limits: which of them a call counts against, and for whom.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::caller::{Caller, LoginClaim};
use crate::fault::Call;
use crate::rate_limit::Penalty;
use crate::world::{MOST_OF_ANYTHING, RateLimitFamily, WorldState};

/// Counts the call; where it is one too many, how long its user stays refused.
pub(super) fn over_limit(
    state: &mut WorldState,
    now: DateTime<Utc>,
    call: Call,
    caller: &Caller,
) -> Option<Duration> {
    let (family, limit) = match call {
        Call::Login | Call::RingexLogin => {
            (RateLimitFamily::Logins, state.settings.logins_per_minute)
        }
        Call::RingexToken => (
            RateLimitFamily::Ringex,
            state.settings.ringex_logins_per_minute,
        ),
        Call::Refresh
        | Call::Mint
        | Call::List
        | Call::Delete
        | Call::Accounts
        | Call::ConfigList
        | Call::ConfigRead
        | Call::ConfigWrite => (
            RateLimitFamily::Requests,
            state.settings.requests_per_minute,
        ),
    };
    // RingEX counts the requests of an app, for all users that it logs in.
    let whose = match &caller.claim {
        LoginClaim::Jwt { client_id, .. } => Some(client_id),
        LoginClaim::Password { .. }
        | LoginClaim::Ringex { .. }
        | LoginClaim::Refresh(_)
        | LoginClaim::Session { .. }
        | LoginClaim::Refused(_) => caller.user.as_ref(),
    };
    // Without a limit or a known user there is nothing to count against.
    let (Some(limit), Some(user)) = (limit, whose) else {
        return None;
    };
    // A client that makes up users must not fill the memory; forgetting all only lets more through.
    if state.meters.len() >= MOST_OF_ANYTHING {
        state.meters.clear();
    }
    let penalty = Penalty {
        length: state.settings.penalty,
        doubles: state.settings.penalty_doubles,
    };
    let meter = state.meters.entry((user.clone(), family)).or_default();
    let admitted = meter.admit(now, limit, penalty);
    admitted.is_err().then(|| meter.punished_for(now))
}
