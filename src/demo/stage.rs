//! What the story needs before it can begin: a directory, stand-ins, secrets and a policy.
//!
//! Knows nothing of what happens then.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;

use super::Leftovers;
use rotator_simulator::mailbox::{Mailbox, MailboxSetup, Security};
use rotator_simulator::receiver::{Receiver, ReceiverSetup};
use rotator_simulator::{Authority, ConfigSpec, RingexSetup, Setup, Simulator, StartError, User};

mod directory;
mod policy;

use directory::StageDirectory;

/// The accounts; things go wrong for one of them with a mint and for the other with a webhook. The
/// second logs in by RingEX.
pub const ACCOUNTS: [&str; 2] = ["sales-ivr", "support-ivr"];
/// The token file, a sink that each account has.
pub const FILE: &str = "token-file";
/// The env-file that each account has.
pub const ENV_FILE: &str = "dialer-env";
/// The webhook that each account has.
pub const WEBHOOK: &str = "crm";
/// The auth config inside RingCX, a sink that the second account has.
pub const CONFIG: &str = "ivr-flow";
/// The sinks of each account.
pub const SINKS: [&[&str]; 2] = [
    &[FILE, ENV_FILE, WEBHOOK],
    &[FILE, ENV_FILE, WEBHOOK, CONFIG],
];
/// How each logs in.
const LOGINS: [DemoLogin; 2] = [DemoLogin::Password, DemoLogin::RingEx];
/// The RingCX account with the auth config, and the auth config's id.
pub const CONFIG_PLACE: [&str; 2] = ["21170001", "support-flow"];
/// Between two calls of the flow that takes its credential from there.
const FLOW_PAUSE: Duration = Duration::from_millis(20);
/// The client id of the RingEX app.
pub const APP: &str = "demo-app";
/// The key in the env-file.
pub const KEY: &str = "RINGCX_API_TOKEN";
/// The rest of the env-file, which belongs to its owner: the daemon must not change it.
const ENV_AROUND: [&str; 2] = [
    "# Dialer of the contact centre\nREGION='eu'  # keep\n",
    "RETRIES=3\n",
];

/// Everything that the story needs. Dropping it closes the ports and removes the directory.
pub struct DemoStage {
    /// The stand-in for RingCX and RingEX, whose record the checks ask.
    pub ringcx: Simulator,
    /// The mail server of the policy.
    pub mailbox: Mailbox,
    /// One for each of [`ACCOUNTS`].
    pub actors: Vec<Actor>,
    /// Every secret there is, tokens left out.
    pub secrets: Vec<String>,
    root: PathBuf,
    _directory: Option<TempDir>,
}

/// One account and what is around it.
pub struct Actor {
    /// The account's name in the policy.
    pub name: &'static str,
    /// The RingCX user that it logs in as.
    pub user: String,
    /// How it logs in.
    pub way: DemoLogin,
    /// The names of its sinks.
    pub sinks: &'static [&'static str],
    /// The far end of its webhook.
    pub receiver: Receiver,
    /// The token file of its sink.
    pub file: PathBuf,
    /// The env-file of its sink.
    pub env_file: PathBuf,
}

/// How an account logs in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DemoLogin {
    /// With user name and password.
    Password,
    /// By RingEX, with a JWT.
    RingEx,
}

/// Why the stage could not be set.
#[derive(Debug, thiserror::Error)]
pub enum StageError {
    /// A file or directory could not be made: TMPDIR or the disk may be the reason.
    #[error("{path}", path = path.display())]
    File {
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A Unix socket in TMPDIR would have too long a path.
    #[error(
        "{path} is too long a path for a Unix socket: set TMPDIR to a shorter one",
        path = path.display()
    )]
    TooLong { path: PathBuf },
    /// A stand-in could not listen.
    #[error(transparent)]
    Start(#[from] StartError),
}

