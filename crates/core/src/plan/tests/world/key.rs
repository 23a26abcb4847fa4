//! What two worlds must have in common to have the same future: a digest of all that counts, with
//! times as they are from now. Left out are the journal, the trail, words, and times that nothing
//! is reckoned from.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::mem::discriminant;

use chrono::{DateTime, Utc};

use super::{Flow, Outside, Place, Server, World};
use crate::account::{
    AccountState, Adoption, ClockFrame, Failure, ForeignToken, Generation, LastDelivery, OpenMint,
    SinkRecord,
};
use crate::config::AccountPolicy;
use crate::event::{ClockReading, Outcome};
use crate::plan::evidence::{
    Absence, ConsumerAck, Doubt, Evidence, FileScan, ListedBy, SinkContent, TokenList,
};
use crate::plan::tests::scene::user_of;
use crate::secret::Fingerprint;

/// Equal for worlds with the same future. Two that differ have the same one once in 2^128.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key(u64, u64);

/// What is longer past, or further off, than anything in a small world's policy is all the same.
const HORIZON: i64 = 60 * 3600 / 30;

/// More failures in a row than that make no wait longer.
const MOST_FAILURES: u32 = 8;

struct Digest {
    now: DateTime<Utc>,
    both: [DefaultHasher; 2],
}

impl Digest {
    fn put(&mut self, value: impl Hash) {
        self.both.iter_mut().for_each(|hasher| value.hash(hasher));
    }

    fn time(&mut self, at: DateTime<Utc>) {
        let off = (at - self.now).num_seconds();
        // The seconds between two looks make no other future, where all else is reckoned in minutes.
        let off = (off + 15).div_euclid(30);
        self.put(off.clamp(-HORIZON, HORIZON));
    }

    fn maybe(&mut self, at: Option<DateTime<Utc>>) {
        self.put(at.is_some());
        at.into_iter().for_each(|at| self.time(at));
    }

    /// A time that only counts as long as it is to come.
    fn until(&mut self, at: Option<DateTime<Utc>>) {
        self.maybe(at.filter(|at| *at > self.now));
    }
}

impl World {
    /// See [`Key`].
    pub fn key(&self) -> Key {
        let salted = |salt: u8| {
            let mut hasher = DefaultHasher::new();
            salt.hash(&mut hasher);
            hasher
        };
        let mut digest = Digest {
            now: self.out.now,
            both: [salted(1), salted(2)],
        };
        let Self {
            out,
            policy,
            state,
            seen,
            journal: _,
            password,
            rests_until,
            in_pass,
            texts,
            logged_in,
            told_time,
            ledger,
            truth,
            trail: _,
        } = self;
        digest.outside(out);
        for (token, had) in &out.flow.had {
            digest.put(token);
            // No policy here makes its overlap longer.
            digest.until(Some(*had + out.skew + policy.retention.overlap));
        }
        digest.policy(policy);
        digest.state(state);
        for sink in &policy.sinks {
            digest.put(self.is_as_delivered(sink));
        }
        digest.seen(seen, *in_pass);
        digest.maybe(*rests_until);
        digest.put((password, in_pass, texts, logged_in, ledger));
        digest.put((told_time, truth.is_unsure));
        digest.frame(&state.frame, &self.reading());
        for token in truth.tokens.keys() {
            digest.put(token);
            digest.until(self.truly_over(token));
        }
        let [one, other] = digest.both;
        Key(one.finish(), other.finish())
    }
}

impl Digest {
    /// How the times of the state compare with the clock as it is now.
    fn frame(&mut self, frame: &ClockFrame, now: &ClockReading) {
        let ClockFrame {
            reading,
            // It only tells a clock that cannot be, and is none here.
            last: _,
            earlier,
            stepped_ms,
        } = frame;
        self.put(reading.as_ref().map(|then| {
            let step = now.base_ms - then.base_ms;
            (then.boot == now.boot, step, then.skew)
        }));
        self.put(stepped_ms);
        self.put(earlier.and_then(|earlier| Some(earlier.known?.1)));
        self.maybe(earlier.and_then(|earlier| Some(earlier.known?.0)));
        self.maybe(earlier.and_then(|earlier| earlier.unknown_until));
    }

