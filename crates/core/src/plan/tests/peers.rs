//! Templates that hold the tokens of two accounts: when they are rendered again, what they wait
//! for, and what waits for them.

use std::collections::BTreeSet;

use super::scene::{Scene, days, every, file, minutes, token};
use crate::config::{FileAccess, PeerSink, SinkKind, SinkPolicy, TemplateSink};
use crate::event::{DeliveryReceipt, Event, GenerationNo, PeerToken};
use crate::plan::evidence::SinkContent;
use crate::secret::Fingerprint;
use crate::template::Template;

fn crm(generation: u64) -> PeerToken {
    let fingerprint = Fingerprint::of(format!("crm {generation}").as_bytes());
    PeerToken {
        generation: GenerationNo(generation),
        fingerprint,
    }
}

/// A template sink that names the account `crm`.
fn template(name: &str) -> SinkPolicy {
    let kind = SinkKind::Template(TemplateSink {
        path: format!("/run/{name}").into(),
        access: FileAccess::default(),
        template: Template::try_new("{{ token }}{{ accounts.crm.token }}".to_owned()).unwrap(),
        accounts: vec!["crm".to_owned()],
    });
    SinkPolicy {
        name: name.to_owned(),
        required: true,
        kind,
        notify: None,
        acknowledge: None,
    }
}

/// The file holds generation 1 and that token of crm's; crm tells of another.
fn scene(held: u64, told: Option<u64>) -> Scene {
    let taken = DeliveryReceipt {
        peers: [("crm".to_owned(), crm(held))].into(),
        ..DeliveryReceipt::default()
    };
    let (sink, generation) = ("both".to_owned(), GenerationNo(1));
    let mut scene = Scene::with_current([template("both")])
        .happened(Event::DeliveryIntended {
            sink: sink.clone(),
            generation,
        })
        .happened(Event::Delivered {
            sink: sink.clone(),
            generation,
            taken,
        })
        .happened(Event::Proved { sink, generation })
        .all_hold(1);
    scene.seen.values = [token(1)].into();
    if let Some(told) = told {
        scene.seen.peers.tokens.insert("crm".to_owned(), crm(told));
        scene.seen.peers.at_hand.insert("crm".to_owned());
    }
    scene
}

#[test]
fn a_file_is_rendered_again_when_another_accounts_token_is_newer() {
    scene(3, Some(3)).does("rest");
    scene(3, Some(4)).does("deliver 1 to both");
    let told = scene(3, Some(4))
        .decision()
        .steps
        .into_iter()
        .map(|step| step.because.to_string())
        .collect::<Vec<_>>();
    assert!(
        told.contains(&"account crm has a newer token".to_owned()),
        "{told:?}"
    );
}

// fault: monotone at plan/deliver awaits_peers: a template may go back to another account's older
//   token
#[test]
fn a_file_never_goes_back_to_an_older_token_of_another_account() {
    scene(3, Some(2))
        .does("rest")
        .waits_for("the token of account crm, for sink both");
}

#[test]
fn a_file_waits_for_a_token_that_is_not_at_hand_and_says_for_whose() {
    let mut new = scene(3, Some(4));
    new.seen.peers.at_hand.clear();
    new.clone()
        .does("rest")
        .waits_for("the token of account crm, for sink both");
    assert_eq!(new.decision().awaits, ["crm".to_owned()].into());
    // Where nothing is to be written nothing is waited for.
    assert_eq!(
        scene(3, None).does("rest").decision().awaits,
        BTreeSet::new()
    );
    // A file that is gone cannot be written either.
    let gone = scene(3, None)
        .holds("both", SinkContent::Absent)
        .books_kept();
    gone.does("rest")
        .waits_for("the token of account crm, for sink both");
}

#[test]
fn other_sinks_do_not_wait_with_it() {
    let mut scene = Scene::with_current([template("both"), file("app")]).verified(2);
    scene.seen.values = [token(2)].into();
    scene
        .listed_as_current([token(1), token(2)])
        .all_hold(1)
        .does("deliver 2 to app");
}

/// Generation 1 may go but for what the other account's file holds.
fn ripe(held: Option<u64>) -> Scene {
    let elsewhere = PeerSink {
        account: "ivr".to_owned(),
        sink: "both".to_owned(),
    };
    let scene = Scene::new([file("app")]).with(|it| {
        it.schedule = every(days(365));
        it.peer_sinks = vec![elsewhere.clone()];
    });
    let scene = scene
        .rotated(1)
        .later(days(10))
        .rotated(2)
        .later(days(10))
        .all_hold(2);
    let mut scene = scene.listed_as_current([token(1), token(2)]);
    if let Some(held) = held {
        scene
            .seen
            .peers
            .held_elsewhere
            .insert(elsewhere, [token(held)].into());
    }
    scene
}

// fault: serve-live at plan/retire check_peer_sinks: another account's template that holds the
//   candidate is no guard
#[test]
fn a_token_that_another_accounts_file_holds_is_kept() {
    ripe(Some(2)).does("delete 1");
    ripe(Some(1))
        .does("rest")
        .waits_for("sink ivr/both still serves it");
}

// fault: serve-live at plan/retire check_peer_sinks: another account's template that was not looked
//   at is no guard
#[test]
fn a_token_is_kept_as_long_as_it_is_not_known_what_another_accounts_file_holds() {
    ripe(None)
        .does("rest")
        .waits_for("it is not known what sink ivr/both holds");
    // One that never worked was given to nobody.
    let abandoned = Event::Abandoned {
        generation: GenerationNo(3),
        reason: "it never worked".to_owned(),
    };
    let scene = ripe(None).minted(3).happened(abandoned);
    scene
        .listed_as_current([token(1), token(2), token(3)])
        .does("delete 3");
}

#[test]
fn a_text_that_another_account_waits_for_is_asked_for_once() {
    let mut wanted = Scene::with_current([file("app")])
        .later(minutes(1))
        .listed_as_current([token(1)]);
    wanted.seen.peers.is_wanted = true;
    let scene = wanted.does("list by login");
    let mut at_hand = scene.clone();
    at_hand.seen.values = [token(1)].into();
    at_hand.does("rest");
    scene.listed_by_login([token(1)]).does("rest");
}
