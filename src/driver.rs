//! Performs one step at a time and turns what came of it into events.
