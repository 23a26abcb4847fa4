//! What commands have in common: loading the policy, connecting to the daemon, and working
//! without one.

use std::io::{BufRead, IsTerminal};
use std::path::Path;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::client::Client;
use crate::clock::Clock;
use crate::console::{Exit, Screen, output};
use crate::daemon::error::DaemonError;
use crate::daemon::supervisor::Supervisor;
use crate::daemon::view::HeldBySink;
use crate::reconcile::{
    AccountConfig, ListedToken, Observer, Reconciler, RingexRateLimiter, TokenExchange,
    look_at_siblings,
};
use crate::ringcx::http::HttpApi;
use crate::store::SqliteJournal;
use rotator_core::account::AccountState;
use rotator_core::config::{AccountPolicy, LogPolicy, Policy};
use rotator_core::incidents::Condition;
use rotator_core::journal::JournalError;
use rotator_core::plan::evidence::Evidence;
use rotator_policy::{control_socket_of, load};

/// Loads the policy. If it has errors, shows them and returns the exit code.
pub fn policy(config: &Path, screen: &Screen) -> Result<Policy, Exit> {
    match load(config) {
        Ok(loaded) => Ok(loaded.policy),
        Err(errors) => {
            screen.policy_errors(&errors);
            // A code of its own, so that a unit or script can tell a wrong policy from a failure.
            Err(Exit::Policy)
        }
    }
}

/// The account of this name in the policy.
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

/// Asks a question on the terminal. Without a terminal the answer is no.
pub fn confirm(question: &str) -> bool {
    if !std::io::stdin().is_terminal() {
        return false;
    }
    // On stderr: stdout may be redirected into a file.
    output::stderr(format!("{question} [yes/no] ").as_bytes());
    let mut answer = String::new();
    let read = std::io::stdin().lock().read_line(&mut answer);
    // Only the whole word: Enter, a bare `y` and a closed terminal all mean no.
    read.is_ok() && answer.trim().eq_ignore_ascii_case("yes")
}

/// The shortest accepted beginning of a fingerprint, in hex digits: less is a typing mistake.
const SHORTEST: usize = 4;

/// The beginning of a fingerprint, as other commands print it.
pub fn prefix(text: &str, screen: &Screen) -> Result<String, Exit> {
    // A fingerprint can be pasted as `tokens` prints it, with the ellipsis.
    let prefix = text.trim_end_matches('…').to_ascii_lowercase();
    if prefix.len() < SHORTEST || !prefix.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        screen.error(format!(
            "`{text}` is not a fingerprint: give at least {SHORTEST} hex digits"
        ));
        return Err(Exit::Usage);
    }
    Ok(prefix)
}

/// The daemon, if one runs.
pub fn daemon(policy: &Policy, screen: &Screen) -> Result<Option<Client>, Exit> {
    Client::connect(&policy.daemon.control_socket).map_err(|error| failing(error, screen))
}

/// The daemon, if one runs, found without a valid policy: `status` and `history` have to work while
/// the policy on disk has errors.
pub fn running(config: &Path, screen: &Screen) -> Result<Option<Client>, Exit> {
    Client::connect(&control_socket_of(config)).map_err(|error| failing(error, screen))
}

/// Shows an error on stderr, and returns the exit code of a failure.
pub fn failing(error: impl std::fmt::Display, screen: &Screen) -> Exit {
    screen.error(error);
    Exit::Failing
}

/// Shows an error of the journal; another process that holds it has an exit code of its own.
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
    // Told apart from a journal that cannot be opened: this is usual before the first start.
    if !state_dir.exists() {
        let state_dir = state_dir.display();
        screen.error(format!(
            "{state_dir} does not exist: the daemon has not run with this policy yet"
        ));
        return Err(Exit::Failing);
    }
    SqliteJournal::open_read_only(state_dir).map_err(|error| journal_error(&error, screen))
}

/// A supervisor for a command that works without a daemon. Holds the state directory until it is
/// closed.
pub async fn supervisor(policy: &Policy, screen: &Screen) -> Result<Supervisor, Exit> {
    // A command does not log, so there is nothing to change when the policy is reloaded.
    let quiet = Arc::new(|_: &LogPolicy| {});
    let opened = Supervisor::open(policy.clone(), Clock::system(), quiet).await;
    opened.map_err(|error| daemon_error(error, screen))
}

/// Shows why the daemon cannot run.
pub fn daemon_error(error: DaemonError, screen: &Screen) -> Exit {
    match error {
        DaemonError::Journal(error) => journal_error(&error, screen),
        error => failing(error, screen),
    }
}

/// One account's reconciler, for a command that works without a daemon. Holds the state directory
/// until the journal is closed.
pub async fn reconciler(
    policy: &Policy,
    account: &AccountPolicy,
    screen: &Screen,
) -> Result<(CommandReconciler, SqliteJournal), Exit> {
    // First of all, because it takes the lock: without it a daemon could mint at the same time.
    let journal = SqliteJournal::open(&policy.daemon.state_dir)
        .map_err(|error| journal_error(&error, screen))?;
    let clock = Clock::system();
    let api =
        HttpApi::try_new(&policy.ringcx, clock.clone()).map_err(|error| failing(error, screen))?;
    let config = AccountConfig {
        account: account.clone(),
        ringcx: policy.ringcx.clone(),
        alerts: policy.alerts.clone(),
    };
    let opened = Reconciler::open(config, Arc::new(api), journal.clone(), NoObserver, clock).await;
    let mut reconciler = opened.map_err(|error| failing(error, screen))?;
    let peers = TokenExchange::of_journal(&journal, policy).await;
    // Never awaited: nobody else works in a command.
    let _wakeup = reconciler.join(peers.clone());
    look_at_siblings(&peers, &account.name, &journal, policy).await;
    // From the journal, so that logins of a daemon that ended a moment ago count too.
    let limits = RingexRateLimiter::of_journal(&journal, policy).await;
    Ok((reconciler.sharing(Arc::new(limits)), journal))
}

/// Lists the tokens on the server and makes a view of them, for a command that works without a
/// daemon. Takes the journal for writing: a login is recorded, so that its limits hold across
/// processes.
pub async fn listed<V>(
    policy: &Policy,
    account: &AccountPolicy,
    screen: &Screen,
    view: impl FnOnce(&AccountState, &HeldBySink, &[ListedToken]) -> V,
) -> Result<V, Exit> {
    let (mut reconciler, journal) = reconciler(policy, account, screen).await?;
    let listed = reconciler.list_tokens(&CancellationToken::new()).await;
    // After the list, which also looked at the sinks, so that both are from the same moment.
    let held = reconciler.evidence().sinks().cloned().unwrap_or_default();
    let view = listed
        .map(|listed| view(reconciler.state(), &held, &listed))
        .map_err(|error| failing(error, screen));
    close(&journal, screen).await;
    view
}

/// Releases the state directory.
pub async fn close(journal: &SqliteJournal, screen: &Screen) {
    // Only shown: what the command was for has been done or has failed already.
    if let Err(error) = journal.close().await {
        screen.error(error);
    }
}

/// The reconciler of a command.
pub type CommandReconciler = Reconciler<HttpApi, SqliteJournal, NoObserver>;

/// A command reports no conditions: the daemon finds them when it starts.
pub struct NoObserver;

impl Observer for NoObserver {
    async fn conditions(&self, _: &str, _: Vec<Condition>) {}

    fn changed(&self, _: &str, _: &AccountState, _: &Evidence) {}

    fn progress(&self, _: &str) {}
}
