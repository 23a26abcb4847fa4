//! `init`: from nothing to a policy that works, for somebody who does this once.
//!
//! It asks for what no flag gave, writes nothing until all of it is known and the policy loads, and
//! then puts every file in place whole: the password as a systemd credential, the drop-in that
//! hands it to the service, and the policy last, as it is the policy that lets the service start.
//! It ends with `check`.

use std::io::{IsTerminal, Read};
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use super::check;
use super::systemd_dropin::{self, DropIn};
use super::unit::requirements::RealHost;
use crate::console::{Exit, Screen};
use crate::secret_source;
use answers::{Answers, LoginAnswers, MailAnswers, SinkAnswers};
use place::Placed;
use rotator_core::secret::Secret;
use terminal::Terminal;

mod answers;
mod encrypt;
mod place;
mod terminal;

/// The group of those who read tokens in the default layout.
const READERS: &str = "ringcx-token";
/// The group that reads the policy.
const SERVICE: &str = "ringcx-rotator";
/// No password is longer; a larger file is a mistake.
const LARGEST_SECRET: u64 = 64 * 1024;

/// The flags of a login with a password, which one by RingEX has no use for.
const ADMIN: [&str; 4] = ["username", "platform_id", "password_file", "password_stdin"];

/// `init`: what is not given is asked for, on a terminal.
#[derive(Args)]
pub struct InitOptions {
    /// What to call the RingCX account here: small letters, digits and dashes
    #[arg(long, value_name = "NAME")]
    account: Option<String>,
    /// The RingCX user whose tokens are rotated; best one of its own
    #[arg(long, value_name = "USER")]
    username: Option<String>,
    /// The platform it is on, such as aws80
    #[arg(long, value_name = "ID")]
    platform_id: Option<String>,
    /// Take the password from this file
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// Take the password from stdin
    #[arg(long, conflicts_with = "password_file")]
    password_stdin: bool,
    /// How the account logs in [default: admin, or ringex where one of its flags is given]
    #[arg(long, value_enum, value_name = "HOW")]
    login: Option<LoginMethod>,
    /// The client id of the RingEX app
    #[arg(long, value_name = "ID", conflicts_with_all = ADMIN)]
    client_id: Option<String>,
    /// Take its client secret from this file
    #[arg(long, value_name = "FILE", conflicts_with_all = ADMIN)]
    client_secret_file: Option<PathBuf>,
    /// Take the JWT of the RingEX user from this file
    #[arg(long, value_name = "FILE", conflicts_with_all = ADMIN)]
    jwt_file: Option<PathBuf>,
    /// The file that is to hold the token [default: /run/ringcx-rotator/tokens/NAME]
    #[arg(long, value_name = "FILE")]
    sink_path: Option<PathBuf>,
    /// The group that may read it [default: ringcx-token, for the default file]
    #[arg(long, value_name = "GROUP")]
    group: Option<String>,
    /// Where mail about failures goes; may be given more than once
    #[arg(long, value_name = "ADDRESS")]
    mail_to: Vec<String>,
    /// Who it comes from [default: ringcx-rotator at the domain of the first recipient]
    #[arg(long, value_name = "ADDRESS", requires = "mail_to")]
    mail_from: Option<String>,
    /// The mail server [default: localhost]
    #[arg(long, value_name = "HOST", requires = "mail_to")]
    smtp_host: Option<String>,
    /// Its port [default: 587, 465 or 25, as --smtp-tls has it]
    #[arg(long, value_name = "PORT", requires = "mail_to")]
    smtp_port: Option<u16>,
    /// How the connection to it is protected [default: starttls, or none for a server on this
    /// machine]
    #[arg(long, value_enum, value_name = "HOW", requires = "mail_to")]
    smtp_tls: Option<Tls>,
    /// The user to log in to it as
    #[arg(long, value_name = "USER", requires = "mail_to")]
    smtp_username: Option<String>,
    /// Take that user's password from this file
    #[arg(long, value_name = "FILE", requires = "smtp_username")]
    smtp_password_file: Option<PathBuf>,
    /// One more certificate to trust for the mail server
    #[arg(long, value_name = "FILE", requires = "mail_to")]
    smtp_ca_file: Option<PathBuf>,
    /// Where RingCX answers, if not at its usual address: the simulator, say
    #[arg(long, value_name = "URL")]
    base_url: Option<String>,
    /// Where RingEX answers, if not at its usual address
    #[arg(long, value_name = "URL")]
    ringex_url: Option<String>,
    /// One more certificate to trust for RingCX and RingEX
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// How passwords are kept: encrypted where this machine can, or not
    #[arg(long, value_enum, value_name = "HOW", default_value_t = Keep::Auto)]
    credential: Keep,
    /// Where the drop-in for the systemd unit goes
    #[arg(long, value_name = "FILE", default_value = systemd_dropin::PLACE)]
    dropin: PathBuf,
    /// Do not try the login, the sink and the mail server at the end
    #[arg(long)]
    offline: bool,
    /// Replace what is there without asking
    #[arg(long)]
    force: bool,
}

