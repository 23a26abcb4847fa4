//! A fixed number for each kind of log line: the `MESSAGE_ID` of systemd's journal.
//!
//! `journalctl MESSAGE_ID=…` finds all lines of one kind, and `journalctl -x` explains them with
//! the catalog in `systemd/ringcx-rotator.catalog`. A number never changes: operators have it in their
//! filters. Those of an account's events are in [`EventKind`], those of incidents in [`INCIDENTS`];
//! here are the lines about the daemon itself. Each has its name where it is logged, as in
//! `info!(name: "ready", …)`.

use rotator_core::event::EventKind;
use rotator_core::incidents::INCIDENTS;

/// Name and number of each line that is about neither an event nor the opening of an incident.
const DAEMON: &[(&str, &str)] = &[
    ("account-not-started", "5019fe10147548e6aa5d04c91dd2d220"),
    ("account-released", "b36f5ee982a74ef085be616fe6289a98"),
    ("account-task-ended", "8b71d2deaddd413b886740f102ce86d7"),
    ("alerts-journaled", "6fa632003a0941f28585d55f9d3fa95c"),
    ("alerts-not-journaled", "ecf9d131398449e4b2b72b6b72ea161f"),
    ("alerts-resumed", "88cdb0f84c984e89bce8f2c6c29ef9ea"),
    ("connection-not-taken", "76469747d44443fd89f8b4bcfce598e4"),
    ("history-compacted", "efd71fd33b134ffe9a05fa1e6cb2b319"),
    ("history-not-compacted", "3b461335575b4428ab2073954af3201b"),
    ("incident-closed", "b0034503c1434e4cb10d635a77c5d9e8"),
    ("incident-resolved", "990e787e61c64581bc5f2367c32e8c69"),
    ("journal-not-closed", "686353719d8943388ed99e95941386b1"),
    ("journal-refused", "6d3c7ad2c3dd4bac883412149aa9ade4"),
    ("journal-works", "d1282fd32180468f845c8fc921a297cb"),
    ("left-over-removed", "10dc01d0e2c14480b8249292fc3563c4"),
    ("directory-locked", "5c1d7a90b8e24f3d9a6f02e4c7b8d135"),
    ("log-lines-dropped", "1fe16347396e479587314458d57f68f6"),
    ("logging-not-changed", "edb3cce0301844f9b8f4a7e2d26bada7"),
    ("mail-dropped", "a503e5d1396c4c3595a53968f04288d2"),
    ("mail-failed", "6549d91309724b83a3b251dbfd34ecf1"),
    ("mail-left-unsent", "55a24daeeccd4fd7acc2899a22bb15ab"),
    ("mail-recipient-refused", "ea650971db404bc1b2c6984829fb7586"),
    ("mail-sent", "a53b7a5ef8fb42288299565e66140335"),
    ("no-progress", "98417876aac04338ba6480d94bcd5f10"),
    ("odd-list-entries", "ca840502c5b84a6f9a21c3c31cc9acd9"),
    ("panicked", "a52f43eb669a406191ddd690fc0a8576"),
    ("pass-too-long", "38d2d5866dc244f8b2b02afb742892cd"),
    ("policy-not-reloaded", "fc10ea5b5cec43868c0364c201c88be0"),
    ("policy-reloaded", "daf5eea2d41740d39f20898dc19b6f9a"),
    ("ready", "52e1d5c7f3554a55b2e8dc0fd3c435d8"),
    ("restart-needed", "248baf6654ca4233ad65212d2e075e48"),
    ("rotation-not-done", "3e85a48f42454d0f93514cee51c0f0e1"),
    ("scheduler-refused", "3dc3e0886bed4cd198232313beaae0cb"),
    ("step-cut-off", "b39691f8ea424cf8aafa41596eb3e2d8"),
    ("stopped-at-once", "cba28c7954a84745ad1cc2aa46e3a616"),
    ("stopping", "fcb0886f4d9048fcadfb47c13336278c"),
    ("trust-not-read", "642aa895fc6e486481c9a71873d98de2"),
];

/// The opening of an incident, with a number for each kind of incident.
const INCIDENT: &str = "incident-opened";

/// The number of a log line of this name; `kind` is its field of that name.
pub fn message_id(name: &str, kind: Option<&str>) -> Option<&'static str> {
    // First, because one name stands for all incidents and its field tells them apart.
    if name == INCIDENT {
        let info = INCIDENTS.iter().find(|info| Some(info.kind.name()) == kind);
        return info.map(|info| info.message_id);
    }
    let event = EventKind::ALL.iter().find(|event| event.name() == name);
    event.map(|event| event.message_id()).or_else(|| {
        let known = DAEMON.iter().find(|(known, _)| *known == name);
        known.map(|(_, id)| *id)
    })
}

// Every name, and for incidents `incident-opened/KIND`, with its number.
#[cfg(test)]
pub fn all() -> Vec<(String, &'static str)> {
    let events = EventKind::ALL
        .iter()
        .map(|event| (event.name().to_owned(), event.message_id()));
    let incidents = INCIDENTS
        .iter()
        .map(|info| (format!("{INCIDENT}/{}", info.kind), info.message_id));
    let daemon = DAEMON.iter().map(|(name, id)| ((*name).to_owned(), *id));
    events.chain(incidents).chain(daemon).collect()
}
