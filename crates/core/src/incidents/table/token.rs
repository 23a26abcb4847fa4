//! Incidents of the tokens at RingCX.

use super::{IncidentInfo, IncidentSeverity, NO_TIME_SET, ONLINE, ROTATE, Remedy, Runbook, TOKENS};
use crate::event::IncidentKind;

pub(super) const MINT_FAILED: IncidentInfo = IncidentInfo {
    kind: IncidentKind::MintFailed,
    message_id: "c4a58438f0854218a35a45f1d7ed5378",
    severity: IncidentSeverity::Warning,
    remedy: Remedy::Daemon,
    headline: "no token could be minted",
    runbook: Runbook {
        what: "RingCX made no new token for account {account}.",
        background: "The incident also opens when RingCX's answer was lost. Then the daemon looks \
            at the list before it asks again, so that there will not be two.",
        retried: "The daemon asks for a token again {when}.",
        not_retried: NO_TIME_SET,
        steps: &[
            "Check that this user may still make API tokens in RingCX.",
            ONLINE,
            ROTATE,
        ],
    },
};

pub(super) const MINT_UNKNOWN: IncidentInfo = IncidentInfo {
    kind: IncidentKind::MintUnknown,
    message_id: "f35468a4d3a0449bad1c942ff81621a5",
    severity: IncidentSeverity::Warning,
    remedy: Remedy::Operator,
    headline: "outcome of a mint unknown",
    runbook: Runbook {
        what: "A new token was asked for, for account {account}, and the answer was lost. The list \
            of tokens does not tell which of them was made by it, so there may be one that nobody \
            keeps.",
        background: "None of the unknown tokens is touched, and rotation goes on. The incident is \
            over with the next promotion.",
        retried: "The daemon goes on with the rotation {when}, never beyond `max-live` tokens.",
        not_retried: "The daemon touches none of the unknown tokens. It goes on rotating, never \
            beyond `max-live` tokens.",
        steps: &[
            TOKENS,
            "Delete a foreign token that nobody claims: `ringcx-rotator revoke {account} \
             FINGERPRINT`",
        ],
    },
};

pub(super) const MINT_CAPPED: IncidentInfo = IncidentInfo {
    kind: IncidentKind::MintCapped,
    message_id: "084d69d8950641e5948d7d45649b0b01",
    severity: IncidentSeverity::Warning,
    remedy: Remedy::Operator,
    headline: "too many live tokens",
    runbook: Runbook {
        what: "As many tokens of account {account} are alive as `max-live` allows, so no new one \
            is minted. Old ones are not being retired as fast as new ones are made.",
        background: "Something keeps old tokens from being deleted, or someone rotates very often.",
        retried: "The daemon looks again {when}. It mints as soon as an old token is gone.",
        not_retried: "The daemon mints as soon as an old token is gone.",
        steps: &[
            "See what keeps old tokens from being retired: `ringcx-rotator plan {account}`",
            TOKENS,
            "Delete one that is not needed: `ringcx-rotator revoke {account} FINGERPRINT`",
            "Or raise `retention.max-live` in the policy, and reload.",
        ],
    },
};

pub(super) const VERIFY_FAILED: IncidentInfo = IncidentInfo {
    kind: IncidentKind::VerifyFailed,
    message_id: "d189f1ca402d4d10bc41f3789efd349c",
    severity: IncidentSeverity::Warning,
    remedy: Remedy::Daemon,
    headline: "new token does not work",
    runbook: Runbook {
        what: "A new token of account {account} did not work within `verify-within`. It was given \
            to no sink, and will be deleted.",
        background: "The incident also opens when RingCX refuses the token in use at one time and lists it \
            at another.",
        retried: "The daemon mints another token {when}.",
        not_retried: NO_TIME_SET,
        steps: &[
            "If the cause names the account list: this user may have lost its access to the RingCX \
             accounts.",
            ONLINE,
            "If RingCX is only slow to accept new tokens: raise `verify-within` in the policy, and \
             reload.",
        ],
    },
};