/// How an account logs in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum LoginMethod {
    /// As a RingCX user, with a password
    Admin,
    /// By RingEX, with the client secret of an app and a JWT
    Ringex,
}

/// How the connection to a mail server is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Tls {
    /// Plain first, then STARTTLS
    Starttls,
    /// TLS from the first byte
    Implicit,
    /// Not at all: only for a server on this machine
    None,
}

/// How passwords are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Keep {
    /// Encrypted for this machine where it can do that, else a file that only root can read
    Auto,
    /// Encrypted for this machine, or not at all
    Encrypted,
    /// A file that only root can read
    Plain,
}

/// Why nothing was written.
#[derive(Debug, thiserror::Error)]
enum InitError {
    /// What is needed was not given, and there is nobody to ask.
    #[error("not given, and there is no terminal to ask on: {}", .0.join(", "))]
    Missing(Vec<&'static str>),
    /// Somebody closed the terminal, or typed Ctrl-C or Ctrl-D.
    #[error("stopped: nothing was written")]
    Stopped,
    /// There is a policy already.
    #[error("{there} is there already: give --force to replace it (it is kept as {old}), or edit it and run `ringcx-rotator check --online`", there = .there.display(), old = .old.display())]
    There {
        /// The policy.
        there: PathBuf,
        /// Where it will be kept.
        old: PathBuf,
    },
    /// A password could not be read.
    #[error("{place}: {why}")]
    Secret {
        /// The file, or `stdin`.
        place: String,
        /// In words.
        why: String,
    },
    /// Encrypting was asked for and cannot be done.
    #[error(
        "secrets cannot be encrypted on this machine: {0}: leave --credential encrypted out to keep it as a file that only root can read"
    )]
    Encrypt(#[from] encrypt::EncryptError),
    /// A file could not be put in place. What was before is there again.
    #[error("{path}: {source}{}", hint(source), path = path.display())]
    Write {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

fn hint(error: &std::io::Error) -> &'static str {
    if error.kind() == std::io::ErrorKind::PermissionDenied {
        ": run this as root, with sudo"
    } else {
        ""
    }
}

pub fn init(config: &Path, options: InitOptions, screen: &Screen) -> Exit {
    // Only an empty path cannot be made absolute, and it fails when it is written to.
    let config = std::path::absolute(config).unwrap_or_else(|_| config.to_owned());
    let reach = if options.offline {
        check::Reach::File
    } else {
        check::Reach::Online
    };
    let dropin = options.dropin.clone();
    let placed = match set_up(&config, options, screen) {
        Ok(Ok(placed)) => placed,
        Ok(Err(exit)) => return exit,
        Err(error) => {
            screen.error(&error);
            return match error {
                InitError::Missing(_) => Exit::Usage,
                InitError::Stopped
                | InitError::There { .. }
                | InitError::Secret { .. }
                | InitError::Encrypt(_)
                | InitError::Write { .. } => Exit::Failing,
            };
        }
    };
    for path in placed {
        screen.print(&format!("written: {}", path.display()));
    }
    tell_systemd(&dropin, screen);
    match check::check(&config, reach, false, screen) {
        Exit::Done => {
            screen.print("\nnext: systemctl enable --now ringcx-rotator");
            Exit::Done
        }
        failing => {
            screen.error(
                "the files are in place, but something does not work yet: mend what is named above, see that \
                 `ringcx-rotator check --online` is content, then `systemctl enable --now ringcx-rotator`",
            );
            failing
        }
    }
}

/// Asks, drafts and writes. The inner error has been shown.
fn set_up(
    config: &Path,
    options: InitOptions,
    screen: &Screen,
) -> Result<Result<Vec<PathBuf>, Exit>, InitError> {
    let mut terminal = Terminal::if_there();
    may_replace(config, &options, terminal.as_mut())?;
    let (answers, secrets) = answer(options, terminal.as_mut())?;
    let text = answers.policy();
    // From here on a signal waits until the files are in place, or gone again.
    let held = place::hold_signals();
    let mut placed = Placed::default();
    let draft = placed.draft(config, &text)?;
    let loaded = rotator_policy::load(draft.path());
    let mut policy = match loaded {
        Ok(loaded) => loaded.policy,
        Err(errors) => {
            screen.policy_errors(&errors);
            screen.error("no policy can be made of these answers: nothing was written");
            return Ok(Err(Exit::Usage));
        }
    };
    policy.path = config.to_owned();
    for (name, secret, keep) in &secrets {
        let (plain, encrypted) = systemd_dropin::places(config, name);
        match encrypt::kept(name, secret, *keep)? {
            encrypt::StoredSecret::Encrypted(text) => {
                placed.secret(&encrypted, text.as_bytes(), &plain)?
            }
            encrypt::StoredSecret::Plain { why } => {
                if let Some(why) = why {
                    screen.note(format!(
                        "{name} is kept as a file that only root can read: {why}"
                    ));
                }
                placed.secret(&plain, secret.expose().as_bytes(), &encrypted)?;
            }
        }
    }
    let dropin = DropIn::of(&policy, &RealHost);
    for note in dropin.notes() {
        screen.note(note);
    }
    placed.open(&answers.dropin, dropin.text().as_bytes())?;
    placed.policy(config, draft)?;
    drop(held);
    Ok(Ok(placed.keep()))
}

/// Whether files that are there may be replaced; an error if some are and it may not be.
fn may_replace(
    config: &Path,
    options: &InitOptions,
    terminal: Option<&mut Terminal>,
) -> Result<(), InitError> {
    let there = config.symlink_metadata().is_ok();
    if options.force || !there {
        // Without a policy there, a credential or a drop-in of an earlier attempt may go.
        return Ok(());
    }
    let old = place::old_name(config);
    let refused = InitError::There {
        there: config.to_owned(),
        old: old.clone(),
    };
    let Some(terminal) = terminal else {
        return Err(refused);
    };
    let question = format!(
        "There is a policy already: {}. Replace it, and keep it as {}? [yes/no]",
        config.display(),
        old.display()
    );
    if terminal.agreed(&question)? {
        Ok(())
    } else {
        Err(refused)
    }
}

type SecretAnswers = Vec<(String, Secret, Keep)>;

/// What the flags say, and for the rest what somebody types.
fn answer(
    options: InitOptions,
    terminal: Option<&mut Terminal>,
) -> Result<(Answers, SecretAnswers), InitError> {
    let InitOptions {
        account,
        username,
        platform_id,
        password_file,
        password_stdin,
        login,
        client_id,
        client_secret_file,
        jwt_file,
        ringex_url,
        sink_path,
        group,
        mut mail_to,
        mail_from,
        smtp_host,
        smtp_port,
        smtp_tls,
        smtp_username,
        smtp_password_file,
        smtp_ca_file,
        base_url,
        ca_file,
        credential,
        dropin,
        offline: _,
        force: _,
    } = options;
    let password = match &password_file {
        Some(path) => Some(secret_of(path, "password")?),
        // Typed on a terminal it is asked for like the rest, so that it is not shown.
        None if password_stdin && !std::io::stdin().is_terminal() => Some(secret_from_stdin()?),
        None => None,
    };
    let read = |file: Option<PathBuf>, what| file.map(|path| secret_of(&path, what)).transpose();
    let smtp_password = read(smtp_password_file, "password")?;
    let client_secret = read(client_secret_file, "client secret")?;
    let jwt = read(jwt_file, "JWT")?;
    let of_ringex = client_id.is_some() || client_secret.is_some() || jwt.is_some();
    let way = login.unwrap_or(if of_ringex {
        LoginMethod::Ringex
    } else {
        LoginMethod::Admin
    });
    let enough = account.is_some()
        && match way {
            LoginMethod::Admin => username.is_some() && platform_id.is_some() && password.is_some(),
            LoginMethod::Ringex => client_id.is_some() && client_secret.is_some() && jwt.is_some(),
        };
    let mut asker = Prompter {
        terminal: terminal.filter(|_| !enough),
        missing: Vec::new(),
    };

    let account = asker.needed(
        account,
        "--account",
        "A name for this RingCX account, such as sales-ivr",
    )?;
    let mut secrets = Vec::new();
    let login = match way {
        LoginMethod::Admin => {
            let question =
                "The RingCX user (best one of its own; for a JWT begin again with --login ringex)";
            let username = asker.needed(username, "--username", question)?;
            let question = "The platform it is on, such as aws80";
            let platform_id = asker.needed(platform_id, "--platform-id", question)?;
            let flags = "--password-file or --password-stdin";
            let password = asker.secret(password, flags, "Its password (not shown)")?;
            secrets.push((account.clone(), password, credential));
            LoginAnswers::Admin {
                username,
                platform_id,
            }
        }
        LoginMethod::Ringex => {
            let client_id =
                asker.needed(client_id, "--client-id", "The client id of the RingEX app")?;
            let flag = "--client-secret-file";
            let client_secret =
                asker.secret(client_secret, flag, "Its client secret (not shown)")?;
            secrets.push((answers::client_secret(&account), client_secret, credential));
            let jwt = asker.secret(jwt, "--jwt-file", "The JWT of the RingEX user (not shown)")?;
            secrets.push((answers::jwt(&account), jwt, credential));
            LoginAnswers::Ringex { client_id }
        }
    };
    let usual = format!("/run/ringcx-rotator/tokens/{account}");
    let own_path = sink_path.map(|path| path.display().to_string());
    let path = asker.or(own_path, "The file that is to hold the token", &usual)?;
    let readers = if path == usual && uzers::get_group_by_name(READERS).is_some() {
        READERS
    } else {
        ""
    };
    let group = asker.or(
        group,
        "The group that may read it (empty: nobody but the service)",
        readers,
    )?;
    if mail_to.is_empty() {
        let typed = asker.or(None, "Where mail about failures goes (empty: nowhere)", "")?;
        mail_to.extend(
            typed
                .split([',', ' '])
                .filter(|it| !it.is_empty())
                .map(str::to_owned),
        );
    }
    let mail = match mail_to.first() {
        None => None,
        Some(first) => {
            let domain = first
                .rsplit_once('@')
                .map_or("localhost", |(_, domain)| domain);
            let from = asker.or(
                mail_from,
                "Who it comes from",
                &format!("ringcx-rotator@{domain}"),
            )?;
            let host = asker.or(smtp_host, "The mail server", "localhost")?;
            let user = asker.or(
                smtp_username,
                "The user to log in to it as (empty: none)",
                "",
            )?;
            if !user.is_empty() {
                let flag = "--smtp-password-file";
                let password = asker.secret(smtp_password, flag, "Its password (not shown)")?;
                secrets.push((answers::SMTP.to_owned(), password, credential));
            }
            let absolute = |path: PathBuf| std::path::absolute(&path).unwrap_or(path);
            Some(MailAnswers {
                to: mail_to,
                from,
                host,
                port: smtp_port,
                tls: smtp_tls,
                username: Some(user).filter(|user| !user.is_empty()),
                ca_file: smtp_ca_file.map(absolute),
            })
        }
    };
    asker.done()?;
    let group = Some(group).filter(|group| !group.is_empty());
    let answers = Answers {
        account,
        login,
        place: SinkAnswers { path, group },
        mail,
        base_url,
        ringex_url,
        ca_file: ca_file.map(|path| std::path::absolute(&path).unwrap_or(path)),
        dropin,
    };
    Ok((answers, secrets))
}

/// Takes what was given, asks for what was not, or remembers that nobody could be asked.
struct Prompter<'t> {
    terminal: Option<&'t mut Terminal>,
    missing: Vec<&'static str>,
}

