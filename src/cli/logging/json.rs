//! Log lines as JSON: one object a line, of one documented form (`docs/operating.md`).
//!
//! `ts`, `level`, `event`, `message_id` and `message` come first, then the facts of the line. Each
//! key stands there once; what is a number is one, and times are RFC 3339 in UTC.

use std::fmt::{self, Write as _};

use chrono::{DateTime, NaiveDateTime, SecondsFormat, Utc};
use serde::Serializer;
use serde::ser::SerializeMap as _;
use serde_json::Value;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use super::kinds::message_id;
use crate::clock::Clock;
use crate::console::output::LogWriter;

/// Writes each line through this.
pub struct JsonLines<W = LogWriter>(pub fn() -> W);

impl<S: Subscriber, W: std::io::Write + 'static> Layer<S> for JsonLines<W> {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let metadata = event.metadata();
        let mut facts = JsonFacts::default();
        event.record(&mut facts);
        let kind = facts.get("kind").and_then(Value::as_str);
        // A line without a name of its own is called after its place in the source.
        let name = Some(metadata.name()).filter(|name| !name.starts_with("event "));
        let id = name.and_then(|name| message_id(name, kind));
        let ts = Clock::system()
            .now()
            .to_rfc3339_opts(SecondsFormat::Micros, true);
        let head = [
            ("ts", Some(ts.as_str())),
            ("level", Some(metadata.level().as_str())),
            ("event", name),
            ("message_id", id),
            ("message", facts.get("message").and_then(Value::as_str)),
        ];
        if let Ok(mut line) = line(&head, &facts) {
            line.push(b'\n');
            // What cannot be written is dropped.
            let _gone = (self.0)().write_all(&line);
        }
    }
}

/// Keys of the head; a fact of such a name would be a second one.
const HEAD: [&str; 5] = ["ts", "level", "event", "message_id", "message"];

fn line(head: &[(&str, Option<&str>)], facts: &JsonFacts) -> serde_json::Result<Vec<u8>> {
    let mut line = Vec::new();
    let mut json = serde_json::Serializer::new(&mut line);
    let mut map = json.serialize_map(None)?;
    for (key, value) in head {
        if let Some(value) = value {
            map.serialize_entry(key, value)?;
        }
    }
    for (key, value) in &facts.0 {
        if !HEAD.contains(&key.as_str()) {
            map.serialize_entry(key, value)?;
        }
    }
    map.end()?;
    Ok(line)
}

/// The facts of one line, in their order.
#[derive(Default)]
struct JsonFacts(Vec<(String, Value)>);

impl JsonFacts {
    fn get(&self, name: &str) -> Option<&Value> {
        let found = self.0.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value)
    }

    fn put(&mut self, field: &Field, value: Value) {
        if self.get(field.name()).is_none() {
            self.0.push((field.name().to_owned(), value));
        }
    }
}

impl Visit for JsonFacts {
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value.into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        let value =
            if is_time(field) { time(value) } else { None }.unwrap_or_else(|| value.to_owned());
        self.put(field, value.into());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let mut text = String::new();
        // Writing to a string fails only if a `Debug` does; the rest of the line is still of use.
        let _ok = write!(text, "{value:?}");
        // A number in a type of its own, such as a generation, comes as its text.
        let number = || text.parse::<i64>().ok().filter(|it| it.to_string() == text);
        let value = match number() {
            Some(number) if is_number(field) => number.into(),
            Some(_) | None => time(&text)
                .filter(|_| is_time(field))
                .unwrap_or(text)
                .into(),
        };
        self.put(field, value);
    }
}

/// Facts that are numbers in a type of their own.
fn is_number(field: &Field) -> bool {
    matches!(field.name(), "generation")
}

fn is_time(field: &Field) -> bool {
    let name = field.name();
    name.ends_with("_at") || name.ends_with("until") || name.ends_with("since")
}

