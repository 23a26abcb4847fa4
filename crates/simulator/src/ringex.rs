//! RingEX as far as a login needs it: apps, JWTs, and the access tokens given for them.
//!
//! Knows no HTTP and no RingCX.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use super::random;

/// The apps and JWTs that RingEX is started with.
#[derive(Clone, Default)]
pub struct RingexSetup {
    /// Apps and their secrets; without any, every app is one.
    pub apps: BTreeMap<String, String>,
    /// JWTs, and the RingCX users they name.
    pub jwts: BTreeMap<String, String>,
}

/// RingEX with the access tokens that it issued.
pub(super) struct RingexServer {
    pub(super) setup: RingexSetup,
    tokens: BTreeMap<String, (String, DateTime<Utc>)>,
}

/// Why there is no access token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OauthRefusal {
    Client,
    Grant,
    GrantType,
    Flow,
}

impl RingexServer {
    pub(super) fn new(setup: RingexSetup) -> Self {
        Self {
            setup,
            tokens: BTreeMap::new(),
        }
    }

    pub(super) fn user_of_jwt(&self, jwt: &str) -> Option<&str> {
        self.setup.jwts.get(jwt).map(String::as_str)
    }

    /// A new access token, as any number of others may live beside it.
    pub(super) fn give(
        &mut self,
        client_id: &str,
        client_secret: &str,
        grant_type: &str,
        jwt: &str,
        until: DateTime<Utc>,
    ) -> Result<String, OauthRefusal> {
        let fits = |secret: &String| secret == client_secret;
        if !self.setup.apps.is_empty() && !self.setup.apps.get(client_id).is_some_and(fits) {
            return Err(OauthRefusal::Client);
        }
        if grant_type != "urn:ietf:params:oauth:grant-type:jwt-bearer" {
            return Err(OauthRefusal::GrantType);
        }
        let user = self.user_of_jwt(jwt).ok_or(OauthRefusal::Grant)?.to_owned();
        // The tokens of the real RingEX begin like this too.
        let token = format!("U0pDMTFQ{}", random::opaque());
        self.tokens.insert(token.clone(), (user, until));
        Ok(token)
    }

    /// The user whose access token this is, if it lives.
    pub(super) fn user_of_token(&self, now: DateTime<Utc>, token: &str) -> Option<&str> {
        self.tokens
            .get(token)
            .filter(|(_, until)| now < *until)
            .map(|(user, _)| user.as_str())
    }

    /// Every access token ever given.
    pub(super) fn tokens(&self) -> Vec<String> {
        self.tokens.keys().cloned().collect()
    }

    /// Ends every access token.
    pub(super) fn revoke_tokens(&mut self) {
        self.tokens
            .values_mut()
            // Ended and not removed: `tokens` has to answer every token ever given, for the search
            // of logs.
            .for_each(|(_, until)| *until = DateTime::<Utc>::MIN_UTC);
    }
}
