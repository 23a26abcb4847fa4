//! A fixed number for each kind of thing that is logged: the `MESSAGE_ID` of the journal.
//!
//! `journalctl MESSAGE_ID=…` finds all of one kind, and `journalctl -x` explains them by the
//! catalog in `systemd/ringcx-rotator.catalog`. A number that is in somebody's filter never
//! changes. An event has its name where it is logged, as in `info!(name: "minted", …)`; the opening
//! of an incident has a number for each kind of incident.

/// By name, and for incidents by name and kind.
const IDS: &[(&str, &str)] = &[
    ("abandoned", "198474d2ad6b4b8cbf5533bca7410bd5"),
    ("account-not-started", "5019fe10147548e6aa5d04c91dd2d220"),
    ("account-released", "b36f5ee982a74ef085be616fe6289a98"),
    ("account-task-ended", "8b71d2deaddd413b886740f102ce86d7"),
    ("acknowledged", "c9ff6b80f9e54d95b3acec9caf04e4b7"),
    ("adopted", "2b643c39088c4f33845cc63eeb0cb595"),
    ("adopted-held", "a78892a3ed1f44d7a76573896772546c"),
    ("alerts-journaled", "6fa632003a0941f28585d55f9d3fa95c"),
    ("alerts-not-journaled", "ecf9d131398449e4b2b72b6b72ea161f"),
    ("alerts-resumed", "88cdb0f84c984e89bce8f2c6c29ef9ea"),
    ("attempt-failed", "d287591c18d2465db97700804d6cbb82"),
    ("clock-agreed", "3e8736286e2b4f58951db25db22ca6d0"),
    ("clock-disagreed", "cdc72b4fd73644a18aacda9ceae5380b"),
    ("connection-not-taken", "76469747d44443fd89f8b4bcfce598e4"),
    ("delete-intended", "9370aa93f25640ada4fa82721f345691"),
    ("delivered", "3af84a9934de4198aeb357488cf449d2"),
    ("delivery-failed", "68cd44ae60dc4db8a520ad449acc5c1d"),
    ("delivery-intended", "81edb9361ded41989c11c9efeddb33d0"),
    ("disowned", "495569d8ee574fa4a9379540258c9420"),
    ("drifted", "4b5a3bed9c0e4e3db6a026ad5352e807"),
    ("foreign-gone", "ebde1f2fa713464ab38e43e52d5f5776"),
    ("foreign-seen", "9779fc7159d1444cadbebc9acd2f04f5"),
    ("history-compacted", "efd71fd33b134ffe9a05fa1e6cb2b319"),
    ("history-not-compacted", "3b461335575b4428ab2073954af3201b"),
    ("hold-lifted", "854f87ae890a4a9dabde290454a15408"),
    ("incident-closed", "b0034503c1434e4cb10d635a77c5d9e8"),
    ("incident-resolved", "990e787e61c64581bc5f2367c32e8c69"),
    ("journal-not-closed", "686353719d8943388ed99e95941386b1"),
    ("journal-refused", "6d3c7ad2c3dd4bac883412149aa9ade4"),
    ("journal-works", "d1282fd32180468f845c8fc921a297cb"),
    ("lane-cleared", "51b21d2bd4374a75b503ca8a4cf60889"),
    ("left-over-removed", "10dc01d0e2c14480b8249292fc3563c4"),
    ("line-started", "efea557ec6014205918b306afdd65fec"),
    ("logging-not-changed", "edb3cce0301844f9b8f4a7e2d26bada7"),
    ("login-attempted", "97a6294347a841b0b466e2a00b5c08a2"),
    ("lost-mint-closed", "ee766956741942f6ab42b55b391b169e"),
    ("mail-dropped", "a503e5d1396c4c3595a53968f04288d2"),
    ("mail-failed", "6549d91309724b83a3b251dbfd34ecf1"),
    ("mail-left-unsent", "55a24daeeccd4fd7acc2899a22bb15ab"),
    ("mail-recipient-refused", "ea650971db404bc1b2c6984829fb7586"),
    ("mail-sent", "a53b7a5ef8fb42288299565e66140335"),
    ("mint-ambiguous", "40bddf594bc84ff4881da6bd035656ca"),
    ("mint-failed", "f2486bd43e1546ecbca03d50bc86adaa"),
    ("mint-intended", "c72c661ca13041a88fc77ced7276d30e"),
    ("mint-missing", "682379ec81e84f2eb31bda875db1e99f"),
    ("mint-unknown", "90545686674f41f28c6df30f48db7565"),
    ("minted", "698a2e1d1644479b86976947929f9392"),
    ("no-progress", "98417876aac04338ba6480d94bcd5f10"),
    ("notified", "8b0ae51adc94419fbc739d794aeb8219"),
    ("notify-owed", "50a6ef98af0c4e4f8d3d3a59df1ba59c"),
    ("panicked", "a52f43eb669a406191ddd690fc0a8576"),
    ("pass-too-long", "38d2d5866dc244f8b2b02afb742892cd"),
    ("password-reset-over", "76a11578178349918ad3f7349bc3f3a8"),
    (
        "password-reset-required",
        "98d0733912a94f9fb9561f655e39b4dc",
    ),
    ("policy-not-reloaded", "fc10ea5b5cec43868c0364c201c88be0"),
    ("policy-reloaded", "daf5eea2d41740d39f20898dc19b6f9a"),
    ("promoted", "4591aac4d34040d2b948df6909819c43"),
    ("proved", "609389aa7d974b479d755249a29072cd"),
    ("ready", "52e1d5c7f3554a55b2e8dc0fd3c435d8"),
    ("reappeared", "3992973a368748e191860465046be2a9"),
    ("restart-needed", "248baf6654ca4233ad65212d2e075e48"),
    ("retired", "3ca58d033f2c4159ad3f70d27e11bfb1"),
    ("ringex-attempted", "45971004c4e04881ba019f5bff5a410e"),
    ("ringex-quiet", "fafc8934229148ffba9bd5e764ba5366"),
    ("rotation-asked", "929aa283b40547cebb354d4b0e988e63"),
    ("rotation-not-done", "3e85a48f42454d0f93514cee51c0f0e1"),
    ("scheduler-refused", "3dc3e0886bed4cd198232313beaae0cb"),
    ("sink-bound", "b5abbd139fa14002bd93dbe45c0127e1"),
    ("sink-released", "0aebc8f1244347e8957d49da0ece1899"),
    ("step-cut-off", "b39691f8ea424cf8aafa41596eb3e2d8"),
    ("stopped-at-once", "cba28c7954a84745ad1cc2aa46e3a616"),
    ("stopping", "fcb0886f4d9048fcadfb47c13336278c"),
    ("token-lost", "0a2a8ec9b4644c7aa32e79d1bffca6be"),
    ("verified", "97f02a9e7be6472ea9d88f17178ff1d7"),
    (
        "incident-opened/login-rejected",
        "23afcd9a511442c99fd1b74be5145a67",
    ),
    (
        "incident-opened/login-failed",
        "953c27c25c00425b9775095f31d8a86b",
    ),
    (
        "incident-opened/password-reset-required",
        "aacd86e2218240708d2e015bf1a5f664",
    ),
    (
        "incident-opened/preflight-failed",
        "bfdd843e45be4b22b1d08d30ed54d52d",
    ),
    (
        "incident-opened/mint-failed",
        "c4a58438f0854218a35a45f1d7ed5378",
    ),
    (
        "incident-opened/mint-unknown",
        "f35468a4d3a0449bad1c942ff81621a5",
    ),
    (
        "incident-opened/mint-capped",
        "084d69d8950641e5948d7d45649b0b01",
    ),
    (
        "incident-opened/verify-failed",
        "d189f1ca402d4d10bc41f3789efd349c",
    ),
    (
        "incident-opened/sink-failed",
        "b5d6b4f3c200482195983a358b3fc428",
    ),
    (
        "incident-opened/sink-drifted",
        "2d4fe7ea86d94f60a484d367fd51de3e",
    ),
    (
        "incident-opened/notify-failed",
        "67b514c3884e4f2ebe227c443a58ce09",
    ),
    (
        "incident-opened/acknowledgement-late",
        "e5b08455484f44a79f9d54625694b7e4",
    ),
    (
        "incident-opened/token-lost",
        "75e89dd3e8944fc09d699ef0aac48cf2",
    ),
    (
        "incident-opened/retire-failed",
        "7224c626f8874b2394b2da717e1d7031",
    ),
    (
        "incident-opened/rotation-overdue",
        "d1a46fb858dd41838e681304eb23f225",
    ),
    (
        "incident-opened/retirement-overdue",
        "a680f4f9e7c74bb384f2d21828e1042a",
    ),
    (
        "incident-opened/clock-disagrees",
        "0d304b3a393f42c190343727c8b189f5",
    ),
    (
        "incident-opened/reload-failed",
        "41d761ab52864e2a8b9434362e3d689f",
    ),
];

/// Incidents are told apart by their kind.
const INCIDENT: &str = "incident-opened";

/// The number of an event of this name; `kind` is its field of that name.
pub fn message_id(name: &str, kind: Option<&str>) -> Option<&'static str> {
    let incident = kind
        .filter(|_| name == INCIDENT)
        .map(|kind| format!("{name}/{kind}"));
    let key = incident.as_deref().unwrap_or(name);
    IDS.iter()
        .find(|(known, _)| *known == key)
        .map(|(_, id)| *id)
}

#[cfg(test)]
pub fn all() -> &'static [(&'static str, &'static str)] {
    IDS
}
