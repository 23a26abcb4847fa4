//! Incidents of the schedule, the clock and the policy.

use super::{IncidentInfo, IncidentSeverity, NO_TIME_SET, PLAN, ROTATE, Remedy, Runbook, TOKENS};
use crate::event::IncidentKind;

pub(super) const ROTATION_OVERDUE: IncidentInfo = IncidentInfo {
    kind: IncidentKind::RotationOverdue,
    message_id: "d1a46fb858dd41838e681304eb23f225",
    severity: IncidentSeverity::Critical,
    remedy: Remedy::Operator,
    headline: "rotation overdue",
    runbook: Runbook {
        what: "A rotation of account {account} has been due for longer than `overdue-after`, for \
            whatever reason. The current token is older than the policy wants.",
        background: "Most often another incident names the cause.",
        retried: "The daemon tries the rotation again {when}.",
        not_retried: NO_TIME_SET,
        steps: &[
            PLAN,
            "Look for other mails about this account: they name the cause.",
            ROTATE,
        ],
    },
};

pub(super) const RETIREMENT_OVERDUE: IncidentInfo = IncidentInfo {
    kind: IncidentKind::RetirementOverdue,
    message_id: "a680f4f9e7c74bb384f2d21828e1042a",
    severity: IncidentSeverity::Warning,
    remedy: Remedy::Operator,
    headline: "retirement overdue",
    runbook: Runbook {
        what: "An old token of account {account} should have been deleted for longer than \
            `overdue-after`. It is still valid for whoever holds it.",
        background: "Most often a required sink is gone, so that it is not known what it holds.",
        retried: "The daemon tries the retirement again {when}.",
        not_retried: NO_TIME_SET,
        steps: &[
            PLAN,
            TOKENS,
            "A required sink that is gone for good must be taken out of the policy: until then its \
             token is kept.",
        ],
    },
};

pub(super) const CLOCK_DISAGREES: IncidentInfo = IncidentInfo {
    kind: IncidentKind::ClockDisagrees,
    message_id: "0d304b3a393f42c190343727c8b189f5",
    severity: IncidentSeverity::Warning,
    remedy: Remedy::Operator,
    headline: "clock disagrees with RingCX",
    runbook: Runbook {
        what: "This machine's clock and RingCX's are more than 5 minutes apart, so the age of a \
            token cannot be judged.",
        background: "Rotation goes on, nothing is deleted.",
        retried: "The daemon deletes nothing, and compares the clocks again {when}.",
        not_retried: "The daemon deletes nothing until the clocks agree; it compares them with \
            every list.",
        steps: &[
            "Look at this machine's time: `timedatectl status`",
            "Start or mend its time service (chrony, ntpd-rs, systemd-timesyncd).",
        ],
    },
};

pub(super) const RELOAD_FAILED: IncidentInfo = IncidentInfo {
    kind: IncidentKind::ReloadFailed,
    message_id: "41d761ab52864e2a8b9434362e3d689f",
    severity: IncidentSeverity::Warning,
    remedy: Remedy::Operator,
    headline: "policy not reloaded",
    runbook: Runbook {
        what: "The policy was to be read again and has faults. The policy loaded before stays in \
            force, so changes made since then have no effect.",
        background: "",
        retried: "The daemon reads the policy again {when}.",
        not_retried: "Nothing, until you reload the policy again.",
        steps: &[
            "See every fault with its line: `ringcx-rotator check`",
            "Mend the policy, then: `ringcx-rotator reload`",
        ],
    },
};

pub(super) const STUCK: IncidentInfo = IncidentInfo {
    kind: IncidentKind::Stuck,
    message_id: "1dfbf16fb09b444ca3d0e98b431562c7",
    severity: IncidentSeverity::Critical,
    remedy: Remedy::Daemon,
    headline: "work does not come to an end",
    runbook: Runbook {
        what: "The work on account {account} went round in circles and was stopped.",
        background: "This is a fault of this program, perhaps brought on by answers of RingCX that \
            contradict each other.",
        retried: "The daemon begins again {when}.",
        not_retried: NO_TIME_SET,
        steps: &[
            "See what it does again and again: `ringcx-rotator history {account}`",
            "Report that as a bug.",
        ],
    },
};
