//! Every reason, word by word: `plan --json` is read by scripts, and journals hold some of them.

use chrono::DateTime;

use crate::config::{Notify, NotifyWhat};
use crate::event::GenerationNo;
use crate::plan::reasons::{
    Because, Blocked, DeliveryReason, DueReason, PlanNotice, RetireReason, UnfitSink, WaitingFor,
};
use crate::plan::tests::scene::token;

const SECOND: GenerationNo = GenerationNo(2);

fn notify() -> Box<Notify> {
    Box::new(Notify {
        what: NotifyWhat::Program(vec!["/usr/bin/tell".to_owned(), "argument".to_owned()]),
        timeout: std::time::Duration::from_secs(1),
    })
}

fn sink() -> String {
    "app".to_owned()
}

#[track_caller]
fn check<T: ToString>(texts: impl IntoIterator<Item = (T, &'static str)>) {
    for (reason, text) in texts {
        assert_eq!(reason.to_string(), text);
    }
}

#[test]
fn the_reason_of_each_step_has_its_text() {
    let required = 3;
    check([
        (
            Because::RotationDue(DueReason::NoCurrentToken),
            "there is no current token",
        ),
        (
            Because::MintUnresolved(SECOND),
            "what became of the mint of generation 2 is unknown",
        ),
        (
            Because::NotVerified(SECOND),
            "generation 2 was minted and not tried yet",
        ),
        (Because::New(SECOND), "generation 2 is new"),
        (
            Because::Delivery(DeliveryReason::HoldsNothing),
            "it holds nothing",
        ),
        (
            Because::SeenToHold(SECOND),
            "it was seen to hold generation 2",
        ),
        (Because::WillHold(SECOND), "it will hold generation 2"),
        (
            Because::OnceProved {
                generation: SECOND,
                required,
            },
            "generation 2 becomes current once 3 required sinks are proved",
        ),
        (
            Because::NotNotified {
                notify: notify(),
                generation: SECOND,
            },
            "/usr/bin/tell: it was not told of generation 2 yet",
        ),
        (
            Because::Retirement(RetireReason::Operator),
            "an operator asked for it",
        ),
    ]);
}

#[test]
fn what_is_due_delivered_and_deleted_has_its_text() {
    let evidence = "RingCX refuses it".to_owned();
    let current_since = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
    check([
        (
            DueReason::Lost {
                generation: SECOND,
                evidence,
            },
            "generation 2 is lost: RingCX refuses it",
        ),
        (DueReason::Operator, "an operator asked for it"),
        (
            DueReason::ClockSetBack,
            "the clock was set back since the last rotation",
        ),
        (
            DueReason::Schedule { current_since },
            "the schedule says so (current since 2027-01-15 08:00:00 UTC)",
        ),
    ]);
    let another = format!("it holds another token ({})", token(9).short());
    assert_eq!(DeliveryReason::HoldsForeign(token(9)).to_string(), another);
    let peer = "crm".to_owned();
    check([
        (
            DeliveryReason::NewerPeer { peer },
            "account crm has a newer token",
        ),
        (
            DeliveryReason::HoldsGeneration(SECOND),
            "it holds generation 2",
        ),
        (
            DeliveryReason::HoldsOther("12 bytes".to_owned()),
            "it holds no token of ours: 12 bytes",
        ),
        (
            DeliveryReason::Unreadable("denied".to_owned()),
            "it cannot be read: denied",
        ),
        (
            DeliveryReason::OutcomeUnknown,
            "its last delivery has no known outcome",
        ),
        (DeliveryReason::NeverDelivered, "it never got a token"),
        (DeliveryReason::LastFailed, "its last delivery failed"),
        (DeliveryReason::ReceiptIsOlder, "it holds an older token"),
    ]);
    let never = |set_aside| RetireReason::NeverPublished {
        generation: SECOND,
        set_aside,
    };
    check([
        (
            never(None),
            "generation 2 was never published: another took its place",
        ),
        (
            never(Some("it never worked".to_owned())),
            "generation 2 was never published: it never worked",
        ),
        (
            RetireReason::Expired(SECOND),
            "generation 2 is older than max-age and its overlap is over",
        ),
        (
            RetireReason::AdoptedExpired,
            "it is adopted, older than max-age, and its overlap is over",
        ),
    ]);
}

#[test]
fn each_wait_has_its_text() {
    let unfit = |sink: &str| UnfitSink {
        sink: sink.to_owned(),
        why: "no such directory".to_owned(),
    };
    check([
        (WaitingFor::NextRotation, "the next rotation"),
        (
            WaitingFor::RotationRetry(DueReason::Operator),
            "the next try of the rotation (an operator asked for it)",
        ),
        (
            WaitingFor::MintCap {
                live: 5,
                max_live: 3,
            },
            "5 of our tokens are alive and max-live is 3: nothing is minted",
        ),
        (
            WaitingFor::FailingSinks(vec![unfit("app"), unfit("crm")]),
            "sinks that fail (sink app: no such directory; sink crm: no such directory)",
        ),
        (WaitingFor::Ringcx, "RingCX"),
        (
            WaitingFor::MintOutcome,
            "RingCX, to see what became of the mint",
        ),
        (
            WaitingFor::LateArrival(SECOND),
            "a late arrival of the lost mint of generation 2",
        ),
        (
            WaitingFor::VerifyRetry(SECOND),
            "the next try to verify generation 2",
        ),
        (
            WaitingFor::DoubtSettled(SECOND),
            "what RingCX says of generation 2, which is in doubt",
        ),
        (
            WaitingFor::NewerToken { sink: sink() },
            "a newer token for sink app",
        ),
        (
            WaitingFor::Parked { sink: sink() },
            "sink app is parked: reload or rotate to try it again",
        ),
        (
            WaitingFor::SinkRetry { sink: sink() },
            "the next try of sink app",
        ),
        (
            WaitingFor::PeerToken {
                peer: "crm".to_owned(),
                sink: sink(),
            },
            "the token of account crm, for sink app",
        ),
        (
            WaitingFor::NotifyRetry(notify()),
            "the next try of /usr/bin/tell",
        ),
        (
            WaitingFor::Acknowledgement {
                sink: sink(),
                generation: SECOND,
            },
            "the consumer of sink app to acknowledge generation 2",
        ),
    ]);
}

#[test]
fn what_an_old_token_waits_for_has_its_text() {
    let fingerprint = token(1);
    let short = fingerprint.short();
    let blocked = Blocked::Served { sink: sink() };
    for (waiting, text) in [
        (
            WaitingFor::Deletion {
                fingerprint,
                blocked,
            },
            format!("deleting {short}: sink app still serves it"),
        ),
        (
            WaitingFor::DeletionRetry(fingerprint),
            format!("the next try to delete {short}"),
        ),
        (
            WaitingFor::DeletionInDoubt(fingerprint),
            format!("deleting {short}: the current token is in doubt"),
        ),
        (
            WaitingFor::DeletionLogin(fingerprint),
            format!("a login, to delete {short}"),
        ),
    ] {
        assert_eq!(waiting.to_string(), text);
    }
}

#[test]
fn each_notice_has_its_text() {
    let fingerprint = token(1);
    let alive = |username: Option<&str>| PlanNotice::AliveUnderFormerLogin {
        generation: SECOND,
        fingerprint,
        username: username.map(str::to_owned),
    };
    let by = |who: &str| {
        let short = fingerprint.short();
        format!(
            "Generation 2 ({short}) was minted by {who} and is still alive there: \
             delete it as that user"
        )
    };
    assert_eq!(alive(Some("bot")).to_string(), by("bot"));
    assert_eq!(alive(None).to_string(), by("a former login"));
    check([
        (
            PlanNotice::AcknowledgesUnknown { sink: sink() },
            "The consumer of sink app acknowledges a token that is none of this account's",
        ),
        (
            PlanNotice::OddAcknowledgement {
                sink: sink(),
                what: "acknowledges with more than 4096 bytes".to_owned(),
            },
            "The consumer of sink app acknowledges with more than 4096 bytes",
        ),
        (
            PlanNotice::ReleasedSinkHolds {
                target: "/run/extra".to_owned(),
                generation: SECOND,
            },
            "/run/extra was taken out of the policy but still holds generation 2: \
             it will not be kept fresh",
        ),
    ]);
}