    fn outside(&mut self, out: &Outside) {
        let Outside {
            now: _,
            skew,
            boots: _,
            server,
            places,
            flow,
        } = out;
        let Server {
            users,
            late,
            made,
            revoked,
            page,
            down,
            password,
        } = server;
        self.put((skew.num_seconds(), users, made, page, down, password));
        for (at, user, token) in late {
            self.time(*at);
            self.put((user, token));
        }
        // Only of those that a sink still holds it matters who deleted them.
        for (target, place) in places {
            // How often it was changed says nothing; whether it was since is put with the policy's
            // sinks.
            let Place {
                holds,
                refuses,
                unreadable,
                version: _,
                deaf,
                untold,
                says,
            } = place;
            self.put((target, holds, refuses, unreadable, deaf, untold, says));
            self.put(place.holds.is_some_and(|token| revoked.contains(&token)));
        }
        let Flow {
            holds,
            unreadable,
            had: _,
        } = flow;
        self.put((holds, unreadable));
    }

    /// What a reload may change in a made-up world.
    fn policy(&mut self, policy: &AccountPolicy) {
        self.put((
            user_of(policy),
            policy.retention.max_age,
            policy.retention.overlap,
        ));
        self.put((
            policy.retention.max_live,
            discriminant(&policy.retention.foreign),
        ));
        self.put(discriminant(&policy.retention.lost_mint));
        for sink in &policy.sinks {
            self.put((&sink.name, sink.required, sink.kind.target()));
        }
    }

    fn state(&mut self, state: &AccountState) {
        let AccountState {
            seq: _,
            lines,
            generations,
            last_generation,
            foreign,
            open_mint,
            lost_mints,
            ambiguous_mints,
            sinks,
            released_sinks,
            lanes,
            asked_at,
            logins,
            // Nothing in these stories logs in by RingEX.
            ringex: _,
            server_quiet,
            accepted_secret,
            password_reset_since: _,
            clock,
            token_lost,
            open_delete,
            frame: _,
        } = state;
        // Of whom there are two, and who was in use last, is what counts.
        self.put((
            lines.len(),
            lines.last().map(|line| &line.username),
            last_generation,
            open_delete,
        ));
        for generation in generations.values() {
            self.generation(generation);
        }
        for (
            token,
            ForeignToken {
                first_seen_at,
                superseded_at,
                delete_sent,
                adoption,
            },
        ) in foreign
        {
            self.put((token, delete_sent));
            if let Some(Adoption {
                at,
                length: _,
                files,
                held_by,
                left_at,
            }) = adoption
            {
                self.put((files, held_by));
                self.time(*at);
                self.maybe(*left_at);
            }
            self.time(*first_seen_at);
            self.maybe(*superseded_at);
        }
        if let Some(OpenMint {
            generation,
            at,
            baseline,
        }) = open_mint
        {
            self.put((generation, baseline));
            self.time(*at);
        }
        for lost in lost_mints {
            self.put(lost.generation);
            self.until(Some(lost.open_until));
        }
        for unclear in ambiguous_mints {
            self.put((unclear.generation, &unclear.candidates));
            self.time(unclear.at);
        }
        for (name, record) in sinks.iter().chain(released_sinks) {
            self.sink(name, record);
        }
        for (lane, failure) in lanes {
            let Failure {
                since: _,
                last,
                incident,
                error: _,
                count,
                next_attempt_at,
                rejected,
            } = failure;
            self.put((
                lane,
                incident,
                (*count).min(MOST_FAILURES),
                rejected.map(|tag| format!("{tag:?}")),
            ));
            self.until(Some(*next_attempt_at));
            // A failure that is yet to come, as the clock was set back, holds nothing back.
            self.until(Some(*last));
        }
        self.until(server_quiet.map(|quiet| quiet.until));
        self.put((
            accepted_secret.map(|tag| format!("{tag:?}")),
            asked_at.is_some(),
            clock.is_some(),
            token_lost.as_ref().map(|loss| loss.generation),
        ));
        let minute = chrono::TimeDelta::minutes(1);
        let now = self.now;
        for login in logins.iter().filter(|at| (now - **at).abs() < minute) {
            self.time(*login);
        }
    }

