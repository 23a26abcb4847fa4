//! A day on which everything fails, for a thousand accounts at once: how much of everything comes
//! of it.
//!
//! The real driver, plan, alerts and sinks, in virtual time; made up are the server, the journal's
//! disk and the mail server. Each account has a trouble of its own that lasts all day, and a clock
//! of its own, as they take turns here. The bounds are those of `docs/guarantees.md`.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use ringcx_rotator::clock::{Clock, monotonic};
use ringcx_rotator::reconcile::{AccountConfig, Observer, PassOutcome, Reconciler};
use ringcx_rotator::ringcx::auth_config::{Answering, AuthConfig, AuthConfigId, AuthConfigs};
use ringcx_rotator::ringcx::{
    ApiError, Auth, Credentials, Deletion, Listing, LoginTokens, RingexAccess, RingexCredentials,
    TokenApi, VisibleAccount,
};
use rotator_core::account::AccountState;
use rotator_core::config::{AlertsPolicy, Policy};
use rotator_core::incidents::{
    self, AlertEvent, AlertState, Condition, Conditions, FailedTry, Flush, MailTry, NextMail,
    Scope, assess, mail_tried,
};
use rotator_core::journal::checkpoint::{self, StreamSize};
use rotator_core::journal::{Checkpoint, Entry, Journal, JournalError, Row, Stream};
use rotator_core::plan::evidence::Evidence;
use rotator_core::secret::{Secret, Token};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::layer::SubscriberExt;

use crate::env::write;

/// Sixteen of each trouble; `RINGCX_ROTATOR_TEST_BAD_DAY=1000` sets another number.
const ACCOUNTS: usize = 240;
fn accounts_in_all() -> usize {
    std::env::var("RINGCX_ROTATOR_TEST_BAD_DAY").map_or(ACCOUNTS, |text| text.parse().unwrap())
}

const DAY: TimeDelta = TimeDelta::hours(24);
/// How often the alert desk looks; a real one looks at every report, and at all that wait together.
const DESK: TimeDelta = TimeDelta::seconds(60);

/// What one account may cause in a day, whatever its trouble. `docs/guarantees.md` says the same.
const CALLS: usize = 1_500;
const LOGINS: usize = 200;
const MINTS: usize = 112;
const ROWS: usize = 1_500;
const BYTES: usize = 1024 * 1024;
const LINES: usize = 1_000;
/// What the whole process may.
const MAILS: usize = 24 * (20 + 6);
const OUTBOX: usize = 119;

fn start() -> DateTime<Utc> {
    "2026-11-22T03:30:00Z".parse().unwrap()
}

/// What is wrong with an account, all day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Trouble {
    Unreachable,
    Busy,
    LoginRejected,
    LoginHangs,
    ListIsNonsense,
    MintRefused,
    MintAnswerLost,
    MintNeverWorks,
    DeleteFails,
    DeleteLies,
    TokenKeepsVanishing,
    ForeignComeAndGo,
    SinkUnwritable,
    SinkOverwritten,
    WebhookDead,
}

const TROUBLES: [Trouble; 15] = [
    Trouble::Unreachable,
    Trouble::Busy,
    Trouble::LoginRejected,
    Trouble::LoginHangs,
    Trouble::ListIsNonsense,
    Trouble::MintRefused,
    Trouble::MintAnswerLost,
    Trouble::MintNeverWorks,
    Trouble::DeleteFails,
    Trouble::DeleteLies,
    Trouble::TokenKeepsVanishing,
    Trouble::ForeignComeAndGo,
    Trouble::SinkUnwritable,
    Trouble::SinkOverwritten,
    Trouble::WebhookDead,
];

