//! How an `[[account]]` logs in. Its `login` decides which other keys it has.

use std::path::PathBuf;

use rotator_core::secret::SecretSource;

use crate::source::At;
use crate::table::Table;
use crate::value;

/// The keys of one way to log in.
pub(crate) enum LoginSpec {
    /// `login = "admin"`, which is also the default.
    Admin {
        username: Option<At<String>>,
        password: OwnSecret,
        platform_id: Option<At<String>>,
    },
    /// `login = "ringex"`: with the JWT of a RingEX user.
    RingEx {
        client_id: Option<At<String>>,
        client_secret: Option<At<SecretSource>>,
        jwt: Option<At<SecretSource>>,
    },
}

#[derive(Clone, Copy)]
enum LoginMethodKey {
    Admin,
    RingEx,
}

const METHODS: [(&str, LoginMethodKey); 2] = [
    ("admin", LoginMethodKey::Admin),
    ("ringex", LoginMethodKey::RingEx),
];

const ADMIN_KEYS: [&str; 3] = ["username", "password", "platform-id"];
const RINGEX_KEYS: [&str; 3] = ["client-id", "client-secret", "jwt"];

impl LoginSpec {
    pub fn read(table: &mut Table<'_>) -> Option<Self> {
        match method(table)? {
            LoginMethodKey::Admin => {
                let help = "it belongs to an account with `login = \"ringex\"`";
                table.elsewhere(&RINGEX_KEYS, help);
                Some(Self::Admin {
                    username: table.required("username", &value::LINE),
                    password: OwnSecret::read(table, "password"),
                    platform_id: table.required("platform-id", &value::PLATFORM),
                })
            }
            LoginMethodKey::RingEx => {
                let help = "it belongs to an account with `login = \"admin\"`: \
                    here the JWT says who logs in";
                table.elsewhere(&ADMIN_KEYS, help);
                Some(Self::RingEx {
                    client_id: table.required("client-id", &value::CLIENT_ID),
                    client_secret: table.required_secret("client-secret"),
                    jwt: table.required_secret("jwt"),
                })
            }
        }
    }

    /// The sources of its secrets. A password that is absent is taken from `passwords-dir`. A JWT
    /// never is, so that a file cannot be sent as the wrong one of the two.
    pub fn secrets(
        &self,
        account: Option<&str>,
        passwords_dir: Option<&At<PathBuf>>,
    ) -> Vec<At<SecretSource>> {
        match self {
            Self::Admin { password, .. } => {
                let password = password.source(account, passwords_dir);
                password.into_iter().collect()
            }
            Self::RingEx {
                client_secret, jwt, ..
            } => [client_secret, jwt]
                .into_iter()
                .flatten()
                .cloned()
                .collect(),
        }
    }
}

/// Which way it is; none where `login` is faulty.
fn method(table: &mut Table<'_>) -> Option<LoginMethodKey> {
    let has_any = |table: &Table<'_>, keys: [&str; 3]| keys.iter().any(|key| table.has(key));
    if let Some(written) = table.choice("login", &METHODS) {
        return Some(written.value);
    }
    if table.has("login") {
        // Which keys the account may have is unknown, so those of either way are accepted.
        table.ignore(&ADMIN_KEYS);
        table.ignore(&RINGEX_KEYS);
        return None;
    }
    // With keys of both ways it counts as `admin`, whose reader reports those that do not belong.
    if has_any(table, RINGEX_KEYS) && !has_any(table, ADMIN_KEYS) {
        let span = table.span();
        let message = "`login` is missing: the keys are those of a login by RingEX";
        table
            .issues()
            .error(span, message)
            .help("add `login = \"ringex\"`".to_owned());
        return Some(LoginMethodKey::RingEx);
    }
    Some(LoginMethodKey::Admin)
}

/// The source of a secret that may be left out where `passwords-dir` is set.
pub(crate) enum OwnSecret {
    Absent,
    /// Written, and recorded as an issue.
    Faulty,
    Source(At<SecretSource>),
}

impl OwnSecret {
    fn read(table: &mut Table<'_>, key: &'static str) -> Self {
        match table.secret(key) {
            Some(source) => Self::Source(source),
            None if table.has(key) => Self::Faulty,
            None => Self::Absent,
        }
    }

    /// Where it is read from; where it is absent, that is the file of the account's name in
    /// `passwords-dir`.
    pub fn source(
        &self,
        account: Option<&str>,
        passwords_dir: Option<&At<PathBuf>>,
    ) -> Option<At<SecretSource>> {
        match self {
            Self::Source(at) => Some(at.clone()),
            Self::Faulty => None,
            Self::Absent => {
                let directory = passwords_dir?;
                Some(At {
                    value: SecretSource::File(directory.value.join(account?)),
                    // At the directory's place: the path of the file itself is written nowhere.
                    span: directory.span,
                })
            }
        }
    }
}
