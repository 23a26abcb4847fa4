//! The stand-in's own truth: users, sessions, tokens and what was done to them.
//!
//! Knows no HTTP. Every method runs under one lock, so the order of the record is the order in
//! which things happened.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, TimeDelta, Utc};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::json;
use sha2::Sha256;
use tokio::sync::watch;

use super::fault::FaultPlan;
use super::random;
use super::rate_limit::RateLimiter;
use super::records::{CallRecord, ConfigRecord, DeletedBy, FlowRecord, MintedBy, TokenRecord};
use super::ringex::{RingexServer, RingexSetup};
use super::settings::{AccessTokenForm, Settings};
use crate::clock::{self, SimClock};
use rotator_core::secret::{Fingerprint, Token};

/// Limit of recorded calls; the oldest are dropped.
const MOST_CALLS: usize = 100_000;
/// Limit of users, meters and sessions: a client that exceeds it is out of control.
pub(super) const MOST_OF_ANYTHING: usize = 10_000;
/// The platform of tokens where neither the user nor the login names one.
const PLATFORM: &str = "aws80";

/// Called after each call of the API was recorded.
pub type OnCall = Arc<dyn Fn(&CallRecord) + Send + Sync>;

/// Who may log in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Admission {
    /// Anyone: no users were configured.
    Anyone,
    /// The users there are.
    Known,
}

pub(super) struct World {
    pub(super) clock: SimClock,
    state: Mutex<WorldState>,
    changed: watch::Sender<()>,
    on_call: Option<OnCall>,
}

pub(super) struct WorldState {
    pub(super) settings: Settings,
    pub(super) admission: Admission,
    pub(super) users: BTreeMap<String, SimUser>,
    pub(super) tokens: Vec<TokenRecord>,
    pub(super) calls: VecDeque<CallRecord>,
    pub(super) faults: FaultPlan,
    pub(super) meters: HashMap<(String, RateLimitFamily), RateLimiter>,
    pub(super) redirected_calls: u64,
    pub(super) ringex: RingexServer,
    pub(super) configs: Vec<ConfigRecord>,
    pub(super) flows: Vec<FlowRecord>,
    /// While a list is answered that lacks the newest token.
    pub(super) lists_a_part: bool,
    index: HashMap<String, usize>,
    sessions: HashMap<String, AdminSession>,
    refreshes: HashMap<String, (String, String)>,
    forgotten_calls: u64,
    signing_key: [u8; 32],
}

/// The kinds of limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum RateLimitFamily {
    Logins,
    Ringex,
    Requests,
}

/// A user as the server knows it.
#[derive(Clone, Default)]
pub(super) struct SimUser {
    /// The only value that a login may have; `None` accepts any.
    pub(super) password: Option<String>,
    /// The only value that a login may have; `None` accepts any.
    pub(super) platform: Option<String>,
    pub(super) locked: bool,
    /// RingEX lets it in, and RingCX does not.
    pub(super) disable_access: bool,
    wrong_passwords: u32,
}

impl SimUser {
    pub(super) fn new(password: Option<String>, platform: Option<String>) -> Self {
        Self {
            password,
            platform,
            ..Self::default()
        }
    }
}

struct AdminSession {
    user: String,
    platform: String,
    ends_at: DateTime<Utc>,
}

/// What a login gives.
pub(super) struct Opened {
    pub(super) access: String,
    pub(super) refresh: String,
    pub(super) platform: String,
}

/// Why a login is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LoginRefusal {
    Wrong,
    Locked,
}

/// Whether an access token is valid, and for which user.
pub(super) enum AccessStanding<'a> {
    Living { user: &'a str, platform: &'a str },
    Expired { user: &'a str },
    Unknown,
}

