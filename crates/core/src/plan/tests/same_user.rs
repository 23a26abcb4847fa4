//! Accounts that log in as the same user: whose token it is, and what may be in whose sinks.

use std::collections::BTreeSet;

use super::scene::{Scene, adoption, days, every, file, foreign, hours, token};
use crate::config::Foreign;
use crate::event::{Event, GenerationNo};
use crate::plan::{Blocked, Next, check_for_operator};

fn belongs_to_crm(mut scene: Scene, number: u64) -> Scene {
    let owners = &mut scene.seen.peers.owners;
    owners.insert(foreign(number), "crm".to_owned());
    scene
}

fn crm_holds(mut scene: Scene, held: Option<u64>) -> Scene {
    let held = held.map(|number| BTreeSet::from([foreign(number)]));
    scene.seen.peers.siblings.insert("crm".to_owned(), held);
    scene
}

/// A foreign token of long ago that is under the policy, and a list that has just shown it.
fn ripe() -> Scene {
    Scene::with_current([file("app")])
        .with(|policy| {
            policy.retention.foreign = Foreign::Adopt;
            policy.schedule = every(days(99));
        })
        .happened(Event::ForeignSeen {
            fingerprints: [foreign(1)].into(),
        })
        .rotated(2)
        .next_pass(days(40))
        .all_hold(2)
        .listed_as_current([token(2), foreign(1)])
        .happened(Event::Retired {
            fingerprint: token(1),
            generation: Some(GenerationNo(1)),
            by: crate::event::RetiredBy::Us,
        })
}

fn deletes_it() -> String {
    format!("delete foreign {}", foreign(1).short())
}

#[test]
fn the_token_of_another_account_is_not_taken_for_foreign() {
    let scene = Scene::with_current([file("app")])
        .next_pass(hours(1))
        .all_hold(1)
        .listed_as_current([token(1), foreign(1)]);
    let seen = Next::Record(vec![Event::ForeignSeen {
        fingerprints: [foreign(1)].into(),
    }]);
    assert_eq!(scene.decision().next, seen);
    belongs_to_crm(scene, 1).does("rest");
}

#[test]
fn one_that_was_taken_for_foreign_is_let_go_once_its_owner_is_known() {
    ripe().does(&deletes_it());
    let claimed = Next::Record(vec![Event::ForeignClaimed {
        fingerprints: [foreign(1)].into(),
        owner: "crm".to_owned(),
    }]);
    let scene = belongs_to_crm(ripe(), 1);
    assert_eq!(scene.decision().next, claimed);
    scene.books_kept().does("rest");
}

#[test]
fn a_lost_mint_is_not_settled_with_the_token_of_another_account() {
    let scene = Scene::with_current([file("app")])
        .happened(Event::MintIntended {
            generation: GenerationNo(2),
            baseline: [token(1)].into(),
        })
        .listed_by_login([token(1), foreign(1), foreign(2)]);
    let scene = belongs_to_crm(scene, 1);
    let minted = scene.decision().next;
    assert!(
        matches!(&minted, Next::Record(events) if matches!(events.as_slice(),
            [Event::Minted { fingerprint, .. }] if *fingerprint == foreign(2))),
        "{minted:?}"
    );
    let missing = belongs_to_crm(scene, 2).decision().next;
    assert!(
        matches!(&missing, Next::Record(events) if matches!(events.as_slice(),
            [Event::MintMissing { .. }])),
        "{missing:?}"
    );
}

// proves: serve-live, own-only
#[test]
fn a_token_that_may_be_in_a_sink_of_the_same_user_is_kept() {
    crm_holds(ripe(), Some(2)).does(&deletes_it());
    crm_holds(ripe(), Some(1)).waits_for("a sink of account crm holds it");
    crm_holds(ripe(), None).waits_for("the sinks of account crm have not been looked at");
}

// proves: own-only
#[test]
fn an_operator_deletes_a_token_through_its_own_account_only() {
    let check = |scene: &Scene| {
        check_for_operator(
            &scene.policy,
            &scene.state,
            &scene.seen,
            foreign(1),
            scene.now,
        )
    };
    let scene = ripe().happened(adoption(foreign(1), []));
    assert!(check(&scene).is_ok());
    let account = "crm".to_owned();
    assert_eq!(
        check(&belongs_to_crm(scene, 1)),
        Err(Blocked::OfAccount { account })
    );
}