pub(super) const TOKEN_LOST: IncidentInfo = IncidentInfo {
    kind: IncidentKind::TokenLost,
    message_id: "75e89dd3e8944fc09d699ef0aac48cf2",
    severity: IncidentSeverity::Critical,
    remedy: Remedy::Operator,
    headline: "current token lost",
    runbook: Runbook {
        what: "A token of account {account} that is in use, or about to be, is gone from RingCX. \
            It was not deleted by this daemon. Whatever uses it fails now.",
        background: "A rotation has begun.",
        retried: "The daemon starts a rotation {when}.",
        not_retried: NO_TIME_SET,
        steps: &[
            "Find out who deletes tokens of this user in RingCX, or whether the user was disabled.",
            "See what is known of it: `ringcx-rotator history {account}`",
            "See how the new rotation goes: `ringcx-rotator status {account}`",
        ],
    },
};

pub(super) const RETIRE_FAILED: IncidentInfo = IncidentInfo {
    kind: IncidentKind::RetireFailed,
    message_id: "7224c626f8874b2394b2da717e1d7031",
    severity: IncidentSeverity::Warning,
    remedy: Remedy::Daemon,
    headline: "old token not deleted",
    runbook: Runbook {
        what: "An old token of account {account} is past its time and could not be deleted. It is \
            still valid for whoever holds it.",
        background: "",
        retried: "The daemon tries the deletion again {when}.",
        not_retried: NO_TIME_SET,
        steps: &[
            TOKENS,
            "If the token has leaked, delete it in RingCX by hand now: the daemon will notice.",
        ],
    },
};

pub(super) const LIST_DISAGREES: IncidentInfo = IncidentInfo {
    kind: IncidentKind::ListDisagrees,
    message_id: "2c9dfbce6b4e4d7580ba9238fafecc66",
    severity: IncidentSeverity::Warning,
    remedy: Remedy::Operator,
    headline: "token works and is not listed",
    runbook: Runbook {
        what: "A token of account {account} works, and RingCX's list of tokens does not show it. \
            Such a list cannot show which tokens are gone, so no old token is deleted meanwhile.",
        background: "The list may be a part of the whole, or come from a node of RingCX that lags \
            behind. The token is in use as any other and counts for `max-live`. See \
            [partial lists](design/partial-lists.md).",
        retried: "The daemon looks at the list again {when}.",
        not_retried: "The daemon looks at the list again at every check. The incident is over when \
            the list shows the token, or when the token is gone.",
        steps: &[
            TOKENS,
            "Compare that with the tokens that RingCX itself shows for this user, and report the \
             difference to RingCentral.",
            "Delete tokens that nobody needs in RingCX: a long list may be cut off.",
        ],
    },
};

pub(super) const OVERLAP_CUT: IncidentInfo = IncidentInfo {
    kind: IncidentKind::OverlapCut,
    message_id: "023813eb582d4890bbc75a9b75830f89",
    severity: IncidentSeverity::Warning,
    remedy: Remedy::Operator,
    headline: "old token gone before its overlap was over",
    runbook: Runbook {
        what: "An old token of account {account} stopped working before its `overlap` was over. It \
            was not deleted by this daemon. A consumer that still used it got errors.",
        background: "Either someone deleted it, or RingCX keeps only so many tokens of a user and \
            drops an old one for each new one. The incident is over when the overlap would have \
            been.",
        retried: "The daemon goes on as before and looks again {when}.",
        not_retried: "The daemon goes on rotating. It cannot keep a token that RingCX drops.",
        steps: &[
            "See when it went: `ringcx-rotator history {account}`",
            "Find out who deletes tokens of this user in RingCX, or whether RingCX limits how many \
             a user may have.",
            "If RingCX does: let consumers read a new token at once, for instance with `notify`.",
        ],
    },
};