impl World {
    pub(super) fn new(clock: SimClock, settings: Settings, on_call: Option<OnCall>) -> Self {
        let state = WorldState {
            settings,
            admission: Admission::Anyone,
            users: BTreeMap::new(),
            tokens: Vec::new(),
            calls: VecDeque::new(),
            faults: FaultPlan::default(),
            meters: HashMap::new(),
            redirected_calls: 0,
            ringex: RingexServer::new(RingexSetup::default()),
            configs: Vec::new(),
            flows: Vec::new(),
            lists_a_part: false,
            index: HashMap::new(),
            sessions: HashMap::new(),
            refreshes: HashMap::new(),
            forgotten_calls: 0,
            signing_key: random::bytes(),
        };
        Self {
            clock,
            state: Mutex::new(state),
            changed: watch::Sender::new(()),
            on_call,
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, WorldState> {
        self.state
            .lock()
            .expect("nothing panics while it holds the world")
    }

    pub(super) fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// Tells those who wait that something has happened. Not to be called under the lock.
    pub(super) fn announce(&self) {
        self.changed.send_replace(());
    }

    /// Tells those who wait of a call. Not to be called under the lock.
    pub(super) fn announce_call(&self, call: &CallRecord) {
        if let Some(on_call) = &self.on_call {
            on_call(call);
        }
        self.announce();
    }
}

impl WorldState {
    pub(super) fn login(
        &mut self,
        now: DateTime<Utc>,
        username: &str,
        password: &str,
        platform: &str,
    ) -> Result<Opened, LoginRefusal> {
        if self.admission == Admission::Anyone && self.users.len() < MOST_OF_ANYTHING {
            // The new user has no password, so that any fits. The limit keeps a client that makes
            // up names from filling the memory.
            self.users.entry(username.to_owned()).or_default();
        }
        let lockout_after = self.settings.lockout_after;
        let user = self.users.get_mut(username).ok_or(LoginRefusal::Wrong)?;
        // Before the password is compared: a locked user gets no hint whether it is right.
        if user.locked {
            return Err(LoginRefusal::Locked);
        }
        let fits = |wanted: &Option<String>, got: &str| {
            wanted.as_deref().is_none_or(|wanted| wanted == got)
        };
        // A wrong platform counts like a wrong password: a client cannot tell one from the other.
        if !fits(&user.password, password) || !fits(&user.platform, platform) {
            user.wrong_passwords += 1;
            user.locked = lockout_after.is_some_and(|limit| user.wrong_passwords >= limit);
            return Err(LoginRefusal::Wrong);
        }
        // Only failures in a row lock a user.
        user.wrong_passwords = 0;
        let platform = if platform.is_empty() {
            PLATFORM
        } else {
            platform
        }
        .to_owned();
        Ok(self.open(now, username.to_owned(), platform))
    }

    /// Logs in a user whom RingEX has accepted.
    pub(super) fn login_by_ringex(
        &mut self,
        now: DateTime<Utc>,
        user: &str,
    ) -> Result<Opened, LoginRefusal> {
        let account = self.users.entry(user.to_owned()).or_default();
        // RingEX has accepted the user already, so this is a refusal of RingCX alone.
        if account.disable_access || account.locked {
            return Err(LoginRefusal::Locked);
        }
        let platform = account
            .platform
            .clone()
            .unwrap_or_else(|| PLATFORM.to_owned());
        Ok(self.open(now, user.to_owned(), platform))
    }

    /// A JWT of the form that RingEX makes, for this user.
    pub(super) fn make_jwt(&mut self, now: DateTime<Utc>, user: &str) -> String {
        let jwt = self.jwt(
            user,
            now,
            rotator_core::time::after(now, std::time::Duration::from_secs(86_400 * 365)),
        );
        self.ringex.setup.jwts.insert(jwt.clone(), user.to_owned());
        jwt
    }

    /// A refresh token is good for one use.
    pub(super) fn refresh(&mut self, now: DateTime<Utc>, refresh: &str) -> Option<Opened> {
        // Removed before the answer: after a lost answer the old one is used up, and the client has
        // to log in.
        let (user, platform) = self.refreshes.remove(refresh)?;
        Some(self.open(now, user, platform))
    }

    pub(super) fn user_of_refresh(&self, refresh: &str) -> Option<&str> {
        self.refreshes.get(refresh).map(|(user, _)| user.as_str())
    }

    fn open(&mut self, now: DateTime<Utc>, user: String, platform: String) -> Opened {
        let user = self.settings.session_of.clone().unwrap_or(user);
        if self.sessions.len() >= MOST_OF_ANYTHING {
            // Expired ones only: a living session must not end because other clients log in often.
            self.sessions.retain(|_, session| now < session.ends_at);
        }
        if self.refreshes.len() >= MOST_OF_ANYTHING {
            // They have no end to go by; a client without its refresh token logs in again.
            self.refreshes.clear();
        }
        // Fixed here: a later change of the setting does not touch tokens that were given.
        let ends_at = rotator_core::time::after(now, self.settings.access_token_ttl);
        let access = match self.settings.access_token_form {
            AccessTokenForm::Jwt => self.jwt(&user, now, ends_at),
            AccessTokenForm::Opaque => random::opaque(),
        };
        let refresh = random::opaque();
        self.refreshes
            .insert(refresh.clone(), (user.clone(), platform.clone()));
        self.sessions.insert(
            access.clone(),
            AdminSession {
                user,
                platform: platform.clone(),
                ends_at,
            },
        );
        Opened {
            access,
            refresh,
            platform,
        }
    }

    /// The claims are by the server's clock, which may be another than ours.
    fn jwt(&self, user: &str, now: DateTime<Utc>, ends_at: DateTime<Utc>) -> String {
        let skew = self.settings.issuer_skew_seconds;
        let by_issuer = |at| self.server_time(at).timestamp().saturating_add(skew);
        let claims = json!({
            "iss": "ringcx-stand-in",
            "sub": user,
            "iat": by_issuer(now),
            "exp": by_issuer(ends_at),
            // Two logins in the same second would otherwise give the same token.
            "jti": random::uuid(),
        });
        let encode = |part: String| URL_SAFE_NO_PAD.encode(part);
        let signed = format!(
            "{}.{}",
            encode(json!({"alg": "HS256", "typ": "JWT"}).to_string()),
            encode(claims.to_string())
        );
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.signing_key)
            .expect("HMAC takes keys of any length");
        mac.update(signed.as_bytes());
        format!(
            "{signed}.{}",
            URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes())
        )
    }

