//! From flags to answers: what is not given is asked for on the terminal.

use std::io::{IsTerminal, Read};
use std::path::{Path, PathBuf};

use super::answers::{self, Answers, LoginAnswers, MailAnswers, SinkAnswers};
use super::error::InitError;
use super::options::{InitOptions, LoginMethod, LoginOptions, MailOptions, SinkOptions};
use super::terminal::Terminal;
use crate::secret_source;
use rotator_core::secret::{Secret, SecretSource};

/// The group of those who read tokens in the default layout.
const READERS: &str = "ringcx-token";
/// In bytes. No password is longer; a larger file is a mistake.
const LARGEST_SECRET: u64 = 64 * 1024;

/// A secret that is stored as a systemd credential of this name.
pub struct NamedSecret {
    pub name: String,
    pub secret: Secret,
}

/// Takes the flags, and asks for the rest.
pub fn ask(
    options: InitOptions,
    terminal: Option<&mut Terminal>,
) -> Result<(Answers, Vec<NamedSecret>), InitError> {
    // Read before the first question, so that a wrong file name is reported at once.
    let given = GivenSecrets::read(&options)?;
    let method = options.login.method(&given);
    // With everything that has no default given, `init` asks nothing at all: this is how scripts
    // use it, also on a terminal.
    let is_complete = options.account.is_some() && options.login.is_complete(method, &given);
    let mut prompter = Prompter {
        terminal: terminal.filter(|_| !is_complete),
        missing: Vec::new(),
        secrets: Vec::new(),
    };

    let question = "A name for this RingCX account, such as sales-ivr";
    let account = prompter.needed(options.account, "--account", question)?;
    let GivenSecrets {
        password,
        client_secret,
        jwt,
        smtp_password,
    } = given;
    let login = match method {
        LoginMethod::Admin => prompter.admin_login(&account, options.login, password)?,
        LoginMethod::Ringex => {
            prompter.ringex_login(&account, options.login, client_secret, jwt)?
        }
    };
    let sink = prompter.sink(&account, options.sink)?;
    let mail = prompter.mail(options.mail, smtp_password)?;
    let secrets = prompter.finish()?;
    let answers = Answers {
        account,
        login,
        sink,
        mail,
        base_url: options.base_url,
        ringex_url: options.ringex_url,
        ca_file: options.ca_file.map(absolute),
    };
    Ok((answers, secrets))
}

/// The secrets that flags give.
struct GivenSecrets {
    password: Option<Secret>,
    client_secret: Option<Secret>,
    jwt: Option<Secret>,
    smtp_password: Option<Secret>,
}

impl GivenSecrets {
    fn read(options: &InitOptions) -> Result<Self, InitError> {
        let read = |file: &Option<PathBuf>, what| {
            let file = file.as_deref();
            file.map(|path| secret_of(path, what)).transpose()
        };
        let login = &options.login;
        let password = match &login.password_file {
            Some(path) => Some(secret_of(path, "password")?),
            // If stdin is a terminal, the password is asked for like the rest, so that it is not
            // shown.
            None if login.password_stdin && !std::io::stdin().is_terminal() => {
                Some(secret_from_stdin()?)
            }
            None => None,
        };
        Ok(Self {
            password,
            smtp_password: read(&options.mail.smtp_password_file, "password")?,
            client_secret: read(&login.client_secret_file, "client secret")?,
            jwt: read(&login.jwt_file, "JWT")?,
        })
    }
}

impl LoginOptions {
    fn method(&self, given: &GivenSecrets) -> LoginMethod {
        let has_ringex_flag =
            self.client_id.is_some() || given.client_secret.is_some() || given.jwt.is_some();
        self.login.unwrap_or(if has_ringex_flag {
            LoginMethod::Ringex
        } else {
            LoginMethod::Admin
        })
    }

    fn is_complete(&self, method: LoginMethod, given: &GivenSecrets) -> bool {
        match method {
            LoginMethod::Admin => {
                self.username.is_some() && self.platform_id.is_some() && given.password.is_some()
            }
            LoginMethod::Ringex => {
                self.client_id.is_some() && given.client_secret.is_some() && given.jwt.is_some()
            }
        }
    }
}

/// Takes what was given and asks for what was not. Without a terminal, remembers which required
/// flags are missing, so that one error names them all.
struct Prompter<'t> {
    terminal: Option<&'t mut Terminal>,
    missing: Vec<&'static str>,
    secrets: Vec<NamedSecret>,
}

