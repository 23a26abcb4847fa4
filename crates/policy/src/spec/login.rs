//! How an `[[account]]` logs in. Its `login` says which other keys there are.

use super::{At, SecretSource, Table, value};

/// What follows from `login`.
pub(crate) enum LoginSpec {
    /// `login = "admin"`, or nothing said.
    Admin {
        /// `username`
        username: Option<At<String>>,
        /// `password`
        password: OwnSecret,
        /// `platform-id`
        platform_id: Option<At<String>>,
    },
    /// `login = "ringex"`
    RingEx {
        /// `client-id`
        client_id: Option<At<String>>,
        /// `client-secret`
        client_secret: Option<At<SecretSource>>,
        /// `jwt`
        jwt: Option<At<SecretSource>>,
    },
}

#[derive(Clone, Copy)]
enum LoginMethodKey {
    Admin,
    RingEx,
}

const ADMIN_KEYS: [&str; 3] = ["username", "password", "platform-id"];
const RINGEX_KEYS: [&str; 3] = ["client-id", "client-secret", "jwt"];

impl LoginSpec {
    pub fn read(table: &mut Table<'_>) -> Option<Self> {
        let written = table.choice(
            "login",
            &[
                ("admin", LoginMethodKey::Admin),
                ("ringex", LoginMethodKey::RingEx),
            ],
        );
        let has_any = |table: &Table<'_>, keys: [&str; 3]| keys.iter().any(|key| table.has(key));
        let way = match written {
            Some(way) => way.value,
            // Which keys it may have is unknown, so those of either will do.
            None if table.has("login") => {
                table.ignore(&ADMIN_KEYS);
                table.ignore(&RINGEX_KEYS);
                return None;
            }
            None if has_any(table, RINGEX_KEYS) && !has_any(table, ADMIN_KEYS) => {
                let span = table.span();
                table
                    .issues()
                    .error(
                        span,
                        "`login` is missing: the keys are those of a login by RingEX",
                    )
                    .help("add `login = \"ringex\"`".to_owned());
                LoginMethodKey::RingEx
            }
            None => LoginMethodKey::Admin,
        };
        Some(match way {
            LoginMethodKey::Admin => {
                table.elsewhere(
                    &RINGEX_KEYS,
                    "it belongs to an account with `login = \"ringex\"`",
                );
                Self::Admin {
                    username: table.required("username", &value::LINE),
                    password: OwnSecret::read(table, "password"),
                    platform_id: table.required("platform-id", &value::PLATFORM),
                }
            }
            LoginMethodKey::RingEx => {
                table.elsewhere(
                    &ADMIN_KEYS,
                    "it belongs to an account with `login = \"admin\"`: here the JWT says who logs in",
                );
                Self::RingEx {
                    client_id: table.required("client-id", &value::CLIENT_ID),
                    client_secret: table.required_secret("client-secret"),
                    jwt: table.required_secret("jwt"),
                }
            }
        })
    }

    /// Whether `passwords-dir` has its password: it has no JWTs, so that one is never sent as the
    /// other.
    pub fn leaves_password_to_the_directory(&self) -> bool {
        match self {
            Self::Admin { password, .. } => matches!(password, OwnSecret::Absent),
            Self::RingEx { .. } => false,
        }
    }

    /// Where secrets are read from that were named.
    pub fn sources(&self) -> impl Iterator<Item = &At<SecretSource>> {
        let sources = match self {
            Self::Admin {
                password: OwnSecret::Source(source),
                ..
            } => [Some(source), None],
            Self::Admin {
                password: OwnSecret::Absent | OwnSecret::Faulty,
                ..
            } => [None, None],
            Self::RingEx {
                client_secret, jwt, ..
            } => [client_secret.as_ref(), jwt.as_ref()],
        };
        sources.into_iter().flatten()
    }
}

/// The source of a secret that may be left out where `passwords-dir` is set.
pub(crate) enum OwnSecret {
    /// Not written.
    Absent,
    /// Written, and recorded as a fault.
    Faulty,
    /// Written.
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
}
