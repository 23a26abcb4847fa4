//! Every fault of the stand-in, in every call it fits: once it is gone, all is well again.
//!
//! The real driver, the real HTTP client, real files, a real journal and the real alert desk, one
//! stand-in and one webhook receiver a case. Each row of the printed table is a case.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ringcx_rotator::clock::Clock;
use ringcx_rotator::daemon::alerts::{AlertHandle, AlertTask};
use ringcx_rotator::reconcile::{AccountConfig, Observer, PassOutcome, Reconciler};
use ringcx_rotator::ringcx::http::HttpApi;
use ringcx_rotator::store::SqliteJournal;
use rotator_core::account::AccountState;
use rotator_core::config::Policy;
use rotator_core::event::IncidentKind;
use rotator_core::incidents::{AlertEvent, Condition};
use rotator_core::journal::{ALERTS, Journal};
use rotator_core::plan::evidence::Evidence;
use rotator_simulator::receiver::{Receiver, ReceiverSetup};
use rotator_simulator::{Call, Fault, Record, RingexSetup, Setup, Simulator, Times};
use tempfile::TempDir;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::env::{PASSWORD, USER, install_tls, user, write};
use crate::oracle::unwell;

/// Cases under way at once, so that their sockets stay within the usual limit of open files.
const AT_ONCE: usize = 120;
/// Passes under way at once: more would only make time-outs of what is merely slow.
const PASSES_AT_ONCE: usize = 12;
/// Only a failsafe.
const LONGEST_CASE: Duration = Duration::from_secs(240);
const LOGINS_PER_MINUTE: usize = 5;
/// The auth config that a flow takes its key from.
const CONFIG: &str = "ivr-config";

/// When the fault comes, and how often.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Timing {
    /// At the first such call of the first rotation.
    First,
    /// At the first such call of the second rotation.
    Once,
    /// At three such calls from the second rotation on.
    Thrice,
    /// At every such call from the second rotation on, until it is taken away.
    Standing,
}

#[derive(Clone, Copy)]
struct Case {
    call: Call,
    fault: Fault,
    timing: Timing,
}

impl Case {
    fn all() -> Vec<Self> {
        let mut cases = Vec::new();
        for call in Call::ALL {
            for fault in Fault::ALL.into_iter().filter(|fault| fault.fits(call)) {
                for timing in [
                    Timing::First,
                    Timing::Once,
                    Timing::Thrice,
                    Timing::Standing,
                ] {
                    let case = Self {
                        call,
                        fault,
                        timing,
                    };
                    if case.happens() {
                        cases.push(case);
                    }
                }
            }
        }
        cases
    }

    /// A first rotation neither refreshes nor deletes anything, and no rotation lists auth configs.
    fn happens(self) -> bool {
        match self.call {
            Call::ConfigList => false,
            Call::Refresh | Call::Delete => self.timing != Timing::First,
            Call::Login
            | Call::RingexToken
            | Call::RingexLogin
            | Call::Mint
            | Call::List
            | Call::Accounts
            | Call::ConfigRead
            | Call::ConfigWrite => true,
        }
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let timing = match self.timing {
            Timing::First => "first",
            Timing::Once => "once",
            Timing::Thrice => "thrice",
            Timing::Standing => "standing",
        };
        write!(
            f,
            "{:<12} {:<30} {timing:<8}",
            self.call.to_string(),
            self.fault.to_string()
        )
    }
}

/// What a case came to.
struct Row {
    case: Case,
    account: String,
    outcome: Result<(), String>,
    logins: usize,
    /// Requests to RingEX in any minute, as it counted them itself.
    ringex: usize,
    mints: usize,
    leaked: usize,
    /// Rotations that met the fault: each may be told of by a mail of its own.
    met: usize,
}

/// What the cases share.
struct Hall {
    dir: TempDir,
    journal: SqliteJournal,
    alerts: AlertHandle,
    passes: Semaphore,
}

/// Tells the desk and nobody else.
struct Told(AlertHandle);

impl Observer for Told {
    async fn conditions(&self, account: &str, conditions: Vec<Condition>) {
        self.0.report(account, conditions).await;
    }

    fn changed(&self, _: &str, _: &AccountState, _: &Evidence) {}

    fn progress(&self, _: &str) {}
}

