//! Telling the consumers of sinks that there is another token.

use crate::process::{self, Ended, ProcessError, Program};
use crate::reconcile::interrupt::Interrupt;
use crate::reconcile::state::{Observer, Reconciler};
use crate::ringcx::{TokenApi, redact};
use crate::sinks::blocking;
use rotator_core::config::{Notify, NotifyWhat};
use rotator_core::event::{BackoffKey, Event, IncidentKind};
use rotator_core::journal::Journal;
use rotator_core::secret::redact::encoded;

impl<A: TokenApi, J: Journal, W: Observer> Reconciler<A, J, W> {
    /// Runs the `notify` that these sinks share, once for all of them. It may be run twice, where a
    /// crash comes between the run and its record; it is never left out.
    pub(super) async fn notify(&mut self, sinks: Vec<String>) -> Result<(), Interrupt> {
        let policies = self.config.account.sinks.iter();
        let Some(policy) = policies
            .filter(|policy| sinks.contains(&policy.name))
            // These sinks share one `notify`, so the first of them has it for all.
            .find_map(|policy| policy.notify.clone())
        else {
            return Ok(());
        };
        let ended = run(policy.clone()).await;
        self.progress();
        let outcome = self.notify_outcome(&policy, ended);
        let mut events = Vec::new();
        for sink in sinks {
            let record = self.state.sinks.get(&sink);
            let Some(generation) = record.and_then(|record| record.notify_owed) else {
                continue;
            };
            let key = BackoffKey::Notify(sink.clone());
            match &outcome {
                Ok(note) => {
                    let note = note.clone();
                    events.push(Event::Notified {
                        sink,
                        generation,
                        note,
                    });
                    events.extend(self.cleared(key));
                }
                Err(error) => {
                    let error = error.clone();
                    events.push(self.failure(key, IncidentKind::NotifyFailed, error, None));
                }
            }
        }
        Ok(self.record(events).await?)
    }

    /// What a successful run printed, or what to say about one that failed.
    fn notify_outcome(
        &self,
        policy: &Notify,
        ended: Result<Ended, ProcessError>,
    ) -> Result<Option<String>, String> {
        // It is given no secret, but it may have read the token in the sink and print it.
        let texts = || self.server.session.known_texts();
        let encoded: Vec<_> = texts().flat_map(encoded).collect();
        let secrets: Vec<&str> = texts()
            .chain(encoded.iter().map(|text| text.as_str()))
            .collect();
        let printed = |bytes: &[u8]| redact::said(bytes, &secrets);
        match ended {
            Ok(ended) if ended.status.success() => {
                Ok(Some(printed(&ended.stdout)).filter(|note| !note.is_empty()))
            }
            Ok(ended) => {
                let how = process::ending(ended.status);
                Err(explain(policy, &how, &printed(&ended.stderr)) + advice(policy, &ended))
            }
            Err(ProcessError::TimedOut {
                timeout, stderr, ..
            }) => {
                let how = format!("took longer than {timeout:?} and was ended");
                Err(explain(policy, &how, &printed(&stderr)))
            }
            Err(
                error @ (ProcessError::Nothing
                | ProcessError::Start { .. }
                | ProcessError::Lost { .. }),
            ) => Err(explain(policy, &error.to_string(), "")),
        }
    }
}

async fn run(policy: Notify) -> Result<Ended, ProcessError> {
    // On a thread of its own: the program may take its whole timeout.
    blocking(move || {
        let argv = policy.argv();
        process::run(Program {
            argv: &argv,
            environment: &[],
            stdin: Default::default(),
            timeout: policy.timeout,
        })
    })
    .await
}

fn explain(policy: &Notify, what: &str, said: &str) -> String {
    if said.is_empty() {
        format!("{policy}: {what}")
    } else {
        format!("{policy}: {what}: {said}")
    }
}

/// What to do where polkit does not let the service act on a unit. Recognised by systemctl's
/// messages, which are English because it is run under `C.UTF-8`.
fn advice(policy: &Notify, ended: &Ended) -> &'static str {
    let said = String::from_utf8_lossy(&ended.stderr);
    let is_refused = ["Interactive authentication required", "Access denied"]
        .iter()
        .any(|words| said.contains(words));
    match policy.what {
        NotifyWhat::Unit { .. } if is_refused => {
            "; polkit does not let the service do this: run `ringcx-rotator systemd-dropin --polkit --write`"
        }
        NotifyWhat::Unit { .. } | NotifyWhat::Program(_) => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_that_polkit_keeps_us_from_is_told_with_the_command_that_lets_us() {
        use std::os::unix::process::ExitStatusExt;
        let ended = |stderr: &str| Ended {
            status: std::process::ExitStatus::from_raw(256),
            stdout: Default::default(),
            stderr: stderr.as_bytes().to_vec().into(),
        };
        let notify = |what| Notify {
            what,
            timeout: std::time::Duration::from_secs(1),
        };
        let action = rotator_core::config::UnitAction::Restart;
        let unit = notify(NotifyWhat::Unit {
            unit: "dialer.service".to_owned(),
            action,
        });
        let refused = "Failed to restart dialer.service: Interactive authentication required.\nSee system logs.\n";
        assert!(advice(&unit, &ended(refused)).contains("systemd-dropin --polkit"));
        assert!(
            advice(
                &unit,
                &ended("Failed to restart dialer.service: Access denied\n")
            )
            .contains("polkit")
        );
        assert_eq!(
            advice(
                &unit,
                &ended("Failed to restart dialer.service: Unit not found.\n")
            ),
            ""
        );
        let program = notify(NotifyWhat::Program(vec!["systemctl".to_owned()]));
        assert_eq!(advice(&program, &ended(refused)), "");
    }
}