    fn generation(&mut self, generation: &Generation) {
        let Generation {
            number,
            fingerprint,
            line,
            minted_at,
            learnt,
            verified_at,
            promoted_at,
            superseded_at,
            set_aside,
            delete_sent,
            retired,
            lost_at,
            unlisted_since,
        } = generation;
        self.put((number, fingerprint, line, discriminant(learnt), delete_sent));
        self.put((
            verified_at.is_some(),
            set_aside.is_some(),
            retired.is_some(),
            lost_at.is_some(),
        ));
        self.put((promoted_at.is_some(), superseded_at.is_some()));
        if generation.is_alive() || lost_at.is_some() {
            self.time(*minted_at);
            self.maybe(*promoted_at);
            self.maybe(*superseded_at);
            self.maybe(*unlisted_since);
        }
    }

    fn sink(&mut self, name: &str, record: &SinkRecord) {
        let SinkRecord {
            sink_type: _,
            target,
            bound_at: _,
            intended,
            last_delivery,
            proved,
            parked,
            drifted,
            awaits_proof,
            taken,
            notify_owed,
            acknowledged,
        } = record;
        self.put((
            name,
            target,
            intended,
            parked,
            drifted.is_some(),
            awaits_proof,
        ));
        self.put(proved.map(|(generation, _)| generation));
        self.put(taken.as_ref().map(|(generation, _)| generation));
        self.put((notify_owed, acknowledged.map(|(generation, _)| generation)));
        self.put(match last_delivery {
            LastDelivery::Never => 0,
            LastDelivery::Open => 1,
            LastDelivery::Done => 2,
            LastDelivery::Failed(Outcome::NotDone) => 3,
            LastDelivery::Failed(Outcome::Unknown) => 4,
        });
    }

    fn seen(&mut self, seen: &Evidence, in_pass: bool) {
        let Evidence {
            sinks,
            claims,
            files,
            peers: _,
            released,
            list,
            preflight,
            doubts,
            absent,
            unrecorded,
            deleted,
            looked_again,
            last_listed_at,
            values,
            secret_tag,
            work,
            is_strange,
        } = seen;
        self.maybe(*last_listed_at);
        self.put((unrecorded, is_strange));
        self.doubts(doubts);
        for (token, absence) in absent {
            let Absence {
                first,
                last,
                refused,
                alive,
            } = absence;
            self.put((token, refused, alive));
            self.look(*first);
            self.look(*last);
        }
        // The rest is forgotten when the next pass begins.
        if !in_pass {
            return;
        }
        self.maybe(work.map(|work| work.began));
        self.put(secret_tag.map(|tag| format!("{tag:?}")));
        self.put((values, released.len(), sinks.is_some(), list.is_some()));
        self.put((deleted, looked_again));
        for (name, held) in sinks.iter().flatten() {
            self.put((name, discriminant(held)));
            if let SinkContent::Token(token) = held {
                self.put(token);
            }
        }
        if let Some(TokenList {
            at,
            tokens,
            by,
            skew,
        }) = list
        {
            self.time(*at);
            self.put((tokens, skew.map(|skew| skew.num_seconds())));
            match by {
                ListedBy::Login => self.put(0),
                ListedBy::Token(token) => self.put(token),
            }
        }
        for found in files.values() {
            match found {
                FileScan::Holds(found) => self.put(found),
                FileScan::Unknown(_) => self.put(0),
            }
        }
        for (name, claim) in claims {
            self.put(name);
            match claim {
                ConsumerAck::Uses(token) => self.put(token),
                ConsumerAck::UsesGeneration(number) => self.put(number),
                ConsumerAck::Odd(_) => self.put(0),
            }
        }
        self.put(
            preflight
                .as_ref()
                .map(|unfit| unfit.keys().collect::<Vec<_>>()),
        );
    }

    fn doubts(&mut self, doubts: &BTreeMap<Fingerprint, Doubt>) {
        for (token, doubt) in doubts {
            let Doubt {
                looks,
                missing,
                unlisted,
                refused,
                refused_in_a_sink,
                contradicted,
            } = doubt;
            self.put((token, missing, unlisted, refused));
            self.put((refused_in_a_sink, contradicted));
            if let Some((first, last)) = looks {
                self.look(*first);
                self.look(*last);
            }
        }
    }

    /// When a look was: two lie apart or not, beyond which nothing counts.
    fn look(&mut self, at: DateTime<Utc>) {
        self.put((self.now - at).num_seconds().clamp(-10, 10));
    }
}
