//! The RingEX apps that accounts log in through, each with its limit of logins per minute.
//!
//! One limiter for the process. Accounts that come too early are queued, and each gets the time of
//! its turn; no call waits here. For example, with 5 logins per minute the sixth account of an app
//! is told to come back when the first login is a minute old. Knows neither JWTs nor what the
//! logins are for.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Mutex;

use chrono::{DateTime, TimeDelta, Utc};

use super::event_history::load_state;
use rotator_core::account::{LOGIN_WINDOW, RingexUse};
use rotator_core::config::{LoginPolicy, Policy};
use rotator_core::journal::{ALERTS, Journal};

/// An account that has not come this long after its turn loses it.
const PATIENCE: TimeDelta = TimeDelta::seconds(60);
/// A pause that ends later than this is from before the clock was set back.
// An hour more than the longest `Retry-After` that is accepted, which is an hour.
const LONGEST_QUIET: TimeDelta = TimeDelta::hours(2);

/// All apps, by client id.
#[derive(Default)]
pub struct RingexRateLimiter(Mutex<BTreeMap<String, App>>);

#[derive(Default)]
struct App {
    sent: Vec<DateTime<Utc>>,
    backoff_until: Option<DateTime<Utc>>,
    /// Accounts with the time of their turn, in the order in which they came.
    queue: VecDeque<(String, DateTime<Utc>)>,
}

impl RingexRateLimiter {
    /// Takes in earlier requests from the journal, of all accounts that it knows, since they share
    /// the limits. An account whose history cannot be read is left out; its own task reports that.
    pub async fn of_journal(journal: &impl Journal, policy: &Policy) -> Self {
        let apps = Self::default();
        if !policy
            .accounts
            .iter()
            .any(|account| matches!(account.login, LoginPolicy::RingEx(_)))
        {
            return apps;
        }
        let accounts = journal
            .streams()
            .await
            .unwrap_or_default()
            .into_iter()
            .filter(|stream| stream != ALERTS);
        for account in accounts {
            if let Ok(state) = load_state(journal, &account).await {
                apps.remember(&state.ringex);
            }
        }
        apps
    }

    /// Takes in an account's earlier requests, as its journal has them.
    pub fn remember(&self, ringex: &RingexUse) {
        let RingexUse {
            client_id,
            attempts,
            backoff_until,
        } = ringex;
        self.with(client_id, |app| {
            app.sent.extend(attempts);
            app.backoff_until = app.backoff_until.max(*backoff_until);
        });
    }

    /// Counts a request of this account as sent now, or returns the time of its turn.
    pub fn claim(
        &self,
        client_id: &str,
        account: &str,
        per_minute: usize,
        now: DateTime<Utc>,
    ) -> Result<(), DateTime<Utc>> {
        // A limit of zero would be a division by zero, and no account would ever log in.
        self.with(client_id, |app| app.claim(account, per_minute.max(1), now))
    }

    /// RingEX asked for a pause of this app.
    pub fn back_off(&self, client_id: &str, until: DateTime<Utc>) {
        self.with(client_id, |app| {
            app.backoff_until = app.backoff_until.max(Some(until))
        });
    }

    fn with<T>(&self, client_id: &str, act: impl FnOnce(&mut App) -> T) -> T {
        let mut apps = self
            .0
            .lock()
            .expect("nothing panics while it holds the apps");
        act(apps.entry(client_id.to_owned()).or_default())
    }
}

