//! A RingCX stand-in on loopback, as nasty as the real one may be.
