//! The RingCX client over HTTP.