/// The time in RFC 3339 and UTC, from that or from how it is displayed.
fn time(text: &str) -> Option<String> {
    let displayed = |text: &str| {
        let plain = text.strip_suffix(" UTC")?;
        let read = NaiveDateTime::parse_from_str(plain, "%Y-%m-%d %H:%M:%S%.f");
        Some(read.ok()?.and_utc())
    };
    let at: DateTime<Utc> = match DateTime::parse_from_rfc3339(text) {
        Ok(at) => at.to_utc(),
        Err(_) => displayed(text)?,
    };
    Some(at.to_rfc3339_opts(SecondsFormat::AutoSi, true))
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::collections::BTreeMap;

    use chrono::TimeDelta;
    use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
    use tracing::{error, info};
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    thread_local! {
        static WRITTEN: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    }

    struct Kept;

    impl std::io::Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            WRITTEN.with_borrow_mut(|written| written.extend_from_slice(bytes));
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    /// An object, in which no key may stand twice.
    struct Strict(Vec<String>, BTreeMap<String, Value>);

    impl<'de> Deserialize<'de> for Strict {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            struct Pairs;
            impl<'de> Visitor<'de> for Pairs {
                type Value = Strict;
                fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    f.write_str("an object")
                }
                fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Strict, A::Error> {
                    let mut strict = Strict(Vec::new(), BTreeMap::new());
                    while let Some((key, value)) = map.next_entry::<String, Value>()? {
                        strict.0.push(key.clone());
                        if strict.1.insert(key.clone(), value).is_some() {
                            return Err(serde::de::Error::custom(format!("{key} stands twice")));
                        }
                    }
                    Ok(strict)
                }
            }
            deserializer.deserialize_map(Pairs)
        }
    }

    fn lines(log: impl FnOnce()) -> Vec<Strict> {
        WRITTEN.with_borrow_mut(Vec::clear);
        let layer = JsonLines(|| Kept);
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), log);
        let written = WRITTEN.with_borrow(Clone::clone);
        let text = String::from_utf8(written).unwrap();
        text.lines()
            .map(|line| {
                serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
            })
            .collect()
    }

    #[test]
    fn each_key_stands_once_and_each_value_has_its_type() {
        let at: DateTime<Utc> = "2026-11-22T03:30:00Z".parse().unwrap();
        let later = at + TimeDelta::milliseconds(1_500);
        let lines = lines(|| {
            info!(name: "sink-bound", account = "7", sink = "crm", target = "/run/token",
                generation = %7, failures = 3_u32, parked = false, next_attempt_at = at.to_rfc3339(),
                until = %later, since = "soon", "Sink \"crm\" bound\nhere");
            error!(name: "incident-opened", account = "a", kind = %"login-rejected",
                event = "mine", level = 9, "Incident opened");
            info!("Without a name");
        });
        let [bound, opened, unnamed] = &lines[..] else {
            panic!("{} lines", lines.len());
        };
        let keys = [
            "ts",
            "level",
            "event",
            "message_id",
            "message",
            "account",
            "sink",
            "target",
            "generation",
            "failures",
            "parked",
            "next_attempt_at",
            "until",
            "since",
        ];
        assert_eq!(bound.0, keys);
        let id = message_id("sink-bound", None).unwrap();
        for (key, value) in [
            ("level", Value::from("INFO")),
            ("event", "sink-bound".into()),
            ("message_id", id.into()),
            ("message", "Sink \"crm\" bound\nhere".into()),
            ("account", "7".into()),
            ("generation", 7.into()),
            ("failures", 3.into()),
            ("parked", false.into()),
            ("next_attempt_at", "2026-11-22T03:30:00Z".into()),
            ("until", "2026-11-22T03:30:01.500Z".into()),
            ("since", "soon".into()),
        ] {
            assert_eq!(bound.1[key], value, "{key}");
        }
        let ts = bound.1["ts"].as_str().unwrap();
        assert!(
            ts.ends_with('Z') && DateTime::parse_from_rfc3339(ts).is_ok(),
            "{ts}"
        );
        assert_eq!(opened.1["event"], "incident-opened");
        assert_eq!(
            opened.1["message_id"].as_str(),
            message_id("incident-opened", Some("login-rejected"))
        );
        assert_eq!(unnamed.0, ["ts", "level", "message"]);
    }
}
