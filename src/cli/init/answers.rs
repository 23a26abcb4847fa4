//! What was answered, and the policy that it makes.
//!
//! Knows nothing of files or questions. Whether the answers make sense is for the policy's own
//! reader to say.

use std::fmt::Write as _;
use std::path::PathBuf;

use super::Tls;

/// The credential of the mail server.
pub const SMTP: &str = "smtp";

/// Everything that was answered, but for passwords.
pub struct Answers {
    pub account: String,
    pub login: LoginAnswers,
    pub place: SinkAnswers,
    pub mail: Option<MailAnswers>,
    pub base_url: Option<String>,
    pub ringex_url: Option<String>,
    pub ca_file: Option<PathBuf>,
    pub dropin: PathBuf,
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

/// The credential with the client secret that this account logs in with.
pub fn client_secret(account: &str) -> String {
    format!("{account}-app")
}

/// The one with its JWT.
pub fn jwt(account: &str) -> String {
    format!("{account}-jwt")
}

/// Where the token goes.
pub struct SinkAnswers {
    pub path: String,
    pub group: Option<String>,
}

/// Where mail goes.
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
    /// The policy, with comments for whoever opens it next.
    pub fn policy(&self) -> String {
        let mut text = String::from(
            "# The policy of ringcx-rotator, as `ringcx-rotator init` wrote it. Every option, with its meaning and\n\
             # its default, is in config.toml.example beside this file, or in the documentation of the package.\n\
             #\n\
             # After a change:  ringcx-rotator check && systemctl reload ringcx-rotator\n\
             # After a change of credentials, groups or directories also:\n\
             #                  ringcx-rotator systemd-dropin --write\n\
             #                  systemctl daemon-reload && systemctl restart ringcx-rotator\n\n",
        );
        if self.base_url.is_some() || self.ringex_url.is_some() || self.ca_file.is_some() {
            text.push_str("[ringcx]\n");
            option(&mut text, "base-url", self.base_url.as_deref());
            option(&mut text, "ringex-url", self.ringex_url.as_deref());
            option(
                &mut text,
                "ca-file",
                self.ca_file.as_ref().and_then(|path| path.to_str()),
            );
            text.push('\n');
        }
        text.push_str(
            "# A new token every Sunday at 03:30 UTC; an old one is deleted at an age of 14 days, and not before its\n\
             # successor has been in place for a day.\n\
             [defaults]\n\
             #schedule = { cron = \"30 3 * * SUN\", timezone = \"UTC\" }\n\
             #retention = { max-age = \"14d\", overlap = \"24h\" }\n\n\
             [[account]]\n",
        );
        option(&mut text, "name", Some(&self.account));
        let credentials = match &self.login {
            LoginAnswers::Admin {
                username,
                platform_id,
            } => {
                option(&mut text, "username", Some(username));
                option(&mut text, "platform-id", Some(platform_id));
                vec![("password", self.account.clone())]
            }
            LoginAnswers::Ringex { client_id } => {
                option(&mut text, "login", Some("ringex"));
                option(&mut text, "client-id", Some(client_id));
                vec![
                    ("client-secret", client_secret(&self.account)),
                    ("jwt", jwt(&self.account)),
                ]
            }
        };
        text.push_str(
            "# A systemd credential: kept by root in the directory credentials beside this file, and handed to the\n\
             # service alone. The name is the file's.\n",
        );
        for (key, name) in credentials {
            let _ok = writeln!(text, "{key} = {{ credential = {} }}", quoted(&name));
        }
        text.push('\n');
        text.push_str("# Where the token goes. Readers open the file at each use.\n[[account.sink]]\nname = \"token-file\"\ntype = \"file\"\n");
        option(&mut text, "path", Some(&self.place.path));
        match &self.place.group {
            Some(group) => {
                text.push_str("# Members of the group may read it, others not.\nmode = \"0640\"\n");
                option(&mut text, "group", Some(group));
            }
            None => text.push_str("# Only the service may read it. For a group: mode = \"0640\" and group = \"…\".\nmode = \"0600\"\n"),
        }
        match &self.mail {
            Some(mail) => mail.write(&mut text),
            None => text.push_str(
                "\n# No mail: failures are seen in `ringcx-rotator status` and in the journal only.\n\
                 #[alerts.email]\n#from = \"ringcx-rotator@example.com\"\n#to = [\"oncall@example.com\"]\n#host = \"smtp.example.com\"\n",
            ),
        }
        text
    }
}

impl MailAnswers {
    fn write(&self, text: &mut String) {
        text.push_str("\n# Who is told when something fails, and when it is over. Try it: ringcx-rotator test-alert\n[alerts.email]\n");
        option(text, "from", Some(&self.from));
        let to: Vec<String> = self.to.iter().map(|address| quoted(address)).collect();
        let _ok = writeln!(text, "to = [{}]", to.join(", "));
        option(text, "host", Some(&self.host));
        let tls = self.tls.unwrap_or(if self.is_here() {
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
        option(
            text,
            "ca-file",
            self.ca_file.as_ref().and_then(|path| path.to_str()),
        );
        if let Some(username) = &self.username {
            option(text, "username", Some(username));
            let _ok = writeln!(text, "password = {{ credential = {} }}", quoted(SMTP));
        }
    }

    fn is_here(&self) -> bool {
        let address: Option<std::net::IpAddr> = self.host.parse().ok();
        self.host == "localhost" || address.is_some_and(|address| address.is_loopback())
    }
}

fn option(text: &mut String, key: &str, value: Option<&str>) {
    if let Some(value) = value {
        let _ok = writeln!(text, "{key} = {}", quoted(value));
    }
}

/// As a TOML string: what JSON escapes is escaped the same way there, but for one character.
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
            place: SinkAnswers {
                path: "/run/ringcx-rotator/tokens/sales-ivr".to_owned(),
                group: Some("ivr".to_owned()),
            },
            mail: None,
            base_url: None,
            ringex_url: None,
            ca_file: None,
            dropin: PathBuf::new(),
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
