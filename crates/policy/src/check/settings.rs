//! The tables `[log]`, `[ringcx]` and `[alerts.email]`.

use rotator_core::config::{RingcxPolicy, SmtpTls};

use crate::defaults;
use crate::did_you_mean::did_you_mean;
use crate::issues::Issues;
use crate::parse::{EmailSpec, LogSpec, RingcxSpec};
use crate::source::At;
use crate::value;

/// `level = "inof"` is a valid filter: it shows what a module named `inof` logs, and nothing else.
/// So a single word that resembles a level is warned about.
pub(super) fn log(spec: &LogSpec, issues: &mut Issues) {
    let Some(At { value: text, span }) = &spec.level else {
        return;
    };
    let levels = ["error", "warn", "info", "debug", "trace", "off"];
    let lower = text.to_ascii_lowercase();
    // Anything beyond letters, such as `=` or `,`, is meant as a filter.
    let is_word = lower.bytes().all(|byte| byte.is_ascii_alphabetic());
    if !is_word || levels.contains(&lower.as_str()) {
        return;
    }
    // Any other word may really be the name of a module.
    if let Some(help) = did_you_mean(&lower, levels) {
        let message = "this is not a level: it is taken for the name of a module";
        issues.warning(*span, message).help(help);
    }
}

/// An address with `/api` at its end, as API documentation prints it. It may be right: a gateway
/// can have RingCX below a path of its own.
fn base_url(spec: &RingcxSpec, issues: &mut Issues) {
    let Some(At { value: url, span }) = &spec.base_url else {
        return;
    };
    let path = url.path().trim_end_matches('/');
    if let Some(prefix) = path.to_ascii_lowercase().strip_suffix("/api") {
        let origin = url.origin().ascii_serialization();
        let help = format!(
            "write `{origin}{}`, unless a gateway has it there",
            &path[..prefix.len()]
        );
        issues
            .warning(*span, "`base-url` ends with /api, which each login adds")
            .help(help);
    }
}

/// A base URL that goes too far, and a connect timeout that can never be reached.
pub(super) fn ringcx(spec: &RingcxSpec, resolved: &RingcxPolicy, issues: &mut Issues) {
    base_url(spec, issues);
    let written = spec.connect_timeout.as_ref();
    // The two defaults go together, so without a written one there is nothing to report.
    let Some(at) = written.or(spec.request_timeout.as_ref()) else {
        return;
    };
    if resolved.connect_timeout > resolved.request_timeout {
        let message =
            "`connect-timeout` is longer than `request-timeout`, which ends the call before it";
        issues.warning(at.span, message);
    }
}

/// How the connection to the mail server is protected.
pub(super) fn email(spec: &EmailSpec, issues: &mut Issues) {
    if let (Some(tls), Some(host)) = (&spec.tls, &spec.host) {
        let is_plain = tls.value == SmtpTls::None;
        let (_, parsed) = &host.value;
        // Without TLS the mails, and the password, can be read on the way.
        if is_plain && !value::is_loopback(parsed) {
            let message = "`tls = \"none\"` is only for a server on loopback";
            issues
                .error(tls.span, message)
                .help("use \"starttls\" or \"implicit\"".to_owned());
        }
    }
    let Some(port) = &spec.port else {
        return;
    };
    // A warning only: a server may well listen on an unusual port.
    let help = match (port.value, At::or(&spec.tls, defaults::TLS)) {
        (465, SmtpTls::StartTls) => "port 465 expects `tls = \"implicit\"`",
        (25 | 587, SmtpTls::Implicit) => "this port expects `tls = \"starttls\"`",
        (_, SmtpTls::StartTls | SmtpTls::Implicit | SmtpTls::None) => return,
    };
    issues
        .warning(port.span, "port and `tls` do not go together")
        .help(help.to_owned());
}
