//! The login of one account: access token, limits, and the texts of the tokens in use.
//!
//! Everything here is in memory only. After a restart a token's text is read from a sink that holds
//! it, or from the list of a login.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use chrono::TimeDelta;

use crate::clock::monotonic;
use crate::ringcx::{LoginTokens, RingexAccess};
use rotator_core::config::RingcxPolicy;
use rotator_core::secret::{Fingerprint, Secret, SecretTag, Token};

const MINUTE: Duration = Duration::from_secs(60);

/// An access token is renewed this long before its end, or a tenth of its life if that is shorter.
const AHEAD: Duration = Duration::from_secs(30);

/// How many calls tell how long the next may take.
const CALLS_REMEMBERED: usize = 8;

/// What a login gave.
pub struct Access {
    /// The access token, for `Authorization: Bearer`.
    pub bearer: Secret,
    /// For renewing it without the password.
    pub refresh: Option<Secret>,
    /// By how much the `Date` of the login's answer was ahead of the token's issuer.
    pub date_ahead: Option<TimeDelta>,
    good_until: Instant,
    /// No call was made with it yet: it is tried once, whatever its life was said to be.
    untried: bool,
    /// A list was had with it, which shows whose it is.
    listed: bool,
}

impl Access {
    /// Takes what a login gave that was sent at this time: the token may be as old.
    pub fn new(login: LoginTokens, sent: Instant) -> Self {
        let ahead = AHEAD.min(login.lifetime / 10);
        Self {
            bearer: login.access,
            refresh: login.refresh,
            date_ahead: login.date_ahead,
            untried: true,
            listed: false,
            // By the monotonic clock: setting the wall clock neither ends nor prolongs a token.
            good_until: sent + login.lifetime.saturating_sub(ahead),
        }
    }
}

/// What RingEX gave, for as long as it lives.
pub struct CachedAccess {
    access: RingexAccess,
    good_until: Instant,
}

impl CachedAccess {
    /// Takes what RingEX gave, just now.
    pub fn new(access: RingexAccess) -> Self {
        let ahead = AHEAD.min(access.lifetime / 10);
        Self {
            good_until: monotonic() + access.lifetime.saturating_sub(ahead),
            access,
        }
    }
}

/// The login of one account.
pub struct LoginSession {
    ringex: Option<CachedAccess>,
    /// Of the secrets that the last login was sent with.
    tag: Option<SecretTag>,
    access: Option<Access>,
    texts: BTreeMap<Fingerprint, Token>,
    requests: VecDeque<Instant>,
    /// How long the last calls took.
    calls: VecDeque<Duration>,
    requests_per_minute: usize,
    logins_per_minute: usize,
}

impl LoginSession {
    /// A session that has not logged in.
    pub fn new(policy: &RingcxPolicy) -> Self {
        let mut session = Self {
            ringex: None,
            tag: None,
            access: None,
            texts: BTreeMap::new(),
            requests: VecDeque::new(),
            calls: VecDeque::new(),
            requests_per_minute: 1,
            logins_per_minute: 1,
        };
        session.limit_to(policy);
        session
    }

    /// Takes the limits of a policy.
    pub fn limit_to(&mut self, policy: &RingcxPolicy) {
        // With a limit of zero `claim_request` would find no request to wait for and never wait.
        self.requests_per_minute = policy.requests_per_minute.max(1) as usize;
        self.logins_per_minute = policy.logins_per_minute.max(1) as usize;
    }

    /// Logins that may be sent per minute.
    pub fn logins_per_minute(&self) -> usize {
        self.logins_per_minute
    }

    /// The access token, as long as it lives, and until it was tried.
    pub fn bearer(&self) -> Option<&Secret> {
        self.access
            .as_ref()
            .filter(|access| access.untried || access.good_until > monotonic())
            .map(|access| &access.bearer)
    }

    /// Whether the access token will live through another call, by how long the last ones took.
    pub fn outlasts_a_call(&self) -> bool {
        let call = self.calls.iter().max().copied().unwrap_or_default();
        self.access
            .as_ref()
            .is_some_and(|access| access.untried || access.good_until > monotonic() + call)
    }

    /// Whether a list was had by this login. One that was renewed is the same.
    pub fn was_listed(&self) -> bool {
        self.access.as_ref().is_some_and(|access| access.listed)
    }

    /// A list was had by this login.
    pub fn listed(&mut self) {
        if let Some(access) = &mut self.access {
            access.listed = true;
        }
    }

    /// A call was made with the access token.
    pub fn tried(&mut self) {
        if let Some(access) = &mut self.access {
            access.untried = false;
        }
    }

    /// By how much RingCX's `Date` was ahead of the clock that issued the access token.
    pub fn date_ahead(&self) -> Option<TimeDelta> {
        self.access.as_ref()?.date_ahead
    }

    /// Takes in how long a call took.
    pub fn took(&mut self, call: Duration) {
        self.calls.truncate(CALLS_REMEMBERED - 1);
        self.calls.push_front(call);
    }

    /// Keeps what a login gave.
    pub fn keep_access(&mut self, access: Access) {
        self.access = Some(access);
    }

    /// Gives up the access token. Returns its refresh token, which works once.
    pub fn drop_access(&mut self) -> Option<Secret> {
        self.access.take().and_then(|access| access.refresh)
    }

    /// Treats the access token as ended; its refresh token stays for the next renewal.
    pub fn end_access(&mut self) {
        if let Some(access) = &mut self.access {
            access.good_until = monotonic();
            access.untried = false;
        }
    }

