//! What the invariants say, and where each is kept.

/// What is always so.
pub struct Invariant {
    pub name: &'static str,
    /// One sentence, without its full stop.
    pub statement: &'static str,
    /// Places as in marks.
    pub kept_in: &'static [&'static str],
}

/// The page's first lines.
pub const HEAD: &str = "\
<!-- Written by tests/invariants.rs from the marks beside the tests: change those, not this. -->

# Invariants

What is always so, the code that keeps it, and the tests that fail without it, file by file. Under a
test stand the faults that were once put into the code, each by itself, to see the test fail: a guard
whose loss no test notices is no guard. A new guard gets such a mark. `tests/invariants.rs` says how marks
are written, and checks that every test and place named here exists.

What the pure core can show is also checked after every step of every generated history against a
model of the world (`crates/core/src/plan/tests/world/invariants.rs`).
";

/// The page's last lines.
pub const TAIL: &str = "
## What no test can see

- Whether the bytes of a synced file are on the disk. That it is synced, and when, is seen.
- The loss of a guard that is the second of two for the same thing. A list from before a mint's
  intent is dropped when that is written, and `resolve_open_mint` compares the times as well. What
  an earlier delivery left in an auth config is known as that generation when it is read, so nothing
  asks to prove another there, and `prove` compares them once more.
";

/// All there are, in the order of the page.
pub const INVARIANTS: &[Invariant] = &[
    Invariant {
        name: "serve-live",
        statement: "No token is deleted that a sink serves, or may serve",
        kept_in: &[
            "plan/retire check_sinks",
            "plan/retire check_sink",
            "plan/retire check_peer_sinks",
            "plan/retire check_files",
        ],
    },
    Invariant {
        name: "never-zero",
        statement: "After every step, each sink that ever held a token holds one that works",
        kept_in: &["plan plan", "plan/retire check_guards"],
    },
    Invariant {
        name: "order",
        statement: "A token is verified, then published, then proved, then promoted, and then the \
                    old one is deleted; the types of the steps allow no other order",
        kept_in: &["account/proof Verified", "account/proof Proved"],
    },
    Invariant {
        name: "own-only",
        statement: "Only a token is deleted that the journal knows as ours, or that is adopted, \
                    and that is on a list fetched just before",
        kept_in: &[
            "plan/retire retire",
            "plan list_as_current",
            "plan fresh_list",
        ],
    },
    Invariant {
        name: "intent-first",
        statement: "What cannot be repeated is announced in the journal before it is sent",
        kept_in: &["reconcile mint", "reconcile deliver", "reconcile delete"],
    },
    Invariant {
        name: "no-blind-mint",
        statement: "A mint without an outcome is looked into before anything else is minted",
        kept_in: &["plan/mint resolve_open_mint"],
    },
    Invariant {
        name: "one-open-intent",
        statement: "No mint begins while another has no outcome or its token is on its way",
        kept_in: &["plan/mint rotate"],
    },
    Invariant {
        name: "mint-cap",
        statement: "Never more than `max-live` of our tokens are alive",
        kept_in: &["plan/mint rotate", "account live_count"],
    },
    Invariant {
        name: "irreversible-last",
        statement: "A token is recorded as retired after a list shows that it is gone, so a failed \
                    delete is tried again",
        kept_in: &[
            "reconcile delete",
            "plan/observations note_ends",
            "plan/doubts has_ended",
        ],
    },
    Invariant {
        name: "monotone",
        statement: "A sink never goes back to an older generation, of any account",
        kept_in: &["plan/deliver plan_sink", "plan/deliver awaits_peers"],
    },
    Invariant {
        name: "whole-file",
        statement: "Readers of a file see its old bytes or its new ones, never fewer, and never \
                    under a wider mode",
        kept_in: &["sinks/atomic_file replace"],
    },
    Invariant {
        name: "no-leak",
        statement: "No secret is in logs, errors, mails, the journal or arguments",
        kept_in: &["secret Secret", "secret/redact", "source"],
    },
    Invariant {
        name: "clock",
        statement: "While the local clock and the server's are apart, nothing is deleted",
        kept_in: &["plan/retire check_guards"],
    },
    Invariant {
        name: "fail-static",
        statement: "Whatever fails, sinks keep their last good bytes: no step removes a token from \
                    a sink",
        kept_in: &["sinks/atomic_file replace", "plan/deliver settles_doubt"],
    },
    Invariant {
        name: "audit",
        statement: "A journal that was tampered with is found",
        kept_in: &["store/sqlite walk", "store/sqlite checkpoint"],
    },
    Invariant {
        name: "one-writer",
        statement: "Two processes never work on one state directory",
        kept_in: &["store/sqlite lock", "store/sqlite insert"],
    },
    Invariant {
        name: "told-once",
        statement: "An incident is mailed when it opens, after each `repeat-after`, and when it is \
                    over; only after a crash that hid the receipt is a mail sent again, and then \
                    the same one",
        kept_in: &["incidents/assess", "daemon/alerts"],
    },
    Invariant {
        name: "retention",
        statement: "A token that was published, or is adopted, gets its age and its overlap",
        kept_in: &["plan/retire check_age", "plan/retire replaced_at"],
    },
    Invariant {
        name: "two-looks",
        statement: "A token that works is never called lost",
        kept_in: &["plan/doubts is_gone", "plan/evidence agrees"],
    },
    Invariant {
        name: "consumers-told",
        statement: "The consumer of a sink with `notify` is notified of each token once that is \
                    proved, at least once; neither a crash nor a reload forgets one",
        kept_in: &[
            "plan/consumers notifications_owed",
            "plan/deliver plan_sink",
            "plan/retire check_consumer",
        ],
    },
    Invariant {
        name: "acknowledged",
        statement: "No token is deleted that the consumer of a required sink with `acknowledge` \
                    may still use",
        kept_in: &[
            "plan/retire check_consumer",
            "plan/observations note_acknowledgements",
        ],
    },
    Invariant {
        name: "rest",
        statement: "A pass ends, says what it waits for, and sets a time to be asked again that is \
                    still to come",
        kept_in: &["plan plan", "plan wake"],
    },
    Invariant {
        name: "liveness",
        statement: "Once nothing fails any more, all is well within the waits of the policy, and \
                    no incident is open",
        kept_in: &["plan plan", "plan/backoff failed", "daemon/waker"],
    },
];
