//! Each check, made to fail.