    /// Forgets everything of this login.
    pub fn forget(&mut self) {
        self.ringex = None;
        self.tag = None;
        self.access = None;
        self.texts.clear();
    }

    /// RingEX's access token, as long as it lives.
    pub fn ringex(&self) -> Option<RingexAccess> {
        self.ringex
            .as_ref()
            .filter(|kept| kept.good_until > monotonic())
            .map(|kept| kept.access.clone())
    }

    /// Keeps what RingEX gave.
    pub fn keep_ringex(&mut self, kept: CachedAccess) {
        self.ringex = Some(kept);
    }

    /// Gives up RingEX's access token.
    pub fn drop_ringex(&mut self) {
        self.ringex = None;
    }

    /// Remembers with which secrets a login is sent.
    pub fn tried_with(&mut self, tag: SecretTag) {
        self.tag = Some(tag);
    }

    /// The tag of the secrets that the last login was sent with.
    pub fn tag(&self) -> Option<SecretTag> {
        self.tag
    }

    /// Keeps a token's text.
    pub fn keep_text(&mut self, token: &Token) {
        self.texts.insert(token.fingerprint(), token.clone());
    }

    /// The text of a token, if it is at hand.
    pub fn text(&self, fingerprint: &Fingerprint) -> Option<&Token> {
        self.texts.get(fingerprint)
    }

    /// The tokens whose text is at hand.
    pub fn texts(&self) -> impl Iterator<Item = Fingerprint> {
        self.texts.keys().copied()
    }

    /// Every secret of this login that is at hand, to be redacted from texts of others.
    pub fn known_texts(&self) -> impl Iterator<Item = &str> {
        let access = self
            .access
            .iter()
            .flat_map(|access| [Some(&access.bearer), access.refresh.as_ref()])
            .flatten();
        let ringex = self.ringex.iter().map(|kept| &kept.access.bearer);
        self.texts
            .values()
            .map(Token::expose)
            .chain(access.chain(ringex).map(Secret::expose))
    }

    /// Drops every text but these.
    pub fn keep_only(&mut self, wanted: &[Fingerprint]) {
        self.texts
            .retain(|fingerprint, _| wanted.contains(fingerprint));
    }

    /// Returns the wait until the next request may be sent, and counts it as sent then.
    pub fn claim_request(&mut self) -> Duration {
        let now = monotonic();
        while self.requests.front().is_some_and(|at| *at + MINUTE <= now) {
            self.requests.pop_front();
        }
        // With a limit of N, the Nth request before this one has to be a minute old first.
        let full = self.requests.len().checked_sub(self.requests_per_minute);
        let at = full
            .and_then(|index| self.requests.get(index))
            .map_or(now, |at| (*at + MINUTE).max(now));
        self.requests.push_back(at);
        at - now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(requests_per_minute: usize) -> LoginSession {
        LoginSession {
            ringex: None,
            tag: None,
            access: None,
            texts: BTreeMap::new(),
            requests: VecDeque::new(),
            calls: VecDeque::new(),
            requests_per_minute,
            logins_per_minute: 5,
        }
    }

    #[test]
    fn requests_beyond_the_limit_wait_for_the_minute_to_pass() {
        let mut session = session(3);
        assert!((0..3).all(|_| session.claim_request() == Duration::ZERO));
        let wait = session.claim_request();
        assert!(
            wait > MINUTE - Duration::from_secs(5) && wait <= MINUTE,
            "{wait:?}"
        );
    }

    #[test]
    fn an_access_token_without_life_is_tried_once() {
        let mut session = session(3);
        let login = |lifetime| LoginTokens {
            access: Secret::new("jwt"),
            refresh: None,
            lifetime,
            date_ahead: None,
            password_reset: false,
        };
        session.keep_access(Access::new(login(Duration::ZERO), monotonic()));
        assert!(session.bearer().is_some());
        session.tried();
        assert!(session.bearer().is_none());
        session.keep_access(Access::new(login(Duration::from_secs(300)), monotonic()));
        session.tried();
        assert!(session.bearer().is_some());
        session.end_access();
        assert!(session.bearer().is_none());
    }

    #[test]
    fn an_access_token_that_would_end_within_a_call_is_known_to() {
        let mut session = session(3);
        let login = LoginTokens {
            access: Secret::new("jwt"),
            refresh: None,
            lifetime: Duration::from_secs(300),
            date_ahead: None,
            password_reset: false,
        };
        session.keep_access(Access::new(login, monotonic()));
        session.tried();
        assert!(session.outlasts_a_call());
        session.took(Duration::from_secs(290));
        assert!(!session.outlasts_a_call());
        (0..CALLS_REMEMBERED).for_each(|_| session.took(Duration::ZERO));
        assert!(session.outlasts_a_call(), "that call was long ago");
    }

    #[test]
    fn what_ringex_gave_is_kept_for_its_life_and_no_longer() {
        let mut session = session(3);
        let kept = |lifetime| {
            CachedAccess::new(RingexAccess {
                bearer: Secret::new("ringex"),
                lifetime,
            })
        };
        session.keep_ringex(kept(Duration::ZERO));
        assert!(session.ringex().is_none());
        session.keep_ringex(kept(Duration::from_secs(3600)));
        assert!(session.ringex().is_some());
        assert!(
            session.known_texts().any(|text| text == "ringex"),
            "it is blotted out"
        );
        session.forget();
        assert!(session.ringex().is_none(), "another user's");
    }
}