// proves: never-zero, two-looks
// fault: two-looks at reconcile note_ringcx_error: what a config in RingCX refuses counts as a look
//   at the token
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_fault_of_every_call_ends_well_once_it_is_gone() {
    install_tls();
    let cases = chosen(Case::all());
    let named: Vec<(String, Case)> = cases
        .into_iter()
        .enumerate()
        .map(|(number, case)| (format!("case-{number}"), case))
        .collect();
    let dir = TempDir::new().unwrap();
    let journal = SqliteJournal::open(&dir.path().join("state")).unwrap();
    let (host, receiver) = ("http://127.0.0.1:9", "http://127.0.0.1:9/hook");
    let nowhere = Hosts {
        ringcx: host,
        ringex: host,
        receiver,
    };
    let alerts = policy_of(dir.path(), "any", nowhere, "1s", ADMIN).alerts;
    let managed: BTreeSet<String> = named.iter().map(|(name, _)| name.clone()).collect();
    let alerts = AlertTask::start(journal.clone(), alerts, managed, Clock::system())
        .await
        .unwrap();
    let hall = Arc::new(Hall {
        dir,
        journal,
        alerts,
        passes: Semaphore::new(PASSES_AT_ONCE),
    });

    let places = Arc::new(Semaphore::new(AT_ONCE));
    let mut running = JoinSet::new();
    for (account, case) in named {
        let (hall, places) = (Arc::clone(&hall), Arc::clone(&places));
        running.spawn(async move {
            let _place = places.acquire().await.unwrap();
            play(&hall, account, case).await
        });
    }
    let mut rows = running.join_all().await;
    rows.sort_by_key(|row| (row.case.call, row.account[5..].parse::<usize>().unwrap()));
    judge(&hall, &rows).await;
}

/// `RINGCX_ROTATOR_TEST_FAULTS=mint/lost-answer` plays only the cases whose name holds all the
/// parts.
fn chosen(cases: Vec<Case>) -> Vec<Case> {
    let wanted = std::env::var("RINGCX_ROTATOR_TEST_FAULTS").unwrap_or_default();
    let fits = |case: &Case| {
        wanted
            .split('/')
            .all(|part| case.to_string().contains(part))
    };
    cases.into_iter().filter(fits).collect()
}