/// RingCX for one account, in its trouble once that has begun.
pub(crate) struct Server {
    number: usize,
    clock: Clock,
    tokens: Mutex<Vec<Token>>,
    trouble: Mutex<Option<Trouble>>,
    made: AtomicUsize,
    calls: AtomicUsize,
    logins: AtomicUsize,
    mints: AtomicUsize,
    minutes: Mutex<BTreeMap<i64, usize>>,
    /// When each call was made, in seconds of the era.
    pub(crate) seconds: Mutex<Vec<i64>>,
    /// From when to when no call is answered.
    outage: Option<(DateTime<Utc>, DateTime<Utc>)>,
}

impl Server {
    pub(crate) fn new(
        number: usize,
        clock: Clock,
        outage: Option<(DateTime<Utc>, DateTime<Utc>)>,
    ) -> Self {
        Self {
            number,
            clock,
            tokens: Mutex::default(),
            trouble: Mutex::default(),
            made: AtomicUsize::new(0),
            calls: AtomicUsize::new(0),
            logins: AtomicUsize::new(0),
            mints: AtomicUsize::new(0),
            minutes: Mutex::default(),
            seconds: Mutex::default(),
            outage,
        }
    }

    fn call(&self) -> Result<Option<Trouble>, ApiError> {
        self.calls.fetch_add(1, Relaxed);
        *self
            .minutes
            .lock()
            .unwrap()
            .entry(self.clock.now().timestamp() / 60)
            .or_default() += 1;
        let now = self.clock.now();
        self.seconds.lock().unwrap().push(now.timestamp());
        self.clock.advance(TimeDelta::milliseconds(200));
        if self
            .outage
            .is_some_and(|(from, to)| (from..to).contains(&now))
        {
            return Err(no_answer());
        }
        let trouble = *self.trouble.lock().unwrap();
        match trouble {
            Some(Trouble::Unreachable) => Err(ApiError::Unreachable {
                host: host(),
                why: "connection refused".to_owned(),
            }),
            Some(Trouble::Busy) => Err(ApiError::Busy {
                status: 503,
                retry_after: None,
                said: "try later".to_owned(),
            }),
            other => Ok(other),
        }
    }

    /// An access token lives for five minutes.
    fn admit(&self, auth: Auth<'_>) -> Result<(), ApiError> {
        let known = match auth {
            Auth::Bearer(access) => {
                let since: i64 = access.expose().parse().unwrap();
                self.clock.now().timestamp() - since < 300
            }
            Auth::Token(token) => {
                let alive = self.tokens.lock().unwrap();
                let works = *self.trouble.lock().unwrap() != Some(Trouble::MintNeverWorks)
                    || !token.expose().contains("-sick-");
                works
                    && alive
                        .iter()
                        .any(|it| it.fingerprint() == token.fingerprint())
            }
        };
        if known {
            Ok(())
        } else {
            Err(ApiError::Denied {
                status: 401,
                said: String::new(),
            })
        }
    }

    fn make(&self, mark: &str) -> Token {
        let made = self.made.fetch_add(1, Relaxed);
        let token = Token::try_new(&format!("aws80:{:06}-{mark}-{made:08}", self.number)).unwrap();
        self.tokens.lock().unwrap().push(token.clone());
        token
    }
}

fn host() -> String {
    "ringcx.example.com:443".to_owned()
}

fn no_answer() -> ApiError {
    ApiError::NoAnswer {
        host: host(),
        why: "timed out".to_owned(),
    }
}

fn failed(status: u16) -> ApiError {
    ApiError::Status {
        status,
        said: "x".repeat(200),
    }
}

/// No account of that day has a sink of this kind.
impl AuthConfigs for Server {
    fn auth_config<'a>(&'a self, _: Auth<'a>, _: AuthConfigId<'a>) -> Answering<'a, AuthConfig> {
        Box::pin(async { Err(no_answer()) })
    }

    fn set_api_key<'a>(
        &'a self,
        _: Auth<'a>,
        _: AuthConfigId<'a>,
        _: &'a AuthConfig,
        _: &'a Token,
    ) -> Answering<'a, ()> {
        Box::pin(async { Err(no_answer()) })
    }

    fn auth_configs<'a>(&'a self, _: Auth<'a>, _: &'a str) -> Answering<'a, Vec<AuthConfig>> {
        Box::pin(async { Err(no_answer()) })
    }
}

