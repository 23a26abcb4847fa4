//! Bodies as RingCX sends them, parsed as hostile input.
