//! What the story needs before it can begin: a directory, stand-ins, secrets and a policy.
//!
//! Knows nothing of what is going to happen on it.

use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;

use super::Leftovers;
use rotator_core::secret::Fingerprint;
use rotator_simulator::mailbox::{Mailbox, MailboxSetup, Security};
use rotator_simulator::receiver::{Receiver, ReceiverSetup};
use rotator_simulator::{Authority, ConfigSpec, RingexSetup, Setup, Simulator, StartError, User};

mod policy;

/// The accounts; things go wrong for one of them with a mint and for the other with a webhook. The
/// second logs in by RingEX.
pub const ACCOUNTS: [&str; 2] = ["sales-ivr", "support-ivr"];
/// The sinks that each has.
pub const FILE: &str = "token-file";
/// An env-file among them.
pub const ENV_FILE: &str = "dialer-env";
/// And a webhook.
pub const WEBHOOK: &str = "crm";
/// And, for the second, an auth config inside RingCX.
pub const CONFIG: &str = "ivr-flow";
/// Each account's.
pub const SINKS: [&[&str]; 2] = [
    &[FILE, ENV_FILE, WEBHOOK],
    &[FILE, ENV_FILE, WEBHOOK, CONFIG],
];
/// The RingCX account with the auth config, and the auth config's id.
pub const CONFIG_PLACE: [&str; 2] = ["21170001", "support-flow"];
/// Between two calls of the flow that takes its credential from there.
const FLOW_PAUSE: Duration = Duration::from_millis(20);
/// The RingEX app.
pub const APP: &str = "demo-app";
/// The key in the env-file.
pub const KEY: &str = "RINGCX_API_TOKEN";
/// The rest of the env-file, which is nobody's business but its owner's.
const ENV_AROUND: [&str; 2] = [
    "# Dialer of the contact centre\nREGION='eu'  # keep\n",
    "RETRIES=3\n",
];

/// A Unix socket's path may be so long, with a zero at its end.
const LONGEST_SOCKET_PATH: usize = 107;

/// Everything the story plays on. Dropping it closes the ports and removes the directory.
pub struct DemoStage {
    /// The RingCX stand-in.
    pub ringcx: Simulator,
    /// Where mail goes.
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
    /// The account's name.
    pub name: &'static str,
    /// The RingCX user.
    pub user: String,
    /// How it logs in.
    pub way: DemoLogin,
    /// Its sinks.
    pub sinks: &'static [&'static str],
    /// The far end of its webhook.
    pub receiver: Receiver,
    /// Its token file.
    pub file: PathBuf,
    /// Its env-file.
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