impl TokenApi for Server {
    async fn login(&self, _: Credentials<'_>) -> Result<LoginTokens, ApiError> {
        self.logins.fetch_add(1, Relaxed);
        match self.call()? {
            Some(Trouble::LoginRejected) => Err(ApiError::Denied {
                status: 401,
                said: "no".to_owned(),
            }),
            Some(Trouble::LoginHangs) => Err(no_answer()),
            _ => Ok(LoginTokens {
                access: Secret::new(self.clock.now().timestamp().to_string()),
                refresh: None,
                lifetime: Duration::from_secs(300),
                date_ahead: None,
                password_reset: false,
            }),
        }
    }

    /// Every account of that day logs in with a password.
    async fn ringex_token(&self, _: RingexCredentials<'_>) -> Result<RingexAccess, ApiError> {
        Err(no_answer())
    }

    async fn login_with(&self, _: &RingexAccess) -> Result<LoginTokens, ApiError> {
        Err(no_answer())
    }

    async fn refresh(&self, _: &Secret) -> Result<LoginTokens, ApiError> {
        self.call()?;
        Err(failed(500))
    }

    async fn mint(&self, access: &Secret) -> Result<Token, ApiError> {
        self.mints.fetch_add(1, Relaxed);
        let trouble = self.call()?;
        self.admit(Auth::Bearer(access))?;
        match trouble {
            Some(Trouble::MintRefused) => Err(failed(400)),
            // Without a trace on the server, so that it is asked for again.
            Some(Trouble::MintAnswerLost) => Err(no_answer()),
            Some(Trouble::MintNeverWorks) => Ok(self.make("sick")),
            _ => Ok(self.make("good")),
        }
    }

    async fn list(&self, auth: Auth<'_>) -> Result<Listing, ApiError> {
        let trouble = self.call()?;
        match trouble {
            Some(Trouble::ListIsNonsense) => {
                return Err(ApiError::Nonsense {
                    status: 200,
                    why: "the body is an HTML page".to_owned(),
                });
            }
            Some(Trouble::ForeignComeAndGo) => {
                self.tokens
                    .lock()
                    .unwrap()
                    .retain(|token| token.expose().contains("-good-"));
                (0..50).for_each(|_| drop(self.make("other")));
            }
            _ => {}
        }
        self.admit(auth)?;
        let tokens = self.tokens.lock().unwrap().clone();
        Ok(Listing {
            tokens,
            odd: 0,
            server_time: Some(self.clock.now()),
        })
    }

    async fn delete(&self, auth: Auth<'_>, victim: &Token) -> Result<Deletion, ApiError> {
        let trouble = self.call()?;
        self.admit(auth)?;
        match trouble {
            Some(Trouble::DeleteFails) => Err(failed(500)),
            Some(Trouble::DeleteLies) => Ok(Deletion::Accepted),
            _ => {
                let mut tokens = self.tokens.lock().unwrap();
                tokens.retain(|token| token.fingerprint() != victim.fingerprint());
                Ok(Deletion::Accepted)
            }
        }
    }

    async fn try_out(&self, auth: Auth<'_>) -> Result<(), ApiError> {
        self.call()?;
        self.admit(auth)
    }

    async fn accounts(&self, auth: Auth<'_>) -> Result<Vec<VisibleAccount>, ApiError> {
        self.try_out(auth).await.map(|()| Vec::new())
    }
}

/// A journal in memory, which keeps count.
#[derive(Clone, Default)]
pub(crate) struct Memory(Arc<Mutex<BTreeMap<String, Kept>>>);

#[derive(Default)]
pub(crate) struct Kept {
    stream: Stream,
    written: StreamSize,
    most: StreamSize,
    compactions: usize,
}