async fn judge(hall: &Hall, rows: &[Row]) {
    let mut opened: BTreeMap<String, Vec<IncidentKind>> = BTreeMap::new();
    let mut open: BTreeMap<String, i32> = BTreeMap::new();
    for row in hall.journal.load(ALERTS).await.unwrap().rows {
        match AlertEvent::from_row(&row).unwrap() {
            AlertEvent::IncidentOpened { incident, .. } => {
                *open.entry(incident.account.clone()).or_default() += 1;
                opened
                    .entry(incident.account)
                    .or_default()
                    .push(incident.kind);
            }
            AlertEvent::IncidentResolved { incident, .. } => {
                *open.entry(incident.account).or_default() -= 1
            }
            _ => {}
        }
    }
    println!(
        "{:<52} {:<8} logins ringex mails mints leaked",
        "call         fault                          timing", "outcome"
    );
    let mut wrong = Vec::new();
    for row in rows {
        let mails = opened.remove(&row.account).unwrap_or_default();
        let outcome = if row.outcome.is_ok() {
            "healthy"
        } else {
            "FAILED"
        };
        let line = format!(
            "{} {outcome:<8} {:>6} {:>6} {:>5} {:>5} {:>6}  {}",
            row.case,
            row.logins,
            row.ringex,
            mails.len(),
            row.mints,
            row.leaked,
            mails
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join(" "),
        );
        println!("{line}");
        let mut faults: Vec<String> = row.outcome.clone().err().into_iter().collect();
        // A fault that stands may show in two places, each an incident of its own: in the preflight
        // and in a look at the sink. Which of them comes first depends on the machine's load.
        for kind in &mails {
            let told = mails.iter().filter(|other| *other == kind).count();
            if told > row.met {
                faults.push(format!(
                    "{told} mails of {kind} and {} rotations that met the fault",
                    row.met
                ));
            }
        }
        if open.get(&row.account).is_some_and(|open| *open != 0) {
            faults.push("an incident is still open".to_owned());
        }
        if row.leaked > 0 {
            faults.push(format!("{} tokens leaked", row.leaked));
        }
        if row.logins > LOGINS_PER_MINUTE {
            faults.push(format!("{} logins in a minute", row.logins));
        }
        if row.ringex > LOGINS_PER_MINUTE {
            faults.push(format!("{} requests to RingEX in a minute", row.ringex));
        }
        wrong.extend(
            faults
                .into_iter()
                .map(|fault| format!("{}: {fault}", row.case)),
        );
    }
    println!("{} cases, {} faults found", rows.len(), wrong.len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(!rows.is_empty());
}

async fn play(hall: &Hall, account: String, case: Case) -> Row {
    let jwts = [("the-jwt".to_owned(), USER.to_owned())].into();
    let ringex = RingexSetup {
        jwts,
        ..RingexSetup::default()
    };
    let setup = Setup {
        users: vec![user(USER, PASSWORD)],
        ringex,
        ..Setup::default()
    };
    let ringcx = Simulator::start(setup).await.unwrap();
    let receiver = Receiver::start(ReceiverSetup::default()).await.unwrap();
    let foreign = [ringcx.mint_foreign(USER), ringcx.mint_foreign(USER)];
    ringcx.add_auth_config(format!("21170002/{CONFIG}").parse().unwrap());
    let record = ringcx.record();
    let mut stage = Stage::open(hall, &account, ringcx, receiver, case).await;
    let played = tokio::time::timeout(LONGEST_CASE, stage.play()).await;
    let outcome = match played {
        Ok(played) => played.and_then(|()| stage.look(&foreign)),
        Err(_) => Err(format!(
            "not well after {LONGEST_CASE:?}: {:?}",
            stage.unwell()
        )),
    };
    let current = stage.token();
    let alive = record.alive(USER);
    let leaked = alive
        .iter()
        .filter(|it| !foreign.contains(&it.token) && it.token != current)
        .count();
    let (logins, ringex) = (
        record.logins_in_any_minute(USER),
        record.ringex_requests_in_any_minute(),
    );
    stage.ringcx.stop().await;
    let mints = record.effects(Call::Mint);
    Row {
        case,
        account,
        outcome,
        logins,
        ringex,
        mints,
        leaked,
        met: stage.met,
    }
}

/// One case under way.
struct Stage<'a> {
    hall: &'a Hall,
    case: Case,
    dir: PathBuf,
    policy: Policy,
    ringcx: Arc<Simulator>,
    receiver: Receiver,
    driver: Driver,
    met: usize,
}

type Driver = Reconciler<HttpApi, SqliteJournal, Told>;

async fn open(hall: &Hall, policy: &Policy) -> Driver {
    let api = HttpApi::try_new(&policy.ringcx, Clock::system()).unwrap();
    let account = policy.accounts[0].clone();
    let assignment = AccountConfig {
        account,
        ringcx: policy.ringcx.clone(),
        alerts: policy.alerts.clone(),
    };
    let (journal, told) = (hall.journal.clone(), Told(hall.alerts.clone()));
    Reconciler::open(assignment, Arc::new(api), journal, told, Clock::system())
        .await
        .unwrap()
}

impl<'a> Stage<'a> {
    async fn open(
        hall: &'a Hall,
        name: &str,
        ringcx: Simulator,
        receiver: Receiver,
        case: Case,
    ) -> Self {
        let dir = hall.dir.path().join(name);
        std::fs::create_dir(&dir).unwrap();
        let (base, ringex, hook) = (ringcx.base_url(), ringcx.ringex_url(), receiver.url());
        let hosts = Hosts {
            ringcx: &base,
            ringex: &ringex,
            receiver: &hook,
        };
        let policy = policy_of(&dir, name, hosts, first_wait(case.fault), login_of(case));
        let driver = open(hall, &policy).await;
        Self {
            hall,
            case,
            dir,
            policy,
            ringcx: Arc::new(ringcx),
            receiver,
            driver,
            met: 0,
        }
    }

