//! The account as a whole: its login, its clock, what an operator asked for.

use chrono::{DateTime, Utc};

use crate::account::{AccountState, ClockTrouble, LoginEpoch, RingexUse, ServerQuiet, is_recent};
use crate::event::{BackoffKey, Event};

impl AccountState {
    /// The account as a whole: its login, its clock, what an operator asked for.
    pub(super) fn apply_account(&mut self, at: DateTime<Utc>, event: &Event) {
        match event {
            Event::LineStarted {
                username,
                platform_id,
            } => self.start_line(username, platform_id, at),
            Event::RotationAsked => self.asked_at = Some(at),
            Event::RingexAttempted { client_id } => {
                let ringex = self.ringex_of(client_id);
                // Only what still counts is kept, so neither queue of times can grow without end.
                ringex.attempts.retain(|earlier| is_recent(*earlier, at));
                ringex.attempts.push_back(at);
            }
            Event::RingexQuiet { client_id, until } => {
                self.ringex_of(client_id).backoff_until = Some(*until)
            }
            Event::ServerQuiet { until } => {
                // A later answer may ask for less: it does not shorten a pause that still runs.
                let running = self
                    .server_quiet
                    .filter(|quiet| quiet.since <= at && quiet.until > at);
                self.server_quiet = Some(ServerQuiet {
                    since: at,
                    until: running.map_or(*until, |quiet| quiet.until.max(*until)),
                });
            }
            Event::SecretAccepted { tag } => self.accepted_secret = Some(*tag),
            Event::LoginAttempted => {
                self.logins.retain(|earlier| is_recent(*earlier, at));
                self.logins.push_back(at);
            }
            Event::PasswordReset { required } => {
                // Demanded twice in a row, it counts from the first time.
                self.password_reset_since =
                    required.then(|| self.password_reset_since.unwrap_or(at));
            }
            Event::ClockDisagreed { skew_seconds } => {
                let since = self.clock.map_or(at, |trouble| trouble.since);
                self.clock = Some(ClockTrouble {
                    since,
                    skew_seconds: *skew_seconds,
                });
            }
            Event::ClockAgreed => self.clock = None,
            // What it tells is in the row's reading of the clock, and was folded in before it.
            Event::ClockStepped { .. } => {}
            crate::backoff_events!()
            | crate::foreign_events!()
            | crate::mint_events!()
            | crate::token_events!()
            | crate::sink_events!()
            | crate::consumer_events!() => {}
        }
    }

    fn start_line(&mut self, username: &str, platform_id: &str, at: DateTime<Utc>) {
        let former = format!("the account logs in as another user since {at}");
        for generation in self
            .generations
            .values_mut()
            .filter(|generation| generation.is_alive())
        {
            generation.set_aside.get_or_insert_with(|| former.clone());
        }
        self.lines.push(LoginEpoch {
            username: username.to_owned(),
            platform_id: platform_id.to_owned(),
            since: at,
        });
        // What is known of the old login does not hold for the new one.
        self.foreign.clear();
        self.open_mint = None;
        self.lost_mints.clear();
        self.ambiguous_mints.clear();
        self.server_quiet = None;
        self.accepted_secret = None;
        self.password_reset_since = None;
        self.token_lost = None;
        self.open_delete = None;
        // A sink fails for its file or its host, which another login does not change.
        self.lanes
            .retain(|lane, _| matches!(lane, BackoffKey::Sink(_)));
    }

    /// What was asked of this app. Another app has limits of its own, so the count begins again.
    fn ringex_of(&mut self, client_id: &str) -> &mut RingexUse {
        if self.ringex.client_id != client_id {
            self.ringex = RingexUse {
                client_id: client_id.to_owned(),
                ..RingexUse::default()
            };
        }
        &mut self.ringex
    }
}