impl Journal for Memory {
    async fn load(&self, stream: &str) -> Result<Stream, JournalError> {
        Ok(self
            .0
            .lock()
            .unwrap()
            .get(stream)
            .map(|kept| kept.stream.clone())
            .unwrap_or_default())
    }

    async fn append(
        &self,
        stream: &str,
        expected: u64,
        entries: Vec<Entry>,
    ) -> Result<u64, JournalError> {
        let mut streams = self.0.lock().unwrap();
        let kept = streams.entry(stream.to_owned()).or_default();
        assert_eq!(kept.stream.last(), expected, "{stream}");
        for (seq, entry) in (expected + 1..).zip(entries) {
            kept.written.add(&entry);
            kept.stream.rows.push(Row { seq, entry });
        }
        let now = StreamSize::of(&kept.stream.rows);
        kept.most.rows = kept.most.rows.max(now.rows);
        kept.most.bytes = kept.most.bytes.max(now.bytes);
        Ok(kept.stream.last())
    }

    async fn compact(&self, stream: &str, upto: u64, body: String) -> Result<(), JournalError> {
        let mut streams = self.0.lock().unwrap();
        let kept = streams.get_mut(stream).unwrap();
        let since = kept
            .stream
            .checkpoint
            .as_ref()
            .map_or(kept.stream.rows[0].entry.at, |it| it.since);
        let last = kept.stream.rows.iter().find(|row| row.seq == upto).unwrap();
        let checkpoint = Checkpoint {
            seq: upto,
            since,
            until: last.entry.at,
            body,
        };
        kept.stream.rows.retain(|row| row.seq > upto);
        kept.stream.checkpoint = Some(checkpoint);
        kept.compactions += 1;
        Ok(())
    }

    async fn streams(&self) -> Result<Vec<String>, JournalError> {
        Ok(self.0.lock().unwrap().keys().cloned().collect())
    }
}

/// What was told to the desk since it looked last, in order.
#[derive(Clone, Default)]
pub(crate) struct Inbox(Arc<Mutex<Vec<Report>>>);

/// An account, and everything that is wrong with it.
pub(crate) type Report = (String, Vec<Condition>);

impl Inbox {
    /// In rounds, with one report of an account in each: what opened and ended in one pass is seen
    /// to.
    fn rounds(&self) -> Vec<Conditions> {
        let mut rounds: Vec<Conditions> = vec![Conditions::new()];
        for (account, conditions) in std::mem::take(&mut *self.0.lock().unwrap()) {
            let open = rounds
                .iter()
                .rposition(|round| round.contains_key(&account))
                .map_or(0, |it| it + 1);
            if open == rounds.len() {
                rounds.push(Conditions::new());
            }
            rounds[open].insert(account, conditions);
        }
        rounds
    }
}

impl Observer for Inbox {
    async fn conditions(&self, account: &str, conditions: Vec<Condition>) {
        self.0
            .lock()
            .unwrap()
            .push((account.to_owned(), conditions));
    }

    fn changed(&self, _: &str, _: &AccountState, _: &Evidence) {}

    fn progress(&self, _: &str) {}
}

/// The alerts as the desk keeps them, with a mail server that takes all or none.
struct Desk {
    policy: AlertsPolicy,
    managed: BTreeSet<String>,
    mail_works: bool,
    state: AlertState,
    conditions: Conditions,
    written: StreamSize,
    mails: usize,
    tries: usize,
    outbox: usize,
}

impl Desk {
    fn new(policy: &Policy, mail_works: bool) -> Self {
        Self {
            policy: policy.alerts.clone(),
            managed: policy
                .accounts
                .iter()
                .map(|account| account.name.clone())
                .collect(),
            mail_works,
            state: AlertState::default(),
            conditions: Conditions::new(),
            written: StreamSize::default(),
            mails: 0,
            tries: 0,
            outbox: 0,
        }
    }

