//! How a value is printed. Strings within lists and maps stand in double quotes: what policies
//! print as a whole stays what it is, whatever the template engine does of its own.

use std::fmt;

use minijinja::value::ValueKind;
use minijinja::{AutoEscape, Error, Output, State, Value, escape_formatter};

/// The formatter of the template engine.
pub(super) fn print(
    out: &mut Output<'_>,
    state: &mut State<'_, '_>,
    value: &Value,
) -> Result<(), Error> {
    if is_container(value) && *state.auto_escape() == AutoEscape::None {
        // Straight to where the size is limited: a list that holds itself many times over has no
        // size of its own.
        return fmt::Write::write_fmt(out, format_args!("{:?}", Nested(value)))
            .map_err(Error::from);
    }
    escape_formatter(out, state, value)
}

fn is_container(value: &Value) -> bool {
    match value.kind() {
        ValueKind::Map | ValueKind::Seq => true,
        // One without a length may never end.
        ValueKind::Iterable => value.len().is_some(),
        _ => false,
    }
}

struct Nested<'a>(&'a Value);

impl fmt::Debug for Nested<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(value) = self;
        if let Some(text) = value.as_str() {
            return fmt::Debug::fmt(text, f);
        }
        if !is_container(value) {
            return fmt::Debug::fmt(value, f);
        }
        let items = value.try_iter().map_err(|_| fmt::Error)?;
        if value.kind() != ValueKind::Map {
            let mut list = f.debug_list();
            items.for_each(|item| {
                list.entry(&Nested(&item));
            });
            return list.finish();
        }
        let mut map = f.debug_map();
        for key in items {
            let item = value.get_item(&key).map_err(|_| fmt::Error)?;
            map.entry(&Nested(&key), &Nested(&item));
        }
        map.finish()
    }
}
