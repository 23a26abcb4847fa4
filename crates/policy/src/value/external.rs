//! Log filters and mail addresses. The libraries that use them later also decide here whether they
//! are well written.

use std::net::{Ipv4Addr, Ipv6Addr};

use lettre::message::Mailbox;
use tracing_subscriber::EnvFilter;

use super::{ValueError, ValueKind, kind};

/// A filter of `tracing`, such as `info,ringcx_rotator=debug`.
pub(crate) const LOG_FILTER: ValueKind<String> = kind("a log filter such as \"info\"", |text| {
    let help = "write a level (error, warn, info, debug, trace, off) or `module=level`, \
        separated by commas";
    match EnvFilter::try_new(text) {
        // Valid for the library, but it would log errors only, which is hardly meant by "".
        Ok(_) if text.trim().is_empty() => {
            Err(ValueError::new("empty").help(Some(help.to_owned())))
        }
        Ok(_) => Ok(text.to_owned()),
        Err(_) => Err(ValueError::new("not a log filter").help(Some(help.to_owned()))),
    }
});

/// A mail address, with or without a name before it.
pub(crate) const MAILBOX: ValueKind<String> = kind("a mail address", |text| {
    // A line end could add a header to the mail.
    if text.contains(char::is_control) || text.parse::<Mailbox>().is_err() {
        return Err(ValueError::new("not a mail address").help(Some(
            "write `name@example.com` or `On Call <name@example.com>`, one address a string"
                .to_owned(),
        )));
    }
    Ok(text.to_owned())
});

/// What follows EHLO: a host name, or an address literal (RFC 5321, 4.1.3).
pub(crate) const HELO: ValueKind<String> =
    kind("a host name such as \"mail.example.com\"", |text| {
        let literal = text
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'));
        let is_valid = match literal {
            Some(inner) => match inner.strip_prefix("IPv6:") {
                Some(address) => address.parse::<Ipv6Addr>().is_ok(),
                None => inner.parse::<Ipv4Addr>().is_ok(),
            },
            None => text.len() <= 253 && text.split('.').all(is_label),
        };
        if is_valid {
            return Ok(text.to_owned());
        }
        Err(ValueError::new("not a host name").help(Some(
            "write the fully qualified name of this machine, or its address as \"[10.0.0.1]\" or \
         \"[IPv6:fd00::1]\""
                .to_owned(),
        )))
    });

fn is_label(label: &str) -> bool {
    (1..=63).contains(&label.len())
        && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
        && !label.starts_with('-')
        && !label.ends_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::tests::check;

    #[test]
    fn a_filter_and_an_address_are_what_their_users_take() {
        check(
            &LOG_FILTER,
            "info,ringcx_rotator=debug",
            Some("info,ringcx_rotator=debug".into()),
        );
        check(&LOG_FILTER, "info=nonsense=1", None);
        check(&LOG_FILTER, "", None);
        check(
            &MAILBOX,
            "On Call <oncall@example.com>",
            Some("On Call <oncall@example.com>".into()),
        );
        for bad in ["oncall", "a@b, c@d", "", "a@b\nBcc: c@d"] {
            check(&MAILBOX, bad, None);
        }
    }

    #[test]
    fn a_machine_is_introduced_by_its_name_or_its_address() {
        for good in [
            "rotator.example.com",
            "rotator",
            "[10.0.0.1]",
            "[IPv6:fd00::1]",
        ] {
            check(&HELO, good, Some(good.to_owned()));
        }
        for bad in [
            "",
            "10.0.0.1:25",
            "[fd00::1]",
            "a b",
            "a..b",
            "-a.example.com",
            "a.example.com\r\nMAIL FROM:<x@y>",
            "münchen.de",
        ] {
            check(&HELO, bad, None);
        }
    }
}