    async fn play(&mut self) -> Result<(), String> {
        let (call, fault, timing) = (self.case.call, self.case.fault, self.case.timing);
        let times = match timing {
            Timing::First | Timing::Once => Times::Once,
            Timing::Thrice => Times::N(3),
            Timing::Standing => Times::Always,
        };
        if timing != Timing::First {
            self.until_well().await?;
        }
        self.ringcx.inject(call, fault, times);
        let taken_away = self.take_away_later();
        if timing != Timing::First {
            self.rotate().await?;
        }
        self.until_well().await?;
        self.met = self.hits().min(1);
        // What happened at once needs no second try: the rest of the faults meet the next
        // rotations.
        let wanted = if timing == Timing::Thrice { 3 } else { 1 };
        for _ in 0..3 {
            let before = self.hits();
            if before < wanted {
                self.rotate().await?;
                self.until_well().await?;
                self.met += usize::from(self.hits() > before);
            }
        }
        if self.hits() < wanted {
            return Err(format!("the fault came {} times only", self.hits()));
        }
        taken_away.await.map_err(|error| error.to_string())?;
        // The healthy state works: another rotation goes through.
        self.rotate().await?;
        self.until_well().await
    }

    fn take_away_later(&self) -> tokio::task::JoinHandle<()> {
        let (ringcx, record, case) = (Arc::clone(&self.ringcx), self.ringcx.record(), self.case);
        tokio::spawn(async move {
            if case.timing == Timing::Standing {
                let enough = record.until(|record| hits(record, case) >= 4);
                // A fault that hides the call from us is met only once.
                let _not_so_often = tokio::time::timeout(Duration::from_secs(3), enough).await;
                record.until(|record| hits(record, case) >= 1).await;
                ringcx.clear();
            }
        })
    }

    async fn rotate(&mut self) -> Result<(), String> {
        match self.case.call {
            Call::Refresh => self.ringcx.expire_sessions(),
            // Only one that has just started logs in from the beginning.
            Call::Login | Call::RingexToken | Call::RingexLogin => {
                self.driver = open(self.hall, &self.policy).await;
            }
            Call::Mint
            | Call::List
            | Call::Delete
            | Call::Accounts
            | Call::ConfigList
            | Call::ConfigRead
            | Call::ConfigWrite => {}
        }
        self.driver
            .ask_rotation()
            .await
            .map_err(|error| error.to_string())
    }

    /// One pass after the other, each when it is due, until all is well.
    async fn until_well(&mut self) -> Result<(), String> {
        let stop = CancellationToken::new();
        loop {
            let report = {
                let _permit = self.hall.passes.acquire().await.unwrap();
                self.driver.pass(&stop).await
            };
            match report.end {
                PassOutcome::AtRest | PassOutcome::Unfinished => {}
                PassOutcome::Stopped | PassOutcome::Circling | PassOutcome::Journal(_) => {
                    let next = self.driver.decide().next;
                    return Err(format!(
                        "a pass ended by {:?}, about to do {next:?}",
                        report.end
                    ));
                }
            }
            if self.unwell().is_empty() {
                return Ok(());
            }
            let wait = (report.wake_at - Clock::system().now())
                .to_std()
                .unwrap_or_default();
            tokio::time::sleep(wait.max(Duration::from_millis(5))).await;
        }
    }

    /// What keeps the journal's account from being well.
    fn unwell(&self) -> Vec<String> {
        let state = self.driver.state();
        let mut unwell = unwell(state);
        if state.previous().next().is_some() {
            unwell.push("a token to be deleted".to_owned());
        }
        unwell
    }

    fn hits(&self) -> usize {
        hits(&self.ringcx.record(), self.case)
    }

    fn token(&self) -> String {
        std::fs::read_to_string(self.dir.join("token")).unwrap_or_default()
    }