    fn look(&mut self, news: &Conditions, now: DateTime<Utc>) {
        let due = incidents::next_due(&self.policy, &self.state, now).is_some_and(|due| due <= now);
        if news.is_empty() && !due {
            return;
        }
        self.conditions.extend(news.clone());
        let events = assess(
            &self.policy,
            &self.state,
            &self.conditions,
            &self.managed,
            now,
            Flush::Batch,
        );
        events.iter().for_each(|event| self.record(event, now));
        while let NextMail::Send(unsent) = self.state.next_mail(now) {
            self.tries += 1;
            let event = if self.mail_works {
                self.mails += 1;
                AlertEvent::MailSent {
                    mail: unsent.mail.id,
                    refused: Vec::new(),
                }
            } else {
                let failed = FailedTry {
                    scope: Scope::Server,
                    error: "connection refused".to_owned(),
                    rejected: None,
                };
                let tried = MailTry {
                    taken: Vec::new(),
                    refused: Vec::new(),
                    failed: Some(failed),
                };
                mail_tried(unsent, tried, now)
            };
            self.record(&event, now);
        }
        self.outbox = self.outbox.max(self.state.outbox.len());
    }

    fn record(&mut self, event: &AlertEvent, now: DateTime<Utc>) {
        self.written.add(&event.to_entry(now));
        self.state.apply(self.state.last_seq + 1, now, event);
    }
}

/// Counts lines of the log, by the account they are of.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<BTreeMap<String, usize>>>);

impl<S: tracing::Subscriber> tracing_subscriber::Layer<S> for Lines {
    fn on_event(&self, event: &tracing::Event<'_>, _: tracing_subscriber::layer::Context<'_, S>) {
        // As the default `level = "info"` would show them.
        if *event.metadata().level() > tracing::Level::INFO {
            return;
        }
        let mut account = Account(String::new());
        event.record(&mut account);
        *self.0.lock().unwrap().entry(account.0).or_default() += 1;
    }
}

struct Account(String);

impl tracing::field::Visit for Account {
    fn record_str(&mut self, field: &tracing::field::Field, value: &str) {
        if field.name() == "account" {
            self.0 = value.to_owned();
        }
    }

    fn record_debug(&mut self, _: &tracing::field::Field, _: &dyn std::fmt::Debug) {}
}

fn policy_of(dir: &Path) -> Policy {
    write(&dir.join("password"), b"swordfish");
    write(&dir.join("secret"), b"a secret for webhooks");
    let mut text = String::from(
        "[defaults]\nschedule = { every = \"6h\" }\nretention = { max-age = \"12h\", overlap = \"1h\" }\n\
         [alerts.email]\nfrom = \"rotator@example.com\"\nto = [\"oncall@example.com\"]\n\
         host = \"localhost\"\nport = 25\ntls = \"none\"\n[ringcx]\nrequests-per-minute = 100000\n",
    );
    for number in 0..accounts_in_all() {
        let at = dir.join(format!("{number}"));
        std::fs::create_dir(&at).unwrap();
        let at = at.display();
        text.push_str(&format!(
            "[[account]]\nname = \"a{number}\"\nusername = \"u{number}\"\nplatform-id = \"aws80\"\n\
             password = {{ file = \"password\" }}\n[[account.sink]]\nname = \"file\"\ntype = \"file\"\n\
             path = \"{at}/token\"\n"
        ));
        if TROUBLES[number % TROUBLES.len()] == Trouble::WebhookDead {
            // Nobody listens on port 1.
            text.push_str(
                "[[account.sink]]\nname = \"hook\"\ntype = \"webhook\"\nurl = \"http://127.0.0.1:1/\"\n\
                 secret = { file = \"secret\" }\nrequired = false\n",
            );
        }
    }
    let config = dir.join("config.toml");
    write(&config, text.as_bytes());
    rotator_policy::load(&config)
        .unwrap_or_else(|errors| panic!("{}", errors.render(rotator_policy::Color::Never, None)))
        .policy
}

