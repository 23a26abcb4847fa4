//! Incidents of the login.

use super::{IncidentInfo, IncidentSeverity, NO_TIME_SET, ONLINE, ROTATE, Remedy, Runbook};
use crate::event::IncidentKind;

pub(super) const REJECTED: IncidentInfo = IncidentInfo {
    kind: IncidentKind::LoginRejected,
    message_id: "23afcd9a511442c99fd1b74be5145a67",
    severity: IncidentSeverity::Critical,
    remedy: Remedy::Operator,
    headline: "login rejected",
    runbook: Runbook {
        what: "The login of account {account} was refused. Its user name, password or platform id \
            is wrong, or the user was locked or lost its rights; or, where it logs in by RingEX, \
            its app, its JWT or its access to RingCX: the cause names the host that refused.",
        background: "What to do about each answer of RingEX is in \
            [ringex.md](ringex.md#when-it-is-refused). The next try comes after `rejected-login` \
            (6 h): trying more often is what locks users. The tokens in use keep working.",
        retried: "So as not to lock the user out, the next login is {when}. A changed secret is \
            noticed before that, without a restart.",
        not_retried: "Nothing, until a secret of the login changes, the policy is reloaded, or you \
            start a rotation by hand.",
        steps: &[
            "Log in to RingCX as this user by hand, to see whether it is the password or the user.",
            "Refused by RingEX: see to the app and the JWT in RingCentral's developer console. By \
             RingCX after RingEX let it in: give the user access to RingCX.",
            "Put the right password, client secret or JWT where the policy points. A file is read \
             again by itself; a systemd credential needs `systemctl reload ringcx-rotator`.",
            ROTATE,
        ],
    },
};

pub(super) const FAILED: IncidentInfo = IncidentInfo {
    kind: IncidentKind::LoginFailed,
    message_id: "953c27c25c00425b9775095f31d8a86b",
    severity: IncidentSeverity::Warning,
    remedy: Remedy::Daemon,
    headline: "login failed",
    runbook: Runbook {
        what: "The daemon could not log in to RingCX for account {account}. No secret was refused: \
            RingCX, or RingEX where it logs in by that, could not be reached, or did not answer as \
            it should.",
        background: "The incident also opens when a secret cannot be read on this machine, and when listing \
            tokens fails.",
        retried: "The daemon logs in again {when}.",
        not_retried: NO_TIME_SET,
        steps: &[
            ONLINE,
            "If other machines cannot reach RingCX either, look at RingCentral's service status.",
            "If only this one cannot: look at its network, DNS, proxy and firewall.",
        ],
    },
};

pub(super) const PASSWORD_RESET_REQUIRED: IncidentInfo = IncidentInfo {
    kind: IncidentKind::PasswordResetRequired,
    message_id: "aacd86e2218240708d2e015bf1a5f664",
    severity: IncidentSeverity::Warning,
    remedy: Remedy::Operator,
    headline: "password must be changed",
    runbook: Runbook {
        what: "RingCX wants the password of account {account} changed. The login still works, but \
            may stop working at any time.",
        background: "",
        retried: "The daemon goes on as before and looks again {when}.",
        not_retried: "The daemon goes on as before for as long as the password works.",
        steps: &[
            "Change the user's password in RingCX.",
            "Put the new one where the policy's `password` points. A file is read again by itself; \
             a systemd credential needs `systemctl reload ringcx-rotator`.",
        ],
    },
};
