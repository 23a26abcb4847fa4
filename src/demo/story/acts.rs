//! The acts, in order. Each makes one thing happen and waits until it is over.

use super::super::stage::{ACCOUNTS, Actor, ENV_FILE};
use super::{QUIET, Story, StoryError};
use rotator_core::event::{Event, GenerationNo, MintSource};
use rotator_core::secret::Fingerprint;
use rotator_simulator::receiver::Behavior;
use rotator_simulator::{Call, Fault, Times};

impl Story<'_> {
    /// From the first token to SIGTERM.
    pub async fn play(&mut self) -> Result<(), StoryError> {
        self.first_tokens().await?;
        self.rotations_by_schedule().await?;
        self.a_lost_answer().await?;
        self.a_failing_webhook().await?;
        self.a_deleted_file().await?;
        self.by_hand().await?;
        self.stop().await
    }

    async fn first_tokens(&mut self) -> Result<(), StoryError> {
        self.act("1. Two accounts get their first tokens");
        self.until("the first token of both accounts", |story| {
            ACCOUNTS
                .iter()
                .all(|account| story.watch.current(account) >= GenerationNo(1))
        })
        .await?;
        self.note("an IVR flow reads each token file from now on, some 200 times a second");
        let text = "another calls with the key that the auth config inside RingCX holds, 50 times \
                    a second";
        self.note(text);
        Ok(())
    }

    async fn rotations_by_schedule(&mut self) -> Result<(), StoryError> {
        self.act("2. Rotation every 5 s; what was replaced is deleted 2 s later");
        self.until(
            "a second token, and the first to be deleted, in both accounts",
            |story| {
                ACCOUNTS.iter().all(|account| {
                    let state = story.watch.state(account);
                    // By the server's record and not by the journal alone.
                    let first_is_gone = story.is_gone(&state, GenerationNo(1));
                    first_is_gone
                        && state
                            .current()
                            .is_some_and(|current| current.number >= GenerationNo(2))
                })
            },
        )
        .await?;
        self.count_reads();
        Ok(())
    }

    async fn a_lost_answer(&mut self) -> Result<(), StoryError> {
        self.act("3. The answer to a mint gets lost: RingCX made a token, nobody heard");
        let sales = &self.stage.actors[0];
        self.stage
            .ringcx
            // For this user only: the other account's next mint may come first.
            .inject_for(&sales.user, Call::Mint, Fault::LostAnswer, Times::Once);
        self.note(&format!(
            "the next mint for {} will be cut off before its answer",
            sales.name
        ));
        self.until("the lost token to be found and put to use", |story| {
            let recovered = story.watch.trail(sales.name).iter().find_map(|recorded| {
                let Event::Minted {
                    generation,
                    how: MintSource::Recovered,
                    ..
                } = recorded.event
                else {
                    return None;
                };
                Some(generation)
            });
            recovered.is_some_and(|generation| story.watch.current(sales.name) >= generation)
        })
        .await?;
        self.count_reads();
        Ok(())
    }

    async fn a_failing_webhook(&mut self) -> Result<(), StoryError> {
        self.act("4. A webhook fails");
        let support = &self.stage.actors[1];
        support.receiver.answer(Behavior::Status(500));
        self.note(&format!(
            "from now on, {}'s webhook answers 500",
            support.name
        ));
        self.until("the mail about the failing webhook", |story| {
            story.pending(support.name).is_some() && story.mails_of(support.name, "(FIRING)") > 0
        })
        .await?;
        self.show_mail("sink crm failed (FIRING)");
        // Noted before the webhook works again, because it is promoted soon after.
        let pending = self.pending(support.name).unwrap_or(GenerationNo(0));
        self.note(&self.what_is_held(support, pending));

        support.receiver.answer(Behavior::Receipt);
        self.note("the webhook is well again");
        self.until(
            "the token that waited to be delivered, and the mail that it is over",
            |story| {
                story.watch.current(support.name) >= pending
                    && story.mails_of(support.name, "(RESOLVED)") > 0
            },
        )
        .await?;
        self.count_reads();
        Ok(())
    }

    async fn a_deleted_file(&mut self) -> Result<(), StoryError> {
        self.act("5. Somebody deletes a file");
        let sales = &self.stage.actors[0];
        let path = &sales.env_file;
        let drift = |story: &Self| {
            let trail = story.watch.trail(sales.name);
            trail
                .iter()
                .position(|recorded| matches!(recorded.event, Event::Drifted { .. }))
        };
        // A rotation in this very moment writes the file before anyone misses it: then it goes once
        // more.
        while drift(self).is_none() {
            self.settled().await?;
            let before = self.watch.current(sales.name);
            // Right after a quiet moment, so that most times no rotation interferes.
            std::fs::remove_file(path).map_err(|source| StoryError::File {
                path: path.clone(),
                source,
            })?;
            self.note(&format!("rm …/{}/dialer.env", sales.name));
            self.until("the deleted file to be missed", |story| {
                drift(story).is_some() || story.watch.current(sales.name) > before
            })
            .await?;
        }
        self.until("the deleted file to be written again", |story| {
            let proved =
                |event: &Event| matches!(event, Event::Proved { sink, .. } if sink == ENV_FILE);
            let trail = story.watch.trail(sales.name);
            drift(story).is_some_and(|drift| {
                trail[drift..]
                    .iter()
                    .any(|recorded| proved(&recorded.event))
            })
        })
        .await
    }

    async fn by_hand(&mut self) -> Result<(), StoryError> {
        self.act("6. An operator rotates by hand");
        self.settled().await?;
        // In a quiet moment, so that its output is about this rotation alone.
        self.operate(&["rotate", "--all"]).await?;
        self.operate(&["status"]).await?;
        let old: Vec<(&str, GenerationNo)> = ACCOUNTS
            .iter()
            .map(|account| (*account, GenerationNo(self.watch.current(account).0 - 1)))
            .collect();
        self.until("the tokens before these to be deleted", |story| {
            old.iter().all(|(account, number)| {
                (1..=number.0)
                    // All older ones, because a rotation by schedule may have come between.
                    .all(|older| story.is_gone(&story.watch.state(account), GenerationNo(older)))
            })
        })
        .await?;
        self.count_reads();
        Ok(())
    }

    async fn stop(&mut self) -> Result<(), StoryError> {
        self.act("7. The daemon is told to end");
        self.settled().await?;
        self.note("SIGTERM");
        // SIGTERM as systemd sends it, and not the kill of `Drop`.
        self.terminate();
        // Its end is what ends the wait.
        self.until("the daemon to end", |_| false).await
    }

    /// Nothing is under way, and nothing has just been.
    async fn settled(&mut self) -> Result<(), StoryError> {
        self.until("a moment without work under way", |story| {
            ACCOUNTS.iter().all(|account| {
                let state = story.watch.state(account);
                let last = story
                    .watch
                    .trail(account)
                    .last()
                    .map(|recorded| recorded.at);
                // By the last event's time: without a pause a next step may be about to be
                // recorded.
                let quiet = last.is_some_and(|at| story.timeline.now() - at > QUIET);
                quiet
                    && state.pending().is_none()
                    && state.open_mint.is_none()
                    && state.open_delete.is_none()
            })
        })
        .await
    }

    /// What the webhook's far end has while a newer token waits.
    fn what_is_held(&self, actor: &Actor, pending: GenerationNo) -> String {
        let Some(token) = actor.receiver.held_token() else {
            return "the webhook has no token".to_owned();
        };
        let state = self.watch.state(actor.name);
        let held = state.by_fingerprint(&Fingerprint::of(token.as_bytes()));
        let held = held.map_or_else(
            || "a token of others".to_owned(),
            |generation| format!("generation {}", generation.number),
        );
        let works = if self.stage.ringcx.record().is_alive(&token) {
            "still works"
        } else {
            "is dead"
        };
        format!("generation {pending} waits; the webhook has {held}, which {works}")
    }
}