/// What somebody else does to an account's world before it is looked at.
fn meddle(server: &Server, directory: &Path) {
    match *server.trouble.lock().unwrap() {
        Some(Trouble::TokenKeepsVanishing) => server.tokens.lock().unwrap().clear(),
        Some(Trouble::SinkOverwritten) => write(&directory.join("token"), b"somebody's"),
        _ => {}
    }
}

/// The worst account of each trouble, and the sum of all.
#[derive(Default)]
struct Tally(BTreeMap<Trouble, usize>);

impl Tally {
    fn of(values: &[usize]) -> Self {
        let mut worst = BTreeMap::new();
        for (number, value) in values.iter().enumerate() {
            let most: &mut usize = worst.entry(TROUBLES[number % TROUBLES.len()]).or_default();
            *most = (*most).max(*value);
        }
        Self(worst)
    }

    #[track_caller]
    fn within(&self, what: &str, values: &[usize], bound: usize) {
        let sum: usize = values.iter().sum();
        let mut worst: Vec<_> = self
            .0
            .iter()
            .map(|(trouble, most)| (*most, *trouble))
            .collect();
        worst.sort_unstable_by(|a, b| b.cmp(a));
        println!(
            "bad day: {what}: {sum} in all; of one account at most {:?}",
            &worst[..5]
        );
        assert!(
            worst[0].0 <= bound,
            "{what}: {:?}, and {bound} is the bound",
            worst[0]
        );
    }
}

