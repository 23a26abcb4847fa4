//! What becomes of a mail for each of its recipients, and after a rejected login.

use super::*;
use crate::secret::{Secret, SecretTag};

/// A mail in the outbox that was just written.
fn queued(world: &mut World) -> Unsent {
    world.report("sales-ivr", sink_failed());
    world.now += TimeDelta::seconds(5);
    for event in world.assess() {
        world.record(&event);
    }
    world.state.outbox[0].clone()
}

#[test]
fn a_mail_waits_for_the_recipient_that_does_not_have_it_and_for_no_other() {
    let mut world = World::new();
    let unsent = queued(&mut world);
    let to = |name: &str| format!("{name}@example.com");
    let tried = MailTry {
        taken: vec![to("a")],
        refused: vec![(to("gone"), "550 nobody".into())],
        failed: failed(Scope::Mail, "c@example.com: 450 greylisted").failed,
    };
    world.record(&mail_tried(&unsent, tried, world.now));
    let unsent = world.state.outbox[0].clone();
    assert_eq!(
        unsent.settled.iter().cloned().collect::<Vec<_>>(),
        [to("a"), to("gone")]
    );
    let tried = MailTry {
        taken: vec![to("c")],
        refused: vec![],
        failed: None,
    };
    let sent = mail_tried(&unsent, tried, world.now);
    let refused = vec!["gone@example.com: 550 nobody".to_owned()];
    let mail = unsent.mail.id;
    assert_eq!(
        sent,
        AlertEvent::MailSent {
            mail,
            refused: refused.clone()
        }
    );
    world.record(&sent);
    assert_eq!(world.state.refused, refused, "shown until the next mail");
    assert!(world.state.outbox.is_empty());
}

#[test]
fn a_mail_that_everyone_refused_is_not_called_sent_and_is_not_sent_again() {
    let mut world = World::new();
    let unsent = queued(&mut world);
    let tried = MailTry {
        taken: vec![],
        refused: vec![("gone@example.com".into(), "550 nobody".into())],
        failed: None,
    };
    let given_up = mail_tried(&unsent, tried, world.now);
    assert!(matches!(given_up, AlertEvent::MailDropped { .. }));
    world.record(&given_up);
    assert!(world.state.outbox.is_empty());
    assert_eq!(world.state.refused, ["gone@example.com: 550 nobody"]);
    world.turn();
    assert_eq!(world.subjects(), [""; 0]);
}

#[test]
fn a_rejected_login_holds_every_mail_back_for_hours() {
    let mut world = World::new();
    let unsent = queued(&mut world);
    let tag = SecretTag::of("", &Secret::new("swordfish"));
    let mut tried = failed(Scope::Server, "535 no");
    tried.failed.as_mut().unwrap().rejected = Some(tag);
    world.record(&mail_tried(&unsent, tried, world.now));
    world.report("sales-ivr", vec![]);
    world.now += TimeDelta::seconds(5);
    for event in world.assess() {
        world.record(&event);
    }
    assert_eq!(world.state.outbox.len(), 2);
    let hours = |count| world.now + TimeDelta::hours(count);
    assert!(matches!(world.state.next_mail(hours(5)), NextMail::Wait(_)));
    let held = world.state.rejected_login(hours(5)).map(|(held, _)| held);
    assert_eq!(held, Some(tag));
    assert!(matches!(world.state.next_mail(hours(6)), NextMail::Send(_)));
    let set_back = world.now - TimeDelta::hours(2);
    assert!(matches!(world.state.next_mail(set_back), NextMail::Send(_)));
    world.record(&AlertEvent::MailHoldsLifted);
    world.turn();
    assert_eq!(world.subjects(), [FIRING, RESOLVED]);
}

#[test]
fn a_recipient_that_takes_nothing_for_days_costs_the_others_no_mail() {
    let mut world = World::new();
    world.policy.repeat_after = Duration::from_secs(3600);
    world.report("sales-ivr", sink_failed());
    let mut sent = BTreeSet::new();
    for _ in 0..300 {
        world.now += TimeDelta::minutes(61);
        for event in world.assess() {
            world.record(&event);
        }
        while let NextMail::Send(unsent) = world.state.next_mail(world.now) {
            let unsent = unsent.clone();
            let taken = vec!["oncall@example.com".to_owned()];
            if !unsent.settled.contains(&taken[0]) {
                assert!(sent.insert(unsent.mail.id), "taken once");
            }
            let tried = MailTry {
                taken,
                ..failed(Scope::Mail, "full@example.com: 452 no room")
            };
            world.record(&mail_tried(&unsent, tried, world.now));
        }
        assert!(world.state.outbox.len() <= 101);
    }
    assert!(sent.len() >= 299, "{} mails for 300 hours", sent.len());
}

#[test]
fn a_mail_refused_for_itself_holds_up_no_other_and_is_given_up_in_the_end() {
    let mut world = World::new();
    world.server_is_up = false;
    world.report("sales-ivr", sink_failed());
    world.now += TimeDelta::seconds(5);
    for event in world.assess() {
        world.record(&event);
    }
    let refused = world.state.outbox[0].clone();
    world.record(&mail_tried(
        &refused,
        failed(Scope::Mail, "451 no"),
        world.now,
    ));
    world.server_is_up = true;
    world.report("sales-ivr", vec![]);
    world.now += TimeDelta::seconds(5);
    world.turn();
    assert_eq!(world.subjects(), [RESOLVED]);
    let later = world.now + TimeDelta::days(6);
    assert!(matches!(
        mail_tried(&refused, failed(Scope::Mail, "451 no"), later),
        AlertEvent::MailDropped { .. }
    ));
    assert!(matches!(
        mail_tried(&refused, failed(Scope::Server, "down"), later),
        AlertEvent::MailFailed { .. }
    ));
}