    /// What the server takes for the time.
    pub(super) fn server_time(&self, now: DateTime<Utc>) -> DateTime<Utc> {
        let skew = TimeDelta::try_seconds(self.settings.date_skew_seconds);
        // A skew that leaves the range of dates is ignored: a setting must not make the server
        // panic.
        skew.and_then(|skew| now.checked_add_signed(skew))
            .unwrap_or(now)
    }

    pub(super) fn standing(&self, now: DateTime<Utc>, access: &str) -> AccessStanding<'_> {
        match self.sessions.get(access) {
            None => AccessStanding::Unknown,
            Some(session) if now >= session.ends_at => AccessStanding::Expired {
                user: &session.user,
            },
            Some(session) => AccessStanding::Living {
                user: &session.user,
                platform: &session.platform,
            },
        }
    }

    /// Ends every access token at once; refresh tokens stay.
    pub(super) fn expire_sessions(&mut self, now: DateTime<Utc>) {
        self.sessions
            .values_mut()
            // The earlier of the two: one that had expired before must not live longer.
            .for_each(|session| session.ends_at = session.ends_at.min(now));
    }

    pub(super) fn find(&self, token: &str) -> Option<&TokenRecord> {
        self.index.get(token).map(|at| &self.tokens[*at])
    }

    /// The user whose token this is, if it works now.
    pub(super) fn user_of_token(&self, now: DateTime<Utc>, token: &str) -> Option<&TokenRecord> {
        self.find(token)
            .filter(|token| token.deleted_at.is_none() && token.usable_from <= now)
    }

    pub(super) fn mint(
        &mut self,
        now: DateTime<Utc>,
        user: &str,
        platform: &str,
        by: MintedBy,
    ) -> String {
        self.make_room(now, user);
        let text = format!("{platform}:{}", random::uuid());
        let masked = Token::try_new(&text).map_or_else(|_| "…".to_owned(), |token| token.masked());
        // Tokens are never removed from the list, so a position stays valid.
        self.index.insert(text.clone(), self.tokens.len());
        self.tokens.push(TokenRecord {
            user: user.to_owned(),
            masked,
            fingerprint: Fingerprint::of(text.as_bytes()),
            token: text.clone(),
            minted_at: now,
            minted_by: by,
            listed_from: rotator_core::time::after(now, self.settings.listed_after),
            usable_from: rotator_core::time::after(now, self.settings.usable_after),
            deleted_at: None,
            deleted_by: None,
            // Beside the time of day, which tests set: readers compare it with their own monotonic
            // clock.
            alive_since: clock::monotonic(),
            dead_since: None,
        });
        text
    }

    /// Deletes the oldest token of a user who has as many as the settings allow.
    fn make_room(&mut self, now: DateTime<Utc>, user: &str) {
        let Some(most) = self.settings.tokens_per_user else {
            return;
        };
        let living = |token: &&TokenRecord| token.user == user && token.deleted_at.is_none();
        let living: Vec<_> = self.tokens.iter().filter(living).collect();
        let kept = (most as usize).saturating_sub(1);
        let oldest = living.len().saturating_sub(kept);
        let oldest: Vec<_> = living
            .iter()
            .take(oldest)
            .map(|it| it.fingerprint)
            .collect();
        for fingerprint in oldest {
            self.delete(now, fingerprint, DeletedBy::Foreign);
        }
    }

    /// Mints a token as another program would; the user need not have logged in before.
    pub(super) fn mint_foreign(&mut self, now: DateTime<Utc>, user: &str) -> String {
        let platform = self.users.get(user).and_then(|user| user.platform.clone());
        let platform = platform.unwrap_or_else(|| PLATFORM.to_owned());
        self.mint(now, user, &platform, MintedBy::Foreign)
    }

    /// Every living token of the user that has become visible, in another order each time.
    pub(super) fn list(&self, now: DateTime<Utc>, user: &str) -> Vec<&str> {
        let lag = TimeDelta::from_std(self.settings.list_lag).unwrap_or_default();
        let then = now - lag;
        let visible = |token: &&TokenRecord| {
            token.user == user
                && token.deleted_at.is_none_or(|at| at > then)
                && token.listed_from <= then
        };
        let first = self
            .settings
            .list_first
            .map_or(usize::MAX, |it| it as usize);
        // In the order of their mints, of which a page shows the beginning.
        let mut tokens: Vec<_> = self
            .tokens
            .iter()
            .filter(visible)
            .take(first)
            .map(|token| token.token.as_str())
            .collect();
        if self.lists_a_part {
            tokens.pop();
        }
        // The API promises no order, and a client that takes the last one for the newest must fail
        // here.
        random::shuffle(&mut tokens);
        tokens
    }

    /// Deletes a token. Returns whether there was one to delete.
    pub(super) fn delete(
        &mut self,
        now: DateTime<Utc>,
        fingerprint: Fingerprint,
        by: DeletedBy,
    ) -> bool {
        let living = |token: &&mut TokenRecord| {
            token.fingerprint == fingerprint && token.deleted_at.is_none()
        };
        // A second delete finds nothing, so the record keeps the time and the author of the first.
        let Some(token) = self.tokens.iter_mut().find(living) else {
            return false;
        };
        token.deleted_at = Some(now);
        token.deleted_by = Some(by);
        token.dead_since = Some(clock::monotonic());
        true
    }

    /// A new password also lifts a lock.
    pub(super) fn set_password(&mut self, user: &str, password: &str) {
        let user = self.users.entry(user.to_owned()).or_default();
        user.password = Some(password.to_owned());
        user.wrong_passwords = 0;
        user.locked = false;
    }

    pub(super) fn set_platform(&mut self, user: &str, platform: &str) {
        self.users.entry(user.to_owned()).or_default().platform = Some(platform.to_owned());
    }

    /// Adds a call to the record; its number finds it again for [`WorldState::record_late_effect`].
    pub(super) fn record(&mut self, call: CallRecord) -> u64 {
        // The count of dropped calls keeps the numbers of the others valid.
        if self.calls.len() == MOST_CALLS {
            self.calls.pop_front();
            self.forgotten_calls += 1;
        }
        self.calls.push_back(call);
        self.forgotten_calls + self.calls.len() as u64 - 1
    }

    /// Notes the effect of a call that was recorded before it had one.
    pub(super) fn record_late_effect(
        &mut self,
        number: u64,
        subject: Option<Fingerprint>,
        effect: bool,
    ) {
        let at = number
            .checked_sub(self.forgotten_calls)
            .and_then(|at| usize::try_from(at).ok());
        // The call may have been dropped meanwhile; then there is nothing to correct.
        if let Some(call) = at.and_then(|at| self.calls.get_mut(at)) {
            call.effect = effect;
            call.subject = subject;
        }
    }
}
