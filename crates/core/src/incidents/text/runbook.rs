//! What each kind of incident means, what the daemon does about it, and what a person can do.
//!
//! One place for each kind in every list, so that a new kind does not compile until it has its
//! words.

use crate::event::IncidentKind;
use crate::incidents::{DAEMON, IncidentKey};

/// An incident as the words speak of it.
pub(super) struct AdviceSubject<'a> {
    kind: IncidentKind,
    account: &'a str,
    sink: Option<&'a str>,
}

impl<'a> AdviceSubject<'a> {
    pub(super) fn of(key: &'a IncidentKey) -> Self {
        Self {
            kind: key.kind,
            account: &key.account,
            sink: key.sink.as_deref(),
        }
    }

    /// The account's name, or `daemon`.
    pub(super) fn place(&self) -> &'a str {
        if self.account == DAEMON {
            "daemon"
        } else {
            self.account
        }
    }

    /// What failed, in a few words.
    pub(super) fn headline(&self) -> String {
        let sink = self.sink();
        match self.kind {
            IncidentKind::LoginRejected => "login rejected".into(),
            IncidentKind::LoginFailed => "login failed".into(),
            IncidentKind::PasswordResetRequired => "password must be changed".into(),
            IncidentKind::PreflightFailed => format!("{sink} cannot take a token"),
            IncidentKind::MintFailed => "no token could be minted".into(),
            IncidentKind::MintUnknown => "outcome of a mint unknown".into(),
            IncidentKind::MintCapped => "too many live tokens".into(),
            IncidentKind::VerifyFailed => "new token does not work".into(),
            IncidentKind::SinkFailed => format!("{sink} failed"),
            IncidentKind::SinkDrifted => format!("{sink} drifted"),
            IncidentKind::NotifyFailed => format!("consumer of {sink} not told"),
            IncidentKind::AcknowledgementLate => format!("consumer of {sink} is late"),
            IncidentKind::TokenLost => "current token lost".into(),
            IncidentKind::RetireFailed => "old token not deleted".into(),
            IncidentKind::RotationOverdue => "rotation overdue".into(),
            IncidentKind::RetirementOverdue => "retirement overdue".into(),
            IncidentKind::ClockDisagrees => "clock disagrees with RingCX".into(),
            IncidentKind::ReloadFailed => "policy not reloaded".into(),
        }
    }

    /// What failed, in full.
    pub(super) fn what(&self) -> String {
        let (account, sink) = (self.place(), self.sink());
        match self.kind {
            IncidentKind::LoginRejected => format!(
                "The login of account {account} was refused. Its user name, password or platform id is wrong, \
                 or the user was locked or lost its rights; or, where it logs in by RingEX, its app, its JWT \
                 or its access to RingCX: the cause names the host that refused."
            ),
            IncidentKind::LoginFailed => format!(
                "The daemon could not log in to RingCX for account {account}. No secret was refused: RingCX, or \
                 RingEX where it logs in by that, could not be reached, or did not answer as it should."
            ),
            IncidentKind::PasswordResetRequired => format!(
                "RingCX wants the password of account {account} changed. The login still works, but may stop \
                 working at any time."
            ),
            IncidentKind::PreflightFailed => format!(
                "A rotation of account {account} is due, but {sink} could not take a token now. So none was \
                 minted."
            ),
            IncidentKind::MintFailed => format!("RingCX made no new token for account {account}."),
            IncidentKind::MintUnknown => format!(
                "A new token was asked for, for account {account}, and the answer was lost. The list of tokens \
                 does not tell which of them was made by it, so there may be one that nobody keeps."
            ),
            IncidentKind::MintCapped => format!(
                "As many tokens of account {account} are alive as `max-live` allows, so no new one is minted. \
                 Old ones are not being retired as fast as new ones are made."
            ),
            IncidentKind::VerifyFailed => format!(
                "A new token of account {account} did not work within `verify-within`. It was given to no \
                 sink, and will be deleted."
            ),
            IncidentKind::SinkFailed => format!(
                "The new token of account {account} is minted and works, but {sink} did not take it, or could \
                 not be shown to hold it."
            ),
            IncidentKind::SinkDrifted => format!(
                "In account {account}, {sink} no longer held the current token: somebody else wrote to it or \
                 took it away."
            ),
            IncidentKind::NotifyFailed => format!(
                "In account {account}, {sink} holds the new token, but what the policy runs to tell its \
                 consumer (`notify`) failed. The consumer may go on with an older token."
            ),
            IncidentKind::AcknowledgementLate => format!(
                "In account {account}, the consumer of {sink} has not said within its time that it uses the \
                 new token (`acknowledge`)."
            ),
            IncidentKind::TokenLost => format!(
                "A token of account {account} that is in use, or about to be, is gone from RingCX. It was not \
                 deleted by this daemon. Whatever uses it fails now."
            ),
            IncidentKind::RetireFailed => format!(
                "An old token of account {account} is past its time and could not be deleted. It is still \
                 valid for whoever holds it."
            ),
            IncidentKind::RotationOverdue => format!(
                "A rotation of account {account} has been due for longer than `overdue-after`, for whatever \
                 reason. The current token is older than the policy wants."
            ),
            IncidentKind::RetirementOverdue => format!(
                "An old token of account {account} should have been deleted for longer than `overdue-after`. \
                 It is still valid for whoever holds it."
            ),
            IncidentKind::ClockDisagrees => {
                "This machine's clock and RingCX's are more than 5 minutes apart, so the age of a token cannot \
                 be judged."
                    .into()
            }
            IncidentKind::ReloadFailed => {
                "The policy was to be read again and has faults. The policy loaded before stays in force, so \
                 changes made since then have no effect."
                    .into()
            }
        }
    }

    /// What the daemon does next, where it tries again by itself; `when` is `now` or `at … (in …)`.
    pub(super) fn retried(&self, when: &str) -> String {
        match self.kind {
            IncidentKind::LoginRejected => format!(
                "So as not to lock the user out, the next login is {when}. A changed secret is noticed before \
                 that, without a restart."
            ),
            IncidentKind::LoginFailed => format!("The daemon logs in again {when}."),
            IncidentKind::PasswordResetRequired => {
                format!("The daemon goes on as before and looks again {when}.")
            }
            IncidentKind::PreflightFailed => {
                format!(
                    "The daemon looks at its sinks again {when}, and mints once all required ones are ready."
                )
            }
            IncidentKind::MintFailed => format!("The daemon asks for a token again {when}."),
            IncidentKind::MintUnknown => {
                format!(
                    "The daemon goes on with the rotation {when}, never beyond `max-live` tokens."
                )
            }
            IncidentKind::MintCapped => {
                format!("The daemon looks again {when}. It mints as soon as an old token is gone.")
            }
            IncidentKind::VerifyFailed => format!("The daemon mints another token {when}."),
            IncidentKind::SinkFailed => {
                format!(
                    "The daemon delivers the same token again {when}. No further token is minted for it."
                )
            }
            IncidentKind::SinkDrifted => {
                format!("The daemon delivers the current token again {when}.")
            }
            IncidentKind::NotifyFailed => {
                format!(
                    "The daemon tells the consumer again {when}. What it may still use is not deleted."
                )
            }
            IncidentKind::AcknowledgementLate => {
                format!(
                    "The daemon looks again {when}. What the consumer may still use is not deleted."
                )
            }
            IncidentKind::TokenLost => format!("The daemon starts a rotation {when}."),
            IncidentKind::RetireFailed => format!("The daemon tries the deletion again {when}."),
            IncidentKind::RotationOverdue => format!("The daemon tries the rotation again {when}."),
            IncidentKind::RetirementOverdue => {
                format!("The daemon tries the retirement again {when}.")
            }
            IncidentKind::ClockDisagrees => {
                format!("The daemon deletes nothing, and compares the clocks again {when}.")
            }
            IncidentKind::ReloadFailed => format!("The daemon reads the policy again {when}."),
        }
    }

    /// What the daemon does next, where no time is set for it.
    pub(super) fn not_retried(&self) -> String {
        let account = self.place();
        match self.kind {
            IncidentKind::LoginRejected => {
                "Nothing, until a secret of the login changes, the policy is reloaded, or you start a rotation by hand."
                    .into()
            }
            IncidentKind::SinkFailed => {
                "Nothing more is sent to this sink until the policy is reloaded or you start a rotation by hand."
                    .into()
            }
            IncidentKind::PasswordResetRequired => {
                "The daemon goes on as before for as long as the password works.".into()
            }
            IncidentKind::SinkDrifted => "The daemon delivers the current token again at its next pass.".into(),
            IncidentKind::MintCapped => "The daemon mints as soon as an old token is gone.".into(),
            IncidentKind::ClockDisagrees => {
                "The daemon deletes nothing until the clocks agree; it compares them with every list.".into()
            }
            IncidentKind::ReloadFailed => "Nothing, until you reload the policy again.".into(),
            IncidentKind::MintUnknown => {
                "The daemon touches none of the unknown tokens. It goes on rotating, never beyond `max-live` \
                 tokens."
                    .into()
            }
            IncidentKind::AcknowledgementLate => {
                "The daemon deletes no token that the consumer may still use. It looks at every check.".into()
            }
            IncidentKind::LoginFailed
            | IncidentKind::PreflightFailed
            | IncidentKind::MintFailed
            | IncidentKind::VerifyFailed
            | IncidentKind::NotifyFailed
            | IncidentKind::TokenLost
            | IncidentKind::RetireFailed
            | IncidentKind::RotationOverdue
            | IncidentKind::RetirementOverdue => {
                format!("No time is set for the next try: `ringcx-rotator plan {account}` says what it waits for.")
            }
        }
    }

    /// What a person can do, one step each.
    pub(super) fn steps(&self) -> Vec<String> {
        let account = self.place();
        let rotate = format!("Then try at once: `ringcx-rotator rotate {account}`");
        let plan = format!("See what it waits for: `ringcx-rotator plan {account}`");
        let tokens = format!(
            "See which tokens there are and who holds them: `ringcx-rotator tokens {account}`"
        );
        let online = "Test logins, sinks and mail without changing anything: `ringcx-rotator check --online`";
        match self.kind {
            IncidentKind::LoginRejected => vec![
                "Log in to RingCX as this user by hand, to see whether it is the password or the user.".into(),
                "Refused by RingEX: see to the app and the JWT in RingCentral's developer console. By RingCX after RingEX let it in: give the user access to RingCX.".into(),
                "Put the right password, client secret or JWT where the policy points. A file is read again by itself; a systemd credential needs `systemctl reload ringcx-rotator`.".into(),
                rotate,
            ],
            IncidentKind::LoginFailed => vec![
                online.into(),
                "If other machines cannot reach RingCX either, look at RingCentral's service status.".into(),
                "If only this one cannot: look at its network, DNS, proxy and firewall.".into(),
            ],
            IncidentKind::PasswordResetRequired => vec![
                "Change the user's password in RingCX.".into(),
                "Put the new one where the policy's `password` points. A file is read again by itself; a systemd credential needs `systemctl reload ringcx-rotator`.".into(),
            ],
            IncidentKind::PreflightFailed => vec![
                "For a file: its directory must exist, be writable for the daemon and have room, its owner and \
                 group must exist, and the target must be a regular file or absent. Under systemd the \
                 directory must also be in the unit's ReadWritePaths."
                    .into(),
                online.into(),
                rotate,
            ],
            IncidentKind::MintFailed => vec![
                "Check that this user may still make API tokens in RingCX.".into(),
                online.into(),
                rotate,
            ],
            IncidentKind::MintUnknown => vec![
                tokens,
                format!(
                    "Delete a foreign token that nobody claims: `ringcx-rotator revoke {account} FINGERPRINT`"
                ),
            ],
            IncidentKind::MintCapped => vec![
                format!("See what keeps old tokens from being retired: `ringcx-rotator plan {account}`"),
                tokens,
                format!("Delete one that is not needed: `ringcx-rotator revoke {account} FINGERPRINT`"),
                "Or raise `retention.max-live` in the policy, and reload.".into(),
            ],
            IncidentKind::VerifyFailed => vec![
                "If the cause names the account list: this user may have lost its access to the RingCX \
                 accounts."
                    .into(),
                online.into(),
                "If RingCX is only slow to accept new tokens: raise `verify-within` in the policy, and reload.".into(),
            ],
            IncidentKind::SinkFailed => vec![
                "For a file: look at its directory's permissions, owner, group and free space. For a webhook: \
                 look at the receiver, its certificate and its log."
                    .into(),
                "A sink that is no longer wanted can be taken out of the policy, or made `required = false`.".into(),
                rotate,
            ],
            IncidentKind::SinkDrifted => vec![
                "Find out what else writes there: a deployment, a configuration tool, a restored backup.".into(),
                "Whatever read the sink meanwhile may need to read it again.".into(),
            ],
            IncidentKind::NotifyFailed => vec![
                "For a unit: see how it is (`systemctl status UNIT`), and whether polkit lets the daemon do \
                 this to it: `ringcx-rotator systemd-dropin --polkit --write`."
                    .into(),
                "For a program: run it by hand as the daemon's user.".into(),
                rotate,
            ],
            IncidentKind::AcknowledgementLate => vec![
                "See whether the consumer runs, and has read the file since it changed.".into(),
                "See whether it can write its acknowledgement, and the daemon can read it.".into(),
                "If it no longer acknowledges: take `acknowledge` out of the policy, and reload.".into(),
            ],
            IncidentKind::TokenLost => vec![
                "Find out who deletes tokens of this user in RingCX, or whether the user was disabled.".into(),
                format!("See what is known of it: `ringcx-rotator history {account}`"),
                format!("See how the new rotation goes: `ringcx-rotator status {account}`"),
            ],
            IncidentKind::RetireFailed => vec![
                tokens,
                "If the token has leaked, delete it in RingCX by hand now: the daemon will notice.".into(),
            ],
            IncidentKind::RotationOverdue => vec![
                plan,
                "Look for other mails about this account: they name the cause.".into(),
                rotate,
            ],
            IncidentKind::RetirementOverdue => vec![
                plan,
                tokens,
                "A required sink that is gone for good must be taken out of the policy: until then its token \
                 is kept."
                    .into(),
            ],
            IncidentKind::ClockDisagrees => vec![
                "Look at this machine's time: `timedatectl status`".into(),
                "Start or mend its time service (chrony, ntpd-rs, systemd-timesyncd).".into(),
            ],
            IncidentKind::ReloadFailed => vec![
                "See every fault with its line: `ringcx-rotator check`".into(),
                "Mend the policy, then: `ringcx-rotator reload`".into(),
            ],
        }
    }

    fn sink(&self) -> String {
        self.sink
            .map_or_else(|| "a sink".to_owned(), |sink| format!("sink {sink}"))
    }
}
