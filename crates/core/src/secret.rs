//! Secrets, the tokens among them, and the fingerprints that stand for tokens everywhere else.
//!
//! A [`Secret`] and a [`Token`] have neither `Debug` nor `Display` nor `Serialize`: they cannot
//! reach a log, an error or the journal by accident. Their memory is wiped when they are dropped.
//! What this does not cover: copies made by the HTTP and TLS libraries while a request is under
//! way.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest, Sha256};

pub mod find;
pub mod redact;

/// A password, a webhook key, an access token: text that must never be shown.
#[derive(Clone)]
pub struct Secret(SecretString);

impl Secret {
    /// Takes the text in; the caller's copy, if any, stays the caller's to wipe.
    pub fn new(text: impl Into<String>) -> Self {
        Self(SecretString::from(text.into()))
    }

    /// The text itself. Every call is a place to check for leaks.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

/// Where a secret is read from, each time it is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretSource {
    /// A systemd credential: a file of this name in `$CREDENTIALS_DIRECTORY`.
    Credential(String),
    /// A file; one trailing line end is not part of the secret.
    File(PathBuf),
    /// An environment variable of the daemon.
    Env(String),
    /// What a command prints; one trailing line end is not part of the secret.
    Command(SecretCommand),
}

impl SecretSource {
    /// How long reading it may take, where that is limited.
    pub fn longest_read(&self) -> Duration {
        match self {
            Self::Command(command) => command.timeout,
            Self::Credential(_) | Self::File(_) | Self::Env(_) => Duration::ZERO,
        }
    }
}

/// A program and what it is given, known to be one: the program is a bare name or an absolute path.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretCommand {
    /// The program, then its arguments: for example `pass`, `show`, `ringcx`.
    pub argv: Vec<String>,
    /// How long it may take.
    pub timeout: Duration,
}

impl SecretCommand {
    /// The program's name, which is all that is shown of it: its arguments may name what they
    /// should not.
    pub fn program(&self) -> &str {
        let program = self.argv.first().map_or("", String::as_str);
        program.rsplit('/').next().unwrap_or(program)
    }
}

// Not derived: that would show the arguments.
impl fmt::Debug for SecretCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretCommand({} …, {:?})", self.program(), self.timeout)
    }
}

/// A permanent RingCX API token, of the one form that is accepted: `[A-Za-z0-9._~:-]{8,256}`.
#[derive(Clone)]
pub struct Token(Secret);

/// Why a text is not a token. Never says what the text was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenFormError {
    /// Shorter than 8 or longer than 256 bytes.
    #[error("a token has 8 to 256 characters, this has {got}")]
    Length {
        /// Number of bytes that the text has.
        got: usize,
    },
    /// A byte outside `[A-Za-z0-9._~:-]`, as in HTML or an error text.
    #[error(
        "a token has only letters, digits and . _ ~ : -, this has another character at position {at}"
    )]
    Character {
        /// Byte offset of the first one.
        at: usize,
    },
}

impl Token {
    /// Accepts the exact token text; trimming and unquoting are the caller's business.
    pub fn try_new(text: &str) -> Result<Self, TokenFormError> {
        if !(8..=256).contains(&text.len()) {
            return Err(TokenFormError::Length { got: text.len() });
        }
        match text.bytes().position(|byte| !is_of_a_token(byte)) {
            Some(at) => Err(TokenFormError::Character { at }),
            None => Ok(Self(Secret::new(text))),
        }
    }

    /// The token's text. Every call is a place to check for leaks.
    pub fn expose(&self) -> &str {
        self.0.expose()
    }

    /// What stands for this token in the journal, in logs and in `status`.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(self.expose().as_bytes())
    }

    /// The form in which a token is shown: the part before the colon and the last four characters.
    pub fn masked(&self) -> String {
        let text = self.expose();
        let head = text.split_once(':').map_or("", |(head, _)| head);
        // A short token would be half shown by its tail: then nothing of it is.
        let tail = if text.len() - head.len() >= 24 {
            &text[text.len() - 4..]
        } else {
            ""
        };
        let head = if head.len() <= 16 && !head.is_empty() {
            format!("{head}:")
        } else {
            String::new()
        };
        format!("{head}…{tail}")
    }
}

/// Whether a token may have this byte in it.
fn is_of_a_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"._~:-".contains(&byte)
}

/// The SHA-256 of a token. Says which token is meant without giving it away.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// The fingerprint of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// The first 12 hex digits, as shown to people.
    pub fn short(&self) -> String {
        self.to_string()[..12].to_owned()
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Enough to tell tokens apart in an error or a failed test.
        write!(f, "{}", self.short())
    }
}

/// The text was not 64 hex digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a fingerprint is 64 hex digits")]
pub struct FingerprintFormError;

impl FromStr for Fingerprint {
    type Err = FingerprintFormError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // Each byte is looked at here, as `from_str_radix` would accept a `+`.
        if text.len() != 64 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(FingerprintFormError);
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            let pair = std::str::from_utf8(pair).map_err(|_| FingerprintFormError)?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_| FingerprintFormError)?;
        }
        Ok(Self(bytes))
    }
}

impl Serialize for Fingerprint {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Fingerprint {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

/// Sixteen bits of a secret under a salt: enough to see that a password was changed, too little to
/// help anyone guess it (one wrong password in 65,536 has the same tag).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretTag(u16);

impl SecretTag {
    /// The tag of this secret under this salt (the account's name and login).
    pub fn of(salt: &str, secret: &Secret) -> Self {
        let mut hash = Sha256::new();
        // The length first: otherwise another salt and secret could make up the same bytes.
        hash.update((salt.len() as u64).to_be_bytes());
        hash.update(salt.as_bytes());
        hash.update(secret.expose().as_bytes());
        let digest = hash.finalize();
        Self(u16::from_be_bytes([digest[0], digest[1]]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_stated_form_is_a_token() {
        assert!(Token::try_new("aws80:c2353445-bc74-af1a-2850-1d55a371c0a9").is_ok());
        for (text, why) in [
            ("", TokenFormError::Length { got: 0 }),
            ("short:1", TokenFormError::Length { got: 7 }),
            (
                "<html>502 Bad Gateway</html>",
                TokenFormError::Character { at: 0 },
            ),
            ("aws80:abc def-123", TokenFormError::Character { at: 9 }),
            ("aws80:abcdef-123\n", TokenFormError::Character { at: 16 }),
        ] {
            assert_eq!(Token::try_new(text).err(), Some(why), "{text:?}");
        }
        assert!(Token::try_new(&"a".repeat(257)).is_err());
    }

    #[test]
    fn a_shown_token_gives_nothing_away() {
        let shown = |text| Token::try_new(text).unwrap().masked();
        assert_eq!(
            shown("aws80:c2353445-bc74-af1a-2850-1d55a371c0a9"),
            "aws80:…c0a9"
        );
        assert_eq!(shown("aws80:12345678"), "aws80:…");
        assert_eq!(shown("abcdefgh"), "…");
    }

    #[test]
    fn a_fingerprint_survives_its_text() {
        let fingerprint = Fingerprint::of(b"aws80:one");
        assert_eq!(fingerprint.to_string().parse(), Ok(fingerprint));
        assert_eq!(
            "zz".repeat(32).parse::<Fingerprint>(),
            Err(FingerprintFormError)
        );
        assert_eq!(
            "é".repeat(32).parse::<Fingerprint>(),
            Err(FingerprintFormError)
        );
    }
}