impl Prompter<'_> {
    fn admin_login(
        &mut self,
        account: &str,
        options: LoginOptions,
        password: Option<Secret>,
    ) -> Result<LoginAnswers, InitError> {
        let question =
            "The RingCX user (best one of its own; for a JWT begin again with --login ringex)";
        let username = self.needed(options.username, "--username", question)?;
        let question = "The platform it is on, such as aws80";
        let platform_id = self.needed(options.platform_id, "--platform-id", question)?;
        let flags = "--password-file or --password-stdin";
        self.secret(account, password, flags, "Its password (not shown)")?;
        Ok(LoginAnswers::Admin {
            username,
            platform_id,
        })
    }

    fn ringex_login(
        &mut self,
        account: &str,
        options: LoginOptions,
        client_secret: Option<Secret>,
        jwt: Option<Secret>,
    ) -> Result<LoginAnswers, InitError> {
        let question = "The client id of the RingEX app";
        let client_id = self.needed(options.client_id, "--client-id", question)?;
        let name = answers::client_secret(account);
        let question = "Its client secret (not shown)";
        self.secret(&name, client_secret, "--client-secret-file", question)?;
        let name = answers::jwt(account);
        let question = "The JWT of the RingEX user (not shown)";
        self.secret(&name, jwt, "--jwt-file", question)?;
        Ok(LoginAnswers::Ringex { client_id })
    }

    fn sink(&mut self, account: &str, options: SinkOptions) -> Result<SinkAnswers, InitError> {
        let usual = format!("/run/ringcx-rotator/tokens/{account}");
        let given = options.sink_path.map(|path| path.display().to_string());
        let path = self.or(given, "The file that is to hold the token", &usual)?;
        // Only for the usual place: the readers of another file are not known.
        let readers = if path == usual && uzers::get_group_by_name(READERS).is_some() {
            READERS
        } else {
            ""
        };
        let question = "The group that may read it (empty: only the service)";
        let group = self.or(options.group, question, readers)?;
        Ok(SinkAnswers {
            path,
            group: Some(group).filter(|group| !group.is_empty()),
        })
    }

    fn mail(
        &mut self,
        options: MailOptions,
        password: Option<Secret>,
    ) -> Result<Option<MailAnswers>, InitError> {
        let mut to = options.mail_to;
        if to.is_empty() {
            let typed = self.or(None, "Where mail about failures goes (empty: nowhere)", "")?;
            // Both separators are usual for lists of addresses, and neither is part of one.
            let addresses = typed.split([',', ' ']).filter(|part| !part.is_empty());
            to.extend(addresses.map(str::to_owned));
        }
        let Some(first) = to.first() else {
            return Ok(None);
        };
        let domain = first.rsplit_once('@');
        let domain = domain.map_or("localhost", |(_, domain)| domain);
        let usual = format!("ringcx-rotator@{domain}");
        let from = self.or(options.mail_from, "Who it comes from", &usual)?;
        let host = self.or(options.smtp_host, "The mail server", "localhost")?;
        let question = "The user to log in to it as (empty: none)";
        let username = self.or(options.smtp_username, question, "")?;
        if !username.is_empty() {
            let flag = "--smtp-password-file";
            self.secret(answers::SMTP, password, flag, "Its password (not shown)")?;
        }
        Ok(Some(MailAnswers {
            to,
            from,
            host,
            port: options.smtp_port,
            tls: options.smtp_tls,
            username: Some(username).filter(|username| !username.is_empty()),
            ca_file: options.smtp_ca_file.map(absolute),
        }))
    }

    /// An answer without a default.
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

    /// An answer with a default.
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

    /// A secret, which is not shown while it is typed.
    fn secret(
        &mut self,
        name: &str,
        given: Option<Secret>,
        flag: &'static str,
        question: &str,
    ) -> Result<(), InitError> {
        let secret = match (given, &mut self.terminal) {
            (Some(given), _) => given,
            (None, Some(terminal)) => terminal.ask_hidden(question)?,
            (None, None) => {
                self.missing.push(flag);
                return Ok(());
            }
        };
        let name = name.to_owned();
        self.secrets.push(NamedSecret { name, secret });
        Ok(())
    }

    fn finish(self) -> Result<Vec<NamedSecret>, InitError> {
        if self.missing.is_empty() {
            Ok(self.secrets)
        } else {
            Err(InitError::Missing(self.missing))
        }
    }
}

/// The policy is read from another working directory. Only an empty path cannot be made absolute,
/// and the policy's own checks refuse that one.
fn absolute(path: PathBuf) -> PathBuf {
    std::path::absolute(&path).unwrap_or(path)
}

/// Reads a secret as the daemon would.
fn secret_of(path: &Path, what: &str) -> Result<Secret, InitError> {
    let read = secret_source::read(&SecretSource::File(path.to_owned()));
    // The error names the file already.
    read.map_err(|error| InitError::Secret {
        place: what.to_owned(),
        why: error.to_string(),
    })
}

fn secret_from_stdin() -> Result<Secret, InitError> {
    let invalid = |why: &str| InitError::Secret {
        place: "password on stdin".to_owned(),
        why: why.to_owned(),
    };
    let mut text = secrecy::zeroize::Zeroizing::new(String::new());
    std::io::stdin()
        .lock()
        // One byte more than allowed, so that a larger input is seen and not cut.
        .take(LARGEST_SECRET + 1)
        .read_to_string(&mut text)
        .map_err(|error| invalid(&error.to_string()))?;
    if text.len() as u64 > LARGEST_SECRET {
        return Err(invalid("larger than 64 KiB: that is not a password"));
    }
    // Only one line end: a password may end with blanks.
    let line = text.strip_suffix('\n').unwrap_or(&text);
    let line = line.strip_suffix('\r').unwrap_or(line);
    if line.is_empty() {
        return Err(invalid("is empty"));
    }
    Ok(Secret::new(line.to_owned()))
}