/// Why there is nothing to play on.
#[derive(Debug, thiserror::Error)]
pub enum StageError {
    /// Look at TMPDIR and the disk.
    #[error("{path}", path = path.display())]
    File {
        /// Which file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Choose another TMPDIR.
    #[error("{path} is too long a path for a Unix socket: set TMPDIR to a shorter one", path = path.display())]
    TooLong {
        /// The directory.
        path: PathBuf,
    },
    /// A port could not be had.
    #[error(transparent)]
    Start(#[from] StartError),
}

impl DemoStage {
    /// Makes the directory and starts the stand-ins.
    pub async fn set(leftovers: Leftovers) -> Result<Self, StageError> {
        let parent = std::env::temp_dir();
        let made = tempfile::Builder::new()
            .prefix("ringcx-demo-")
            .tempdir_in(&parent);
        let directory = made.map_err(|source| StageError::File {
            path: parent,
            source,
        })?;
        let root = directory.path().to_owned();
        // The daemon binds beside the socket first, under a longer name.
        if root.as_os_str().as_bytes().len() + "/control.4194304.new".len() > LONGEST_SOCKET_PATH {
            return Err(StageError::TooLong { path: root });
        }
        make_directory(&root.join("secrets"))?;
        let authority = Authority::generate();
        let ca_file = root.join("ca.pem");
        authority
            .write_pem(&ca_file)
            .map_err(|source| StageError::File {
                path: ca_file,
                source,
            })?;

        let mut secrets = Vec::new();
        // Known by sight wherever one turns up, and another each time.
        let mut secret = |what: &str| {
            let seed = format!("{}/{what}", root.display());
            let text = format!("canary-{what}-{}", Fingerprint::of(seed.as_bytes()).short());
            secrets.push(text.clone());
            write(&root.join("secrets").join(what), &text).map(|()| text)
        };
        let (mut users, mut actors, mut jwts) = (Vec::new(), Vec::new(), Vec::new());
        for (name, (way, sinks)) in ACCOUNTS.into_iter().zip(
            [DemoLogin::Password, DemoLogin::RingEx]
                .into_iter()
                .zip(SINKS),
        ) {
            let user = format!("{name}@example.com");
            // Whoever logs in by RingEX has a password too, which nobody here is told.
            let password = secret(name)?;
            users.push(User {
                name: user.clone(),
                password: Some(password),
                platform: Some("aws80".into()),
            });
            let key = secret(&format!("{name}-{WEBHOOK}"))?;
            let receiver = Receiver::start(ReceiverSetup {
                secret: Some(key),
                ..Default::default()
            })
            .await?;
            actors.push((name, user, way, sinks, receiver));
        }
        let apps = [(APP.to_owned(), secret(APP)?)].into();
        let smtp = secret("smtp")?;
        let security = Security::StartTls(authority.clone());
        let credentials = Some(("mailer".to_owned(), smtp));
        let mailbox = Mailbox::start(MailboxSetup {
            security,
            credentials,
            ..Default::default()
        })
        .await?;
        let ringex = RingexSetup {
            apps,
            ..RingexSetup::default()
        };
        let setup = Setup {
            tls: Some(authority),
            users,
            ringex,
            ..Default::default()
        };
        let ringcx = Simulator::start(setup).await?;
        let [account_id, config_id] = CONFIG_PLACE.map(str::to_owned);
        ringcx.add_auth_config(ConfigSpec {
            account_id,
            config_id,
            auth_type: "APIKEY".to_owned(),
        });
        ringcx.start_flow(CONFIG_PLACE[1], FLOW_PAUSE);

        let actors = actors
            .into_iter()
            .map(|(name, user, way, sinks, receiver)| {
                let home = root.join(name);
                make_directory(&home)?;
                let (file, env_file) = (home.join("token"), home.join("dialer.env"));
                write(&env_file, &env_text(""))?;
                // Somebody else's token.
                ringcx.mint_foreign(&user);
                if way == DemoLogin::RingEx {
                    let jwt = ringcx.make_jwt(&user);
                    write(&root.join("secrets").join(format!("{name}-jwt")), &jwt)?;
                    jwts.push(jwt);
                }
                Ok(Actor {
                    name,
                    user,
                    way,
                    sinks,
                    receiver,
                    file,
                    env_file,
                })
            });
        let actors = actors.collect::<Result<Vec<_>, StageError>>()?;
        secrets.append(&mut jwts);
        let (root, directory) = match leftovers {
            Leftovers::Remove => (root, Some(directory)),
            Leftovers::Keep => (directory.keep(), None),
        };
        let stage = Self {
            ringcx,
            mailbox,
            actors,
            secrets,
            root,
            _directory: directory,
        };
        write(&stage.config(), &policy::text(&stage))?;
        Ok(stage)
    }

    /// The directory of everything.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The policy.
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

fn make_directory(path: &Path) -> Result<(), StageError> {
    let made = DirBuilder::new().mode(0o700).create(path);
    made.map_err(|source| StageError::File {
        path: path.to_owned(),
        source,
    })
}

fn write(path: &Path, text: &str) -> Result<(), StageError> {
    let opened = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path);
    let written = opened.and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|source| StageError::File {
        path: path.to_owned(),
        source,
    })
}