impl Prompter<'_> {
    fn needed(
        &mut self,
        given: Option<String>,
        flag: &'static str,
        question: &str,
    ) -> Result<String, InitError> {
        match (given, &mut self.terminal) {
            (Some(given), _) => Ok(given),
            (None, Some(terminal)) => terminal.ask_until_answered(question),
            (None, None) => {
                self.missing.push(flag);
                Ok(String::new())
            }
        }
    }

    fn or(
        &mut self,
        given: Option<String>,
        question: &str,
        default: &str,
    ) -> Result<String, InitError> {
        match (given, &mut self.terminal) {
            (Some(given), _) => Ok(given),
            (None, Some(terminal)) => terminal.ask(question, default),
            (None, None) => Ok(default.to_owned()),
        }
    }

    fn secret(
        &mut self,
        given: Option<Secret>,
        flag: &'static str,
        question: &str,
    ) -> Result<Secret, InitError> {
        match (given, &mut self.terminal) {
            (Some(given), _) => Ok(given),
            (None, Some(terminal)) => terminal.ask_hidden(question),
            (None, None) => {
                self.missing.push(flag);
                Ok(Secret::new(String::new()))
            }
        }
    }

    fn done(self) -> Result<(), InitError> {
        if self.missing.is_empty() {
            Ok(())
        } else {
            Err(InitError::Missing(self.missing))
        }
    }
}