impl DemoStage {
    /// Makes the directory and starts the stand-ins.
    pub async fn set(leftovers: Leftovers) -> Result<Self, StageError> {
        let mut directory = StageDirectory::create()?;
        // One authority for all of them, so that the policy needs only one `ca-file`.
        let authority = Authority::generate();
        directory.write("ca.pem", authority.pem())?;
        let ringcx = start_ringcx(&mut directory, authority.clone()).await?;
        let mailbox = start_mailbox(&mut directory, authority).await?;
        let mut actors = Vec::new();
        for ((name, login), sinks) in ACCOUNTS.into_iter().zip(LOGINS).zip(SINKS) {
            let receiver = start_receiver(&mut directory, name).await?;
            actors.push(Actor {
                name,
                user: user(name),
                way: login,
                sinks,
                receiver,
                file: directory.root().join(name).join("token"),
                env_file: directory.root().join(name).join("dialer.env"),
            });
        }
        // After all receivers run: a port that cannot be opened fails before these files are made.
        for actor in &actors {
            prepare(actor, &mut directory, &ringcx)?;
        }
        let (root, secrets, guard) = directory.finish(leftovers);
        let stage = Self {
            ringcx,
            mailbox,
            actors,
            secrets,
            root,
            _directory: guard,
        };
        // Last: the policy names the ports, which are known only now.
        directory::write(&stage.config(), &policy::text(&stage))?;
        Ok(stage)
    }

    /// The directory of everything.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The file with the policy.
    pub fn config(&self) -> PathBuf {
        self.root.join("config.toml")
    }

    /// Where the daemon's log goes.
    pub fn log(&self) -> PathBuf {
        self.root.join("daemon.log")
    }

    /// Where the daemon listens.
    pub fn control_socket(&self) -> PathBuf {
        self.root.join("control.sock")
    }

    /// Where the journal is.
    pub fn state_dir(&self) -> PathBuf {
        self.root.join("state")
    }
}

/// The env-file of its owner, with this value of [`KEY`].
pub fn env_text(token: &str) -> String {
    let [before, after] = ENV_AROUND;
    format!("{before}{KEY}={token}\n{after}")
}

fn user(account: &str) -> String {
    format!("{account}@example.com")
}

/// RingCX and RingEX, with the users, the app and the auth config of the story.
async fn start_ringcx(
    directory: &mut StageDirectory,
    authority: Authority,
) -> Result<Simulator, StageError> {
    let mut users = Vec::new();
    for name in ACCOUNTS {
        // An account that logs in by RingEX has a password too, which the policy does not name.
        users.push(User {
            name: user(name),
            password: Some(directory.secret(name)?),
            platform: Some("aws80".into()),
        });
    }
    let app_secret = directory.secret(APP)?;
    let ringcx = Simulator::start(Setup {
        tls: Some(authority),
        users,
        ringex: RingexSetup {
            apps: [(APP.to_owned(), app_secret)].into(),
            ..RingexSetup::default()
        },
        ..Setup::default()
    })
    .await?;
    let [account_id, config_id] = CONFIG_PLACE.map(str::to_owned);
    ringcx.add_auth_config(ConfigSpec {
        account_id,
        config_id,
        auth_type: "APIKEY".to_owned(),
    });
    ringcx.start_flow(CONFIG_PLACE[1], FLOW_PAUSE);
    Ok(ringcx)
}

async fn start_mailbox(
    directory: &mut StageDirectory,
    authority: Authority,
) -> Result<Mailbox, StageError> {
    let password = directory.secret("smtp")?;
    let mailbox = Mailbox::start(MailboxSetup {
        // As in most policies, and the way to send that has the most steps.
        security: Security::StartTls(authority),
        credentials: Some(("mailer".to_owned(), password)),
        ..MailboxSetup::default()
    })
    .await?;
    Ok(mailbox)
}

/// The far end of this account's webhook.
async fn start_receiver(
    directory: &mut StageDirectory,
    account: &str,
) -> Result<Receiver, StageError> {
    // A key for each account, so that a delivery to the wrong webhook has a wrong signature.
    let key = directory.secret(&format!("{account}-{WEBHOOK}"))?;
    let receiver = Receiver::start(ReceiverSetup {
        secret: Some(key),
        ..ReceiverSetup::default()
    })
    .await?;
    Ok(receiver)
}

/// What is there before the daemon starts: an env-file, a token that is not ours, and a JWT where
/// the account logs in with one.
fn prepare(
    actor: &Actor,
    directory: &mut StageDirectory,
    ringcx: &Simulator,
) -> Result<(), StageError> {
    directory.make(actor.name)?;
    directory::write(&actor.env_file, &env_text(""))?;
    // Must still be there at the end: the check of foreign tokens counts it.
    ringcx.mint_foreign(&actor.user);
    match actor.way {
        DemoLogin::Password => Ok(()),
        DemoLogin::RingEx => {
            let jwt = ringcx.make_jwt(&actor.user);
            directory.keep_secret(&format!("{}-jwt", actor.name), jwt)
        }
    }
}
