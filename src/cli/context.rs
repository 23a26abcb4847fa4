//! What commands have in common: loading the policy, reaching the daemon, and doing without one.

use std::io::{BufRead, IsTerminal, Write};
use std::path::Path;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::client::{Client, ClientError};
use crate::clock::Clock;
use crate::console::{Exit, Screen};
use crate::daemon::error::DaemonError;
use crate::daemon::supervisor::Supervisor;
use crate::daemon::view::HeldBySink;
use crate::reconcile::{AccountConfig, ListedToken, Observer, Reconciler, RingexRateLimiter};
use crate::ringcx::http::HttpApi;
use crate::store::SqliteJournal;
use rotator_core::account::AccountState;
use rotator_core::config::{AccountPolicy, LogPolicy, Policy};
use rotator_core::incidents::Condition;
use rotator_core::journal::JournalError;
use rotator_core::plan::evidence::Evidence;
use rotator_policy::{control_socket_of, load};

/// The policy, or what to exit with.
pub fn policy(config: &Path, screen: &Screen) -> Result<Policy, Exit> {
    match load(config) {
        Ok(loaded) => Ok(loaded.policy),
        Err(errors) => {
            screen.policy_errors(&errors);
            Err(Exit::Policy)
        }
    }
}

/// The account of this name.
pub fn account<'a>(
    policy: &'a Policy,
    name: &str,
    config: &Path,
    screen: &Screen,
) -> Result<&'a AccountPolicy, Exit> {
    policy.account(name).ok_or_else(|| {
        screen.error(format!("no account `{name}` in {}", config.display()));
        Exit::Usage
    })
}

/// Asks a question, where somebody can answer. Whether the answer is `yes`.
pub fn agreed(question: &str) -> bool {
    if !std::io::stdin().is_terminal() {
        return false;
    }
    eprint!("{question} [yes/no] ");
    let mut answer = String::new();
    let asked = std::io::stderr()
        .flush()
        .and_then(|()| std::io::stdin().lock().read_line(&mut answer));
    asked.is_ok() && answer.trim().eq_ignore_ascii_case("yes")
}

/// The shortest beginning of a fingerprint that is taken: fewer are a typing mistake.
const SHORTEST: usize = 4;

/// The beginning of a fingerprint, as other commands print it.
pub fn prefix(text: &str, screen: &Screen) -> Result<String, Exit> {
    let prefix = text.trim_end_matches('…').to_ascii_lowercase();
    if prefix.len() < SHORTEST || !prefix.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        screen.error(format!(
            "`{text}` is no fingerprint: give at least {SHORTEST} hex digits"
        ));
        return Err(Exit::Usage);
    }
    Ok(prefix)
}

/// The daemon, if one runs.
pub fn daemon(policy: &Policy, screen: &Screen) -> Result<Option<Client>, Exit> {
    Client::connect(&policy.daemon.control_socket).map_err(|error| refused(&error, screen))
}

/// The daemon, if one runs, found without judging the policy: one that is wrong is what an operator
/// may have come to read about.
pub fn running(config: &Path, screen: &Screen) -> Result<Option<Client>, Exit> {
    Client::connect(&control_socket_of(config)).map_err(|error| refused(&error, screen))
}

/// Says what the daemon said no to.
pub fn refused(error: &ClientError, screen: &Screen) -> Exit {
    failing(error, screen)
}

/// Says what went wrong.
pub fn failing(error: impl std::fmt::Display, screen: &Screen) -> Exit {
    screen.error(error);
    Exit::Failing
}

/// Says what is wrong with the journal.
pub fn journal_error(error: &JournalError, screen: &Screen) -> Exit {
    screen.error(error);
    if matches!(error, JournalError::Locked { .. }) {
        Exit::Locked
    } else {
        Exit::Failing
    }
}

/// The journal, for reading only.
pub fn read_journal(policy: &Policy, screen: &Screen) -> Result<SqliteJournal, Exit> {
    let state_dir = &policy.daemon.state_dir;
    if !state_dir.exists() {
        let state_dir = state_dir.display();
        screen.error(format!(
            "{state_dir} does not exist: the daemon has not run with this policy yet"
        ));
        return Err(Exit::Failing);
    }
    SqliteJournal::open_read_only(state_dir).map_err(|error| journal_error(&error, screen))
}

/// Everything a daemon has, for a command that works without one: it holds the state directory for
/// as long as it takes.
pub async fn office(policy: &Policy, screen: &Screen) -> Result<Supervisor, Exit> {
    let quiet = Arc::new(|_: &LogPolicy| {});
    let opened = Supervisor::open(policy.clone(), Clock::system(), quiet).await;
    opened.map_err(|error| daemon_error(error, screen))
}

/// Says why a daemon cannot run.
pub fn daemon_error(error: DaemonError, screen: &Screen) -> Exit {
    match error {
        DaemonError::Journal(error) => journal_error(&error, screen),
        error => failing(error, screen),
    }
}

/// One account's driver, for a command that works without a daemon. Holds the state directory.
pub async fn driver(
    policy: &Policy,
    account: &AccountPolicy,
    screen: &Screen,
) -> Result<(Reconciler<HttpApi, SqliteJournal, Nobody>, SqliteJournal), Exit> {
    let journal = SqliteJournal::open(&policy.daemon.state_dir)
        .map_err(|error| journal_error(&error, screen))?;
    let clock = Clock::system();
    let api =
        HttpApi::try_new(&policy.ringcx, clock.clone()).map_err(|error| failing(error, screen))?;
    let assignment = AccountConfig {
        account: account.clone(),
        ringcx: policy.ringcx.clone(),
        alerts: policy.alerts.clone(),
    };
    let opened = Reconciler::open(assignment, Arc::new(api), journal.clone(), Nobody, clock).await;
    let driver = opened.map_err(|error| failing(error, screen))?;
    let apps = RingexRateLimiter::of_journal(&journal, policy).await;
    Ok((driver.sharing(Arc::new(apps)), journal))
}

/// What comes of the server's list and the sinks, for a command that works without a daemon. A
/// login has to be written down, so that the limits hold across processes.
pub async fn listed<V>(
    policy: &Policy,
    account: &AccountPolicy,
    screen: &Screen,
    view: impl FnOnce(&AccountState, &HeldBySink, &[ListedToken]) -> V,
) -> Result<V, Exit> {
    let (mut driver, journal) = driver(policy, account, screen).await?;
    let listed = driver.list_tokens(&CancellationToken::new()).await;
    let held = driver.seen().sinks.clone().unwrap_or_default();
    let view = listed
        .map(|listed| view(driver.state(), &held, &listed))
        .map_err(|error| failing(error, screen));
    close(&journal, screen).await;
    view
}

/// Lets the state directory go.
pub async fn close(journal: &SqliteJournal, screen: &Screen) {
    if let Err(error) = journal.close().await {
        screen.error(error);
    }
}

/// Nobody watches a command that runs by itself; the daemon sees the conditions when it starts.
pub struct Nobody;

impl Observer for Nobody {
    async fn conditions(&self, _: &str, _: Vec<Condition>) {}

    fn changed(&self, _: &str, _: &AccountState, _: &Evidence) {}

    fn progress(&self, _: &str) {}
}
