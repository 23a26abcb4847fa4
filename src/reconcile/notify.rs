//! Telling those who read a sink, and hearing what they say they use.

use std::collections::BTreeMap;

use futures_util::future::join_all;

use super::pass::Interrupt;
use super::{Observer, Reconciler};
use crate::process::{self, Ended, ProcessError, Program};
use crate::ringcx::{TokenApi, redact};
use crate::sinks::{atomic_file, blocking};
use rotator_core::config::{Notify, NotifyWhat, SinkPolicy};
use rotator_core::event::{BackoffKey, Event, GenerationNo, IncidentKind};
use rotator_core::journal::Journal;
use rotator_core::plan::evidence::ConsumerAck;
use rotator_core::secret::redact::encoded;

/// A fingerprint, or a number, and what people put around it.
const LARGEST_CLAIM: u64 = 1024;

impl<A: TokenApi, J: Journal, W: Observer> Reconciler<A, J, W> {
    /// Tells the consumers of these sinks, which have the same `notify`: once for all of them. It
    /// may be done twice, where a crash comes between it and its record; it is never left undone.
    pub(super) async fn notify(&mut self, sinks: Vec<String>) -> Result<(), Interrupt> {
        let policy = sinks
            .iter()
            .find_map(|name| self.sink_policy(name)?.notify.clone());
        let Some(policy) = policy else { return Ok(()) };
        let outcome = run(policy.clone()).await;
        self.progress();
        // It is given none, but it may have read one in the sink.
        let encoded: Vec<_> = self.session.known_texts().flat_map(encoded).collect();
        let secrets = self
            .session
            .known_texts()
            .chain(encoded.iter().map(|text| text.as_str()));
        let secrets: Vec<&str> = secrets.collect();
        let said = |bytes: &[u8]| redact::said(bytes, &secrets);
        let outcome = match outcome {
            Ok(ended) if ended.status.success() => {
                Ok(Some(said(&ended.stdout)).filter(|note| !note.is_empty()))
            }
            Ok(ended) => Err(explain(
                &policy,
                &process::ending(ended.status),
                &said(&ended.stderr),
            ) + advice(&policy, &ended)),
            Err(ProcessError::TimedOut {
                timeout, stderr, ..
            }) => Err(explain(
                &policy,
                &format!("took longer than {timeout:?} and was ended"),
                &said(&stderr),
            )),
            Err(
                error @ (ProcessError::Nothing
                | ProcessError::Start { .. }
                | ProcessError::Lost { .. }),
            ) => Err(explain(&policy, &error.to_string(), "")),
        };
        let mut events = Vec::new();
        for sink in sinks {
            let owed = self
                .state
                .sinks
                .get(&sink)
                .and_then(|record| record.notify_owed);
            let (Some(generation), lane) = (owed, BackoffKey::Notify(sink.clone())) else {
                continue;
            };
            match &outcome {
                Ok(note) => {
                    events.push(Event::Notified {
                        sink,
                        generation,
                        note: note.clone(),
                    });
                    events.extend(self.cleared(lane));
                }
                Err(error) => {
                    events.push(self.trouble(
                        lane,
                        IncidentKind::NotifyFailed,
                        error.clone(),
                        None,
                    ));
                }
            }
        }
        Ok(self.record(events).await?)
    }

    /// What the consumers of sinks say they use.
    pub(super) async fn hear_consumers(&self) -> BTreeMap<String, ConsumerAck> {
        let sinks = self.assignment.account.sinks.iter();
        let claims = join_all(sinks.filter_map(|sink| {
            let path = sink.acknowledge.as_ref()?.path.clone();
            Some(async move {
                let found = blocking(move || atomic_file::read(&path, LARGEST_CLAIM)).await;
                Some((sink.name.clone(), claim(found)?))
            })
        }))
        .await;
        claims.into_iter().flatten().collect()
    }

    fn sink_policy(&self, name: &str) -> Option<&SinkPolicy> {
        self.assignment
            .account
            .sinks
            .iter()
            .find(|sink| sink.name == *name)
    }
}

async fn run(policy: Notify) -> Result<Ended, ProcessError> {
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

/// What helps where systemd was not allowed to do it. The words are those of systemctl, which is
/// run under `C.UTF-8`.
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

/// A file that anybody may have written.
fn claim(found: Result<atomic_file::FileRead, crate::sinks::SinkError>) -> Option<ConsumerAck> {
    let found = match found {
        Ok(atomic_file::FileRead::Absent) => return None,
        Ok(atomic_file::FileRead::File(found)) => found,
        Ok(atomic_file::FileRead::TooLarge) => {
            return Some(ConsumerAck::Odd(format!(
                "acknowledges with more than {LARGEST_CLAIM} bytes"
            )));
        }
        Err(error) => return Some(ConsumerAck::Odd(format!("cannot be heard: {error}"))),
    };
    let text = std::str::from_utf8(&found.bytes)
        .map(str::trim)
        .unwrap_or("?");
    if text.is_empty() {
        return None;
    }
    let number = || {
        text.parse()
            .ok()
            .filter(|_| text.len() <= 12)
            .map(|it| ConsumerAck::UsesGeneration(GenerationNo(it)))
    };
    let claim = text.parse().ok().map(ConsumerAck::Uses).or_else(number);
    claim.or_else(|| {
        Some(ConsumerAck::Odd(
            "acknowledges with neither a fingerprint nor a generation".to_owned(),
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(bytes: &[u8]) -> Option<ConsumerAck> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("acknowledged");
        std::io::Write::write_all(&mut std::fs::File::create(&path).unwrap(), bytes).unwrap();
        claim(atomic_file::read(&path, LARGEST_CLAIM))
    }

    #[test]
    fn a_consumer_says_a_fingerprint_or_a_number_and_anything_else_is_told() {
        let fingerprint = rotator_core::secret::Fingerprint::of(b"token");
        assert_eq!(
            written(format!("{fingerprint}\n").as_bytes()),
            Some(ConsumerAck::Uses(fingerprint))
        );
        assert_eq!(
            written(b" 7 \r\n"),
            Some(ConsumerAck::UsesGeneration(GenerationNo(7)))
        );
        assert_eq!(written(b"\n"), None);
        for odd in [
            &b"seven"[..],
            b"-1",
            b"\xff\xfe",
            b"1 2",
            &[b'1'; 2000],
            &[b'1'; 63],
        ] {
            assert!(matches!(written(odd), Some(ConsumerAck::Odd(_))), "{odd:?}");
        }
        let absent = tempfile::tempdir().unwrap().path().join("nothing");
        assert_eq!(claim(atomic_file::read(&absent, LARGEST_CLAIM)), None);
    }

    #[test]
    fn what_is_said_is_never_shown() {
        let Some(ConsumerAck::Odd(text)) = written(b"canary") else {
            panic!("it is odd")
        };
        assert!(!text.contains("canary"), "{text}");
    }

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
