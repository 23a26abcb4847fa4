//! The table is complete, and its texts can be filled in.

use std::collections::BTreeSet;

use super::*;

#[test]
fn every_row_has_a_number_and_a_runbook() {
    let ids: BTreeSet<&str> = INCIDENTS.iter().map(|info| info.message_id).collect();
    assert_eq!(ids.len(), INCIDENTS.len());
    for info in &INCIDENTS {
        let name = info.kind.name();
        assert_eq!(info.message_id.len(), 32, "{name}");
        assert!(std::ptr::eq(info.kind.info(), info.kind.info()), "{name}");
        assert_eq!(info.kind.info().kind, info.kind);
        assert!(info.runbook.what.ends_with('.'), "{name}");
        assert!(info.runbook.retried.contains("{when}"), "{name}");
        assert!(!info.runbook.not_retried.contains("{when}"), "{name}");
        assert!((2..=4).contains(&info.runbook.steps.len()), "{name}");
    }
}

#[test]
fn texts_hold_no_other_placeholder_than_account_sink_and_when() {
    for info in &INCIDENTS {
        let runbook = &info.runbook;
        let texts = [
            info.headline,
            runbook.what,
            runbook.background,
            runbook.retried,
            runbook.not_retried,
        ];
        for text in texts.iter().chain(runbook.steps) {
            let filled = text
                .replace("{account}", "a")
                .replace("{sink}", "s")
                .replace("{when}", "now");
            assert!(!filled.contains(['{', '}']), "{}: {text}", info.kind);
            assert!(!filled.contains("  "), "{}: {text}", info.kind);
        }
    }
}

/// The journal, JSON and keys of incidents have the serialised name.
#[test]
fn a_kind_is_serialised_under_its_name() {
    for info in &INCIDENTS {
        let written = serde_json::to_value(info.kind).unwrap();
        assert_eq!(written, info.kind.name());
        assert_eq!(info.kind.to_string(), info.kind.name());
    }
}

#[test]
fn a_token_in_use_that_is_gone_is_worse_than_a_file_that_is_repaired() {
    let severity = |kind: IncidentKind| kind.info().severity;
    assert!(severity(IncidentKind::TokenLost) > severity(IncidentKind::SinkFailed));
    assert!(severity(IncidentKind::SinkFailed) > severity(IncidentKind::SinkDrifted));
    let names = [
        IncidentSeverity::Info,
        IncidentSeverity::Warning,
        IncidentSeverity::Critical,
    ]
    .map(IncidentSeverity::name);
    assert_eq!(names, ["info", "warning", "critical"]);
}
