//! Incidents of sinks and of their consumers.

use super::{IncidentInfo, IncidentSeverity, NO_TIME_SET, ONLINE, ROTATE, Remedy, Runbook};
use crate::event::IncidentKind;

pub(super) const PREFLIGHT_FAILED: IncidentInfo = IncidentInfo {
    kind: IncidentKind::PreflightFailed,
    message_id: "bfdd843e45be4b22b1d08d30ed54d52d",
    severity: IncidentSeverity::Warning,
    remedy: Remedy::Daemon,
    headline: "{sink} cannot take a token",
    runbook: Runbook {
        what: "A rotation of account {account} is due, but {sink} could not take a token now. So \
            none was minted.",
        background: "Only a required sink stops a rotation. A symlink or a mount point is refused \
            as a target.",
        retried: "The daemon looks at its sinks again {when}, and mints once all required ones are \
            ready.",
        not_retried: NO_TIME_SET,
        steps: &[
            "For a file: its directory must exist, be writable for the daemon and have room, its \
             owner and group must exist, and the target must be a regular file or absent. Under \
             systemd the directory must also be in the unit's ReadWritePaths.",
            ONLINE,
            ROTATE,
        ],
    },
};

pub(super) const SINK_FAILED: IncidentInfo = IncidentInfo {
    kind: IncidentKind::SinkFailed,
    message_id: "b5d6b4f3c200482195983a358b3fc428",
    severity: IncidentSeverity::Warning,
    remedy: Remedy::Daemon,
    headline: "{sink} failed",
    runbook: Runbook {
        what: "The new token of account {account} is minted and works, but {sink} did not take it, \
            or could not be shown to hold it.",
        background: "The same token is tried again; the old one stays alive meanwhile. After an \
            answer of 410 the sink is parked: nothing more is sent until a reload or `rotate`.",
        retried: "The daemon delivers the same token again {when}. No further token is minted for \
            it.",
        not_retried: "Nothing more is sent to this sink until the policy is reloaded or you start \
            a rotation by hand.",
        steps: &[
            "For a file: look at its directory's permissions, owner, group and free space. For a \
             webhook: look at the receiver, its certificate and its log.",
            "A sink that is no longer wanted can be taken out of the policy, or made `required = \
             false`.",
            ROTATE,
        ],
    },
};

pub(super) const SINK_DRIFTED: IncidentInfo = IncidentInfo {
    kind: IncidentKind::SinkDrifted,
    message_id: "2d4fe7ea86d94f60a484d367fd51de3e",
    severity: IncidentSeverity::Info,
    remedy: Remedy::Daemon,
    headline: "{sink} drifted",
    runbook: Runbook {
        what: "In account {account}, {sink} no longer held the current token: somebody else wrote \
            to it or took it away.",
        background: "The token is put back at once. If it is overwritten again, the two will take \
            turns.",
        retried: "The daemon delivers the current token again {when}.",
        not_retried: "The daemon delivers the current token again at its next pass.",
        steps: &[
            "Find out what else writes there: a deployment, a configuration tool, a restored \
             backup.",
            "Whatever read the sink meanwhile may need to read it again.",
        ],
    },
};

pub(super) const NOTIFY_FAILED: IncidentInfo = IncidentInfo {
    kind: IncidentKind::NotifyFailed,
    message_id: "67b514c3884e4f2ebe227c443a58ce09",
    severity: IncidentSeverity::Warning,
    remedy: Remedy::Daemon,
    headline: "consumer of {sink} not told",
    runbook: Runbook {
        what: "In account {account}, {sink} holds the new token, but what the policy runs to tell \
            its consumer (`notify`) failed. The consumer may go on with an older token.",
        background: "It is tried again; what the consumer may still use is not deleted. See \
            [Telling the consumer](consumers.md).",
        retried: "The daemon tells the consumer again {when}. What it may still use is not \
            deleted.",
        not_retried: NO_TIME_SET,
        steps: &[
            "For a unit: see how it is (`systemctl status UNIT`), and whether polkit lets the \
             daemon do this to it: `ringcx-rotator systemd-dropin --polkit --write`.",
            "For a program: run it by hand as the daemon's user.",
            ROTATE,
        ],
    },
};

pub(super) const ACKNOWLEDGEMENT_LATE: IncidentInfo = IncidentInfo {
    kind: IncidentKind::AcknowledgementLate,
    message_id: "e5b08455484f44a79f9d54625694b7e4",
    severity: IncidentSeverity::Warning,
    remedy: Remedy::Operator,
    headline: "consumer of {sink} is late",
    runbook: Runbook {
        what: "In account {account}, the consumer of {sink} has not said within its time that it \
            uses the new token (`acknowledge`).",
        background: "Older tokens are kept until it does.",
        retried: "The daemon looks again {when}. What the consumer may still use is not deleted.",
        not_retried: "The daemon deletes no token that the consumer may still use. It looks at \
            every check.",
        steps: &[
            "See whether the consumer runs, and has read the file since it changed.",
            "See whether it can write its acknowledgement, and the daemon can read it.",
            "If it no longer acknowledges: take `acknowledge` out of the policy, and reload.",
        ],
    },
};
