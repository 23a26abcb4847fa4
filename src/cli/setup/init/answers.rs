//! The answers to `init`, and the policy that is made of them.
//!
//! Whether the answers make sense is not checked here: the policy is loaded before it is written.

use std::fmt::Write as _;
use std::path::PathBuf;

use super::options::Tls;

/// Name of the credential with the password of the mail server.
pub const SMTP: &str = "smtp";

/// All answers but the secrets.
pub struct Answers {
    pub account: String,
    pub login: LoginAnswers,
    pub sink: SinkAnswers,
    pub mail: Option<MailAnswers>,
    pub base_url: Option<String>,
    pub ringex_url: Option<String>,
    pub ca_file: Option<PathBuf>,
}

/// How the account logs in.
pub enum LoginAnswers {
    Admin {
        username: String,
        platform_id: String,
    },
    Ringex {
        client_id: String,
    },
}

/// Name of the credential with the client secret of the app that this account logs in with.
pub fn client_secret(account: &str) -> String {
    format!("{account}-app")
}

/// Name of the credential with its JWT.
pub fn jwt(account: &str) -> String {
    format!("{account}-jwt")
}

/// Where the token goes.
pub struct SinkAnswers {
    pub path: String,
    pub group: Option<String>,
}

/// Where mail about failures goes, and by which server.
pub struct MailAnswers {
    pub to: Vec<String>,
    pub from: String,
    pub host: String,
    pub port: Option<u16>,
    pub tls: Option<Tls>,
    pub username: Option<String>,
    pub ca_file: Option<PathBuf>,
}

impl Answers {
    /// The policy, with comments for its next reader.
    pub fn policy(&self) -> String {
        // Text and no serializer: the comments are for the operator who edits it next.
        let mut text = String::from(HEAD);
        self.write_ringcx(&mut text);
        // Commented out, so that a better default of a later version applies.
        text.push_str(DEFAULTS);
        text.push_str("[[account]]\n");
        option(&mut text, "name", Some(&self.account));
        self.write_login(&mut text);
        text.push('\n');
        self.sink.write(&mut text);
        match &self.mail {
            Some(mail) => mail.write(&mut text),
            None => text.push_str(NO_MAIL),
        }
        text
    }

    fn write_ringcx(&self, text: &mut String) {
        // The usual addresses are defaults, and most policies need no such table.
        if self.base_url.is_none() && self.ringex_url.is_none() && self.ca_file.is_none() {
            return;
        }
        text.push_str("[ringcx]\n");
        option(text, "base-url", self.base_url.as_deref());
        option(text, "ringex-url", self.ringex_url.as_deref());
        // A path that is not UTF-8 cannot stand in TOML.
        let ca_file = self.ca_file.as_ref().and_then(|path| path.to_str());
        option(text, "ca-file", ca_file);
        text.push('\n');
    }

    fn write_login(&self, text: &mut String) {
        let credentials = match &self.login {
            LoginAnswers::Admin {
                username,
                platform_id,
            } => {
                option(text, "username", Some(username));
                option(text, "platform-id", Some(platform_id));
                vec![("password", self.account.clone())]
            }
            LoginAnswers::Ringex { client_id } => {
                option(text, "login", Some("ringex"));
                option(text, "client-id", Some(client_id));
                vec![
                    ("client-secret", client_secret(&self.account)),
                    ("jwt", jwt(&self.account)),
                ]
            }
        };
        text.push_str(CREDENTIALS);
        for (key, name) in credentials {
            let _ok = writeln!(text, "{key} = {{ credential = {} }}", quoted(&name));
        }
    }
}

impl SinkAnswers {
    fn write(&self, text: &mut String) {
        text.push_str(SINK);
        option(text, "path", Some(&self.path));
        match &self.group {
            Some(group) => {
                text.push_str("# Members of the group may read it, others not.\nmode = \"0640\"\n");
                option(text, "group", Some(group));
            }
            None => text.push_str(SERVICE_ONLY),
        }
    }
}

impl MailAnswers {
    fn write(&self, text: &mut String) {
        text.push_str(MAIL);
        option(text, "from", Some(&self.from));
        let to: Vec<String> = self.to.iter().map(|address| quoted(address)).collect();
        let _ok = writeln!(text, "to = [{}]", to.join(", "));
        option(text, "host", Some(&self.host));
        // Written in every case: the policy's own default must not be guessed by its reader.
        let tls = self.tls.unwrap_or(if self.is_local() {
            Tls::None
        } else {
            Tls::Starttls
        });
        let name = match tls {
            Tls::Starttls => "starttls",
            Tls::Implicit => "implicit",
            Tls::None => "none",
        };
        option(text, "tls", Some(name));
        if let Some(port) = self.port {
            let _ok = writeln!(text, "port = {port}");
        }
        let ca_file = self.ca_file.as_ref().and_then(|path| path.to_str());
        option(text, "ca-file", ca_file);
        if let Some(username) = &self.username {
            option(text, "username", Some(username));
            let _ok = writeln!(text, "password = {{ credential = {} }}", quoted(SMTP));
        }
    }

