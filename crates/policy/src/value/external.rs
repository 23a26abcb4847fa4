//! Log filters and mail addresses. The libraries that use them later also decide here whether they
//! are well written.

use lettre::message::Mailbox;
use tracing_subscriber::EnvFilter;

use super::{ValueError, ValueKind, kind};

/// A filter of `tracing`, such as `info,ringcx_rotator=debug`.
pub(crate) const LOG_FILTER: ValueKind<String> = kind("a log filter such as \"info\"", |text| {
    let help = "write a level (error, warn, info, debug, trace, off) or `module=level`, \
        separated by commas";
    match EnvFilter::try_new(text) {
        Ok(_) if text.trim().is_empty() => {
            Err(ValueError::new("empty").help(Some(help.to_owned())))
        }
        Ok(_) => Ok(text.to_owned()),
        Err(_) => Err(ValueError::new("not a log filter").help(Some(help.to_owned()))),
    }
});

/// A mail address, with or without a name before it.
pub(crate) const MAILBOX: ValueKind<String> = kind("a mail address", |text| {
    if text.contains(char::is_control) || text.parse::<Mailbox>().is_err() {
        return Err(ValueError::new("not a mail address").help(Some(
            "write `name@example.com` or `On Call <name@example.com>`, one address a string"
                .to_owned(),
        )));
    }
    Ok(text.to_owned())
});

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
}