#[tokio::test]
async fn a_day_on_which_everything_fails_for_all_accounts_stays_within_bounds() {
    let began = monotonic();
    crate::env::install_tls();
    let lines = Lines::default();
    let _guard =
        tracing::subscriber::set_default(tracing_subscriber::registry().with(lines.clone()));
    let dir = tempfile::tempdir_in(
        ["/dev/shm", "/tmp"]
            .iter()
            .find(|it| Path::new(it).is_dir())
            .unwrap(),
    );
    let dir = dir.unwrap();
    let policy = policy_of(dir.path());
    let (journal, inbox) = (Memory::default(), Inbox::default());
    let (mut accounts, mut due) = (Vec::new(), BinaryHeap::new());
    for (number, account) in policy.accounts.iter().enumerate() {
        let clock = Clock::manual(start());
        let server = Arc::new(Server::new(number, clock.clone(), None));
        let (account, ringcx, alerts) = (
            account.clone(),
            policy.ringcx.clone(),
            policy.alerts.clone(),
        );
        let assignment = AccountConfig {
            account,
            ringcx,
            alerts,
        };
        let (api, journal, inbox) = (Arc::clone(&server), journal.clone(), inbox.clone());
        let driver = Reconciler::open(assignment, api, journal, inbox, clock.clone())
            .await
            .unwrap();
        accounts.push((driver, server, clock, dir.path().join(number.to_string())));
        due.push(Reverse((start(), number)));
    }

    let stop = CancellationToken::new();
    let (mut deaf, mut heard) = (Desk::new(&policy, false), Desk::new(&policy, true));
    let mut looked_at = start();
    let (mut passes, mut healthy) = (vec![0; accounts_in_all()], 0);
    while let Some(Reverse((at, number))) = due.pop() {
        if at > start() + DAY {
            break;
        }
        while looked_at + DESK < at {
            looked_at += DESK;
            for news in inbox.rounds() {
                deaf.look(&news, looked_at);
                heard.look(&news, looked_at);
            }
        }
        let (driver, server, clock, directory) = &mut accounts[number];
        clock.advance(at - clock.now());
        // The first half begins the day with a token that works, the second has never had one.
        let begins = passes[number] == usize::from(number < accounts_in_all() / 2);
        if begins {
            let trouble = TROUBLES[number % TROUBLES.len()];
            *server.trouble.lock().unwrap() = Some(trouble);
            if trouble == Trouble::SinkUnwritable {
                make_unwritable(directory);
            }
            healthy += usize::from(driver.state().current().is_some());
            driver.ask_rotation().await.unwrap();
        }
        meddle(server, directory);
        let report = driver.pass(&stop).await;
        passes[number] += 1;
        assert!(
            matches!(report.end, PassOutcome::AtRest),
            "a{number}: {:?}",
            report.end
        );
        // As with the real scheduler, runs are a second apart at least.
        let mut next = report.wake_at.max(clock.now() + TimeDelta::seconds(1));
        if number < accounts_in_all() / 2 && passes[number] == 1 {
            next = clock.now() + TimeDelta::seconds(1);
        }
        due.push(Reverse((next, number)));
    }
    assert_eq!(healthy, accounts_in_all() / 2);

    let of = |count: fn(&Server) -> usize| -> Vec<usize> {
        accounts
            .iter()
            .map(|(_, server, ..)| count(server))
            .collect()
    };
    let (calls, logins) = (
        of(|it| it.calls.load(Relaxed)),
        of(|it| it.logins.load(Relaxed)),
    );
    let mints = of(|it| it.mints.load(Relaxed));
    let a_minute = of(|it| {
        it.minutes
            .lock()
            .unwrap()
            .values()
            .copied()
            .max()
            .unwrap_or(0)
    });
    let kept = journal.0.lock().unwrap();
    let name = |number: usize| format!("a{number}");
    let rows: Vec<usize> = (0..accounts_in_all())
        .map(|number| kept[&name(number)].written.rows)
        .collect();
    let bytes: Vec<usize> = (0..accounts_in_all())
        .map(|number| kept[&name(number)].written.bytes)
        .collect();
    let most: Vec<usize> = (0..accounts_in_all())
        .map(|number| kept[&name(number)].most.rows)
        .collect();
    let told = lines.0.lock().unwrap();
    let said: Vec<usize> = (0..accounts_in_all())
        .map(|number| told.get(&name(number)).copied().unwrap_or(0))
        .collect();
    Tally::of(&passes).within("passes", &passes, CALLS);
    Tally::of(&calls).within("calls", &calls, CALLS);
    Tally::of(&a_minute).within("calls in the busiest minute", &a_minute, 120);
    Tally::of(&logins).within("logins", &logins, LOGINS);
    Tally::of(&mints).within("mints", &mints, MINTS);
    Tally::of(&rows).within("journal rows written", &rows, ROWS);
    Tally::of(&bytes).within("journal bytes written", &bytes, BYTES);
    Tally::of(&most).within(
        "journal rows held at once",
        &most,
        checkpoint::MOST_ROWS + 100,
    );
    Tally::of(&said).within("lines in the log", &said, LINES);
    let compactions: usize = kept.values().map(|it| it.compactions).sum();
    println!(
        "bad day: {compactions} compactions; took {:?}",
        began.elapsed()
    );
    for (what, alerts) in [("dead", &deaf), ("well", &heard)] {
        let (mails, tries, outbox) = (alerts.mails, alerts.tries, alerts.outbox);
        let StreamSize { rows, bytes } = alerts.written;
        println!(
            "bad day, mail server {what}: {mails} mails, {tries} tries, {outbox} unsent at most, {} incidents \
             open, {rows} rows and {bytes} bytes of alerts",
            alerts.state.open.len()
        );
        assert!(
            mails <= MAILS && outbox <= OUTBOX,
            "{mails} mails, {outbox} unsent"
        );
        assert!(
            tries <= MAILS && rows <= 200_000,
            "{tries} tries, {rows} rows"
        );
    }
    assert!(heard.mails > 10, "nobody was told");
    assert!(
        deaf.tries < 40,
        "a dead mail server is tried {} times",
        deaf.tries
    );
}

/// What root cannot write to either: there is a file where the directory was.
fn make_unwritable(directory: &Path) {
    std::fs::remove_dir_all(directory).unwrap();
    write(directory, b"in the way");
}