/// As the daemon would read it.
fn secret_of(path: &Path, what: &str) -> Result<Secret, InitError> {
    let read = secret_source::read(&rotator_core::secret::SecretSource::File(path.to_owned()));
    // The error names the file already.
    read.map_err(|error| InitError::Secret {
        place: what.to_owned(),
        why: error.to_string(),
    })
}

fn secret_from_stdin() -> Result<Secret, InitError> {
    let wrong = |why: &str| InitError::Secret {
        place: "password on stdin".to_owned(),
        why: why.to_owned(),
    };
    let mut text = secrecy::zeroize::Zeroizing::new(String::new());
    std::io::stdin()
        .lock()
        .take(LARGEST_SECRET + 1)
        .read_to_string(&mut text)
        .map_err(|error| wrong(&error.to_string()))?;
    if text.len() as u64 > LARGEST_SECRET {
        return Err(wrong("larger than 64 KiB, that is no password"));
    }
    let line = text.strip_suffix('\n').unwrap_or(&text);
    let line = line.strip_suffix('\r').unwrap_or(line);
    if line.is_empty() {
        return Err(wrong("is empty"));
    }
    Ok(Secret::new(line.to_owned()))
}

/// Lets a systemd that runs here know of the drop-in.
fn tell_systemd(dropin: &Path, screen: &Screen) {
    if dropin != Path::new(systemd_dropin::PLACE) || !Path::new("/run/systemd/system").exists() {
        return;
    }
    let told = std::process::Command::new("systemctl")
        .arg("daemon-reload")
        .status();
    if !told.is_ok_and(|status| status.success()) {
        screen.note("systemd was not told of the new drop-in: run `systemctl daemon-reload`");
    }
}
