//! The fold of events, any events; and their form in the journal.

pub mod any_events;
mod journal_format;
mod stages;