impl App {
    fn claim(
        &mut self,
        account: &str,
        per_minute: usize,
        now: DateTime<Utc>,
    ) -> Result<(), DateTime<Utc>> {
        self.sent
            // In both directions: a time far in the future is from before the clock was set back.
            .retain(|at| now.signed_duration_since(*at).abs() < LOGIN_WINDOW);
        self.sent.sort_unstable();
        self.backoff_until = self
            .backoff_until
            .filter(|until| *until > now && *until - now < LONGEST_QUIET);
        self.queue
            // The account that asks now keeps its place, however late it is.
            .retain(|(name, turn)| name == account || now.signed_duration_since(*turn) < PATIENCE);
        let place = self
            .queue
            .iter()
            .position(|(name, _)| name == account)
            .unwrap_or_else(|| {
                self.queue.push_back((account.to_owned(), now));
                self.queue.len() - 1
            });
        let free = per_minute.saturating_sub(self.sent.len());
        // Free places go to the front of the queue: an early account does not overtake a waiting
        // one.
        if place < free && self.backoff_until.is_none() {
            self.queue.remove(place);
            self.sent.push(now);
            return Ok(());
        }
        // Each place of the minute becomes free when its last request is a minute old. The free
        // ones come first, then the used ones from the oldest on, then the next round.
        let counted = &self.sent[self.sent.len().saturating_sub(per_minute)..];
        let index = place % per_minute;
        let first = index
            .checked_sub(free)
            .and_then(|used| counted.get(used))
            .map_or(now, |at| *at + LOGIN_WINDOW);
        let rounds = i32::try_from(place / per_minute).unwrap_or(i32::MAX);
        let turn = first
            .checked_add_signed(LOGIN_WINDOW * rounds)
            .unwrap_or(DateTime::<Utc>::MAX_UTC);
        // The second is for clocks that are read a little too early.
        let turn = turn
            .max(now + TimeDelta::seconds(1))
            .max(self.backoff_until.unwrap_or(now));
        self.queue[place].1 = turn;
        Err(turn)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000 + second, 0).unwrap()
    }

    /// Every account comes when its turn is, until all have had one. When each request was sent.
    fn sent_by(accounts: usize, apps: &RingexRateLimiter, from: i64) -> Vec<i64> {
        let mut coming: Vec<(DateTime<Utc>, usize)> =
            (0..accounts).map(|account| (at(from), account)).collect();
        let mut sent = Vec::new();
        while let Some(next) = coming.iter().copied().min() {
            coming.retain(|other| *other != next);
            match apps.claim("app", &format!("account-{}", next.1), 5, next.0) {
                Ok(()) => sent.push((next.0 - at(0)).num_seconds()),
                Err(turn) => {
                    assert!(turn > next.0);
                    coming.push((turn, next.1));
                }
            }
        }
        sent
    }

    #[track_caller]
    fn never_more_than_five_a_minute(sent: &[i64]) {
        for from in sent {
            let within = sent
                .iter()
                .filter(|second| (*from..from + 60).contains(*second))
                .count();
            assert!(within <= 5, "{within} from second {from} on: {sent:?}");
        }
    }

    #[test]
    fn accounts_that_share_an_app_share_its_five_logins_a_minute_in_turn() {
        let sent = sent_by(23, &RingexRateLimiter::default(), 0);
        never_more_than_five_a_minute(&sent);
        assert_eq!(sent.len(), 23);
        assert!(*sent.last().unwrap() <= 254, "as fast as allowed: {sent:?}");
    }

    #[test]
    fn another_app_has_a_limit_of_its_own() {
        let apps = RingexRateLimiter::default();
        assert!((0..5).all(|account| apps.claim("one", &format!("a{account}"), 5, at(0)).is_ok()));
        assert_eq!(apps.claim("one", "late", 5, at(0)), Err(at(61)));
        assert_eq!(apps.claim("other", "late", 5, at(0)), Ok(()));
    }

    #[test]
    fn what_was_sent_before_a_restart_counts() {
        let apps = RingexRateLimiter::default();
        for second in [0, 1] {
            let attempts = [at(second), at(second), at(second)].into();
            apps.remember(&RingexUse {
                client_id: "app".to_owned(),
                attempts,
                backoff_until: None,
            });
        }
        assert_eq!(apps.claim("app", "a", 5, at(30)), Err(at(61)));
        let mut sent = sent_by(9, &apps, 30);
        sent.extend([1, 1, 1]);
        never_more_than_five_a_minute(&sent);
    }

    #[test]
    fn nobody_asks_while_the_app_is_to_be_left_alone() {
        let apps = RingexRateLimiter::default();
        apps.back_off("app", at(90));
        apps.back_off("app", at(20));
        assert_eq!(apps.claim("app", "a", 5, at(0)), Err(at(90)));
        assert_eq!(apps.claim("app", "b", 5, at(89)), Err(at(90)));
        assert_eq!(apps.claim("app", "b", 5, at(90)), Ok(()));
    }

    #[test]
    fn who_comes_first_goes_first_and_who_never_comes_holds_up_nobody() {
        let apps = RingexRateLimiter::default();
        assert!((0..5).all(|account| apps.claim("app", &format!("a{account}"), 5, at(0)).is_ok()));
        for name in ["b", "c", "d", "e", "f"] {
            assert_eq!(apps.claim("app", name, 5, at(10)), Err(at(61)), "{name}");
        }
        // A sixth has to wait for the second round, however early it comes.
        assert_eq!(apps.claim("app", "g", 5, at(60)), Err(at(122)));
        assert_eq!(
            apps.claim("app", "g", 5, at(61)),
            Err(at(122)),
            "it pushes in"
        );
        assert_eq!(apps.claim("app", "b", 5, at(61)), Ok(()));
        // The others never come again.
        assert_eq!(apps.claim("app", "g", 5, at(122)), Ok(()));
    }

    #[test]
    fn a_clock_that_was_set_back_holds_up_nobody_for_long() {
        let apps = RingexRateLimiter::default();
        assert!((0..5).all(|account| {
            apps.claim("app", &format!("a{account}"), 5, at(10_000_000))
                .is_ok()
        }));
        apps.back_off("app", at(10_000_060));
        assert_eq!(apps.claim("app", "a", 5, at(0)), Ok(()));
    }
}