    /// The world outside agrees with the journal.
    fn look(&self, foreign: &[String]) -> Result<(), String> {
        let token = self.token();
        let env =
            std::fs::read_to_string(self.dir.join("env")).map_err(|error| error.to_string())?;
        let record = self.ringcx.record();
        let current = self
            .driver
            .state()
            .current()
            .map(|current| current.fingerprint);
        for (wrong, what) in [
            (
                !record.is_alive(&token),
                "the token file holds no living token",
            ),
            (
                record
                    .alive(USER)
                    .iter()
                    .all(|it| Some(it.fingerprint) != current),
                "the current token is gone",
            ),
            (
                env != format!("# kept\nTOKEN={token}\n"),
                "the env-file holds another token",
            ),
            (
                self.receiver.held_token().as_ref() != Some(&token),
                "the receiver holds another token",
            ),
            (
                record
                    .config(CONFIG)
                    .is_none_or(|config| config.key != token),
                "the auth config holds another token",
            ),
            (
                foreign.iter().any(|it| !record.is_alive(it)),
                "a foreign token was deleted",
            ),
            (
                self.driver.state().foreign.len() != foreign.len(),
                "the foreign tokens are miscounted",
            ),
            (record.redirected_calls() != 0, "a redirect was followed"),
        ] {
            if wrong {
                return Err(what.to_owned());
            }
        }
        Ok(())
    }
}

fn hits(record: &Record, case: Case) -> usize {
    record
        .calls()
        .iter()
        .filter(|it| it.call == case.call && it.fault == Some(case.fault))
        .count()
}

/// The first wait after a failure. Where the effect comes late it is longer than that, as any wait
/// of a real policy is: with several mints under way at once nothing tells whose tokens those are
/// that appear, and the daemon rightly leaves them alone (`lost_mint` has a test of its own for
/// that).
fn first_wait(fault: Fault) -> &'static str {
    if matches!(fault, Fault::LateEffect(_)) {
        "700ms"
    } else {
        "150ms"
    }
}

const ADMIN: &str = "username = \"ivr-bot@example.com\"\npassword = { file = \"password\" }\nplatform-id = \"aws80\"";

const RINGEX: &str = "login = \"ringex\"\nclient-id = \"app\"\nclient-secret = { file = \"secret\" }\njwt = { file = \"jwt\" }";

/// With a password, but for the calls that only a login by RingEX makes.
fn login_of(case: Case) -> &'static str {
    match case.call {
        Call::RingexToken | Call::RingexLogin => RINGEX,
        Call::Login
        | Call::Refresh
        | Call::Mint
        | Call::List
        | Call::Delete
        | Call::Accounts
        | Call::ConfigList
        | Call::ConfigRead
        | Call::ConfigWrite => ADMIN,
    }
}

/// Where everybody is to be found.
#[derive(Clone, Copy)]
struct Hosts<'a> {
    ringcx: &'a str,
    ringex: &'a str,
    receiver: &'a str,
}

fn policy_of(dir: &Path, account: &str, hosts: Hosts<'_>, first_wait: &str, login: &str) -> Policy {
    let Hosts {
        ringcx,
        ringex,
        receiver,
    } = hosts;
    write(&dir.join("password"), PASSWORD.as_bytes());
    write(&dir.join("jwt"), b"the-jwt");
    write(&dir.join("secret"), b"a secret for webhooks");
    write(&dir.join("env"), b"# kept\n");
    let path = dir.join("config.toml");
    let shown = dir.display();
    let text = format!(
        r#"
[daemon]
state-dir = "{shown}/state"
[ringcx]
base-url = "{ringcx}"
ringex-url = "{ringex}"
connect-timeout = "1s"
request-timeout = "1s"
logins-per-minute = {LOGINS_PER_MINUTE}
ringex-logins-per-minute = {LOGINS_PER_MINUTE}
requests-per-minute = 100000
[defaults]
schedule = {{ every = "10h", jitter = "0s" }}
retention = {{ max-age = "50ms", overlap = "50ms" }}
retry = {{ initial = "{first_wait}", max = "1s", rejected-login = "1s" }}
check-every = "1s"
verify-within = "2s"
[[account]]
name = "{account}"
{login}
[[account.sink]]
name = "file"
type = "file"
path = "{shown}/token"
[[account.sink]]
name = "env"
type = "env-file"
path = "{shown}/env"
key = "TOKEN"
[[account.sink]]
name = "hook"
type = "webhook"
url = "{receiver}"
secret = {{ file = "secret" }}
receipt = "fingerprint"
[[account.sink]]
name = "ivr"
type = "ringcx-auth-config"
account-id = "21170002"
auth-config-id = "{CONFIG}"
"#
    );
    File::create(&path)
        .unwrap()
        .write_all(text.as_bytes())
        .unwrap();
    rotator_policy::load(&path)
        .unwrap_or_else(|errors| panic!("{errors}"))
        .policy
}
