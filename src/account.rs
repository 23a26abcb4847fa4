//! An account's state: the fold of its events.