    fn is_local(&self) -> bool {
        let address: Option<std::net::IpAddr> = self.host.parse().ok();
        // Mail to this machine never leaves it, and a local server rarely has a certificate.
        self.host == "localhost" || address.is_some_and(|address| address.is_loopback())
    }
}

const HEAD: &str = "\
# The policy of ringcx-rotator, as `ringcx-rotator init` wrote it. Every option, with its meaning
# and its default, is in config.toml.example beside this file, or in the documentation of the
# package.
#
# After a change:  ringcx-rotator check && systemctl reload ringcx-rotator
# After a change of credentials, groups or directories also:
#                  ringcx-rotator systemd-dropin --write
#                  systemctl daemon-reload && systemctl restart ringcx-rotator

";

const DEFAULTS: &str = "\
# A new token every Sunday at 03:30 UTC. An old token is deleted when it is 14 days old and its
# successor has been in place for a day.
[defaults]
#schedule = { cron = \"30 3 * * SUN\", timezone = \"UTC\" }
#retention = { max-age = \"14d\", overlap = \"24h\" }

";

const CREDENTIALS: &str = "\
# A systemd credential: a file of this name in the directory credentials beside this file, which
# only root can read. systemd gives it to the service.
";

const SINK: &str = "\
# Where the token goes. Readers open the file at each use.
[[account.sink]]
name = \"token-file\"
type = \"file\"
";

const SERVICE_ONLY: &str = "\
# Only the service may read it. For a group: mode = \"0640\" and group = \"…\".
mode = \"0600\"
";

const MAIL: &str = "
# Who gets mail when something fails, and when it works again. To try it: ringcx-rotator test-alert
[alerts.email]
";

const NO_MAIL: &str = "
# No mail: failures are seen in `ringcx-rotator status` and in the journal only.
#[alerts.email]
#from = \"ringcx-rotator@example.com\"
#to = [\"oncall@example.com\"]
#host = \"smtp.example.com\"
";

fn option(text: &mut String, key: &str, value: Option<&str>) {
    if let Some(value) = value {
        let _ok = writeln!(text, "{key} = {}", quoted(value));
    }
}

/// Quotes a TOML string. JSON escapes the same characters in the same way, except for DEL, which
/// only TOML requires to be escaped.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text)
        .to_string()
        .replace('\u{7f}', "\\u007f")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answers(odd: &str) -> Answers {
        Answers {
            account: "sales-ivr".to_owned(),
            login: LoginAnswers::Admin {
                username: odd.to_owned(),
                platform_id: "aws80".to_owned(),
            },
            sink: SinkAnswers {
                path: "/run/ringcx-rotator/tokens/sales-ivr".to_owned(),
                group: Some("ivr".to_owned()),
            },
            mail: None,
            base_url: None,
            ringex_url: None,
            ca_file: None,
        }
    }

    #[test]
    fn whatever_is_answered_is_had_back_from_the_policy() {
        for odd in [
            "ivr-bot@example.com",
            "with \"quotes\" and \\ and #",
            "tab\tand \u{7f}",
            "ünï",
        ] {
            let table: toml::Table = answers(odd).policy().parse().unwrap();
            assert_eq!(table["account"][0]["username"].as_str(), Some(odd));
        }
    }

    #[test]
    fn a_mail_server_elsewhere_is_spoken_to_under_tls_and_one_here_need_not_be() {
        for (host, tls, expected) in [
            ("smtp.example.com", None, "starttls"),
            ("smtp.example.com", Some(Tls::Implicit), "implicit"),
            ("localhost", None, "none"),
            ("127.0.0.1", None, "none"),
            ("localhost", Some(Tls::Starttls), "starttls"),
        ] {
            let mail = MailAnswers {
                to: vec!["a@example.com".to_owned()],
                from: "b@example.com".to_owned(),
                host: host.to_owned(),
                port: Some(2525),
                tls,
                username: None,
                ca_file: None,
            };
            let table: toml::Table = Answers {
                mail: Some(mail),
                ..answers("u")
            }
            .policy()
            .parse()
            .unwrap();
            let email = &table["alerts"]["email"];
            assert_eq!(
                (email["tls"].as_str(), email["port"].as_integer()),
                (Some(expected), Some(2525))
            );
        }
    }
}
