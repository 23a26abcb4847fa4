//! What is to be done next, and why. Pure.
