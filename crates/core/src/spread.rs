//! Stable draws, by which accounts that do the same at the same time come apart.
//!
//! A draw depends on names and numbers only: a restart draws the same again, two accounts draw
//! differently. For example, a thousand accounts that fail in one second come back over many.

use std::time::Duration;

use sha2::{Digest, Sha256};

/// A number from 0 up to, not including, 1 that always is the same for these texts.
pub fn draw(of: &[&str]) -> f64 {
    #[cfg(test)]
    if tests::is_even() {
        return 1.0;
    }
    let mut hash = Sha256::new();
    for text in of {
        // The length first: otherwise other texts could make up the same bytes.
        hash.update((text.len() as u64).to_be_bytes());
        hash.update(text.as_bytes());
    }
    let [a, b, c, d, ..] = <[u8; 32]>::from(hash.finalize());
    f64::from(u32::from_be_bytes([a, b, c, d])) / (f64::from(u32::MAX) + 1.0)
}

/// From half of this wait up to all of it.
pub fn within(wait: Duration, draw: f64) -> Duration {
    wait.mul_f64(0.5 + draw / 2.0).min(wait)
}

/// This wait or up to an eighth less, for one that comes again and again: accounts that begin
/// together come apart, as each has a length of its own.
pub fn almost(wait: Duration, draw: f64) -> Duration {
    wait - (wait / 8).mul_f64(draw).min(wait)
}

/// This wait and up to an eighth more, for one that must not be shorter.
pub fn beyond(wait: Duration, draw: f64) -> Duration {
    // Not `mul_f64`, which panics where the product has no room.
    wait.saturating_add((wait / 8).mul_f64(draw))
}

#[cfg(test)]
pub(crate) mod tests {
    use std::cell::Cell;

    use super::*;

    thread_local! {
        static EVEN: Cell<bool> = const { Cell::new(false) };
    }

    /// From here on all draws of this thread are the same: for worlds that are the same but for a
    /// share of a wait.
    pub(crate) fn draw_evenly() {
        EVEN.set(true);
    }

    pub(super) fn is_even() -> bool {
        EVEN.get()
    }

    #[test]
    fn draws_are_stable_even_and_apart() {
        assert_eq!(draw(&["ivr", "1"]).to_bits(), draw(&["ivr", "1"]).to_bits());
        assert_ne!(draw(&["ab", "c"]).to_bits(), draw(&["a", "bc"]).to_bits());
        let mut tenths = [0_usize; 10];
        for number in 0..1_000 {
            let draw = draw(&[&format!("account-{number}")]);
            assert!((0.0..1.0).contains(&draw));
            tenths[(draw * 10.0) as usize] += 1;
        }
        assert!(
            tenths.iter().all(|count| (60..=140).contains(count)),
            "{tenths:?}"
        );
    }

    #[test]
    fn waits_stay_within_their_bounds() {
        for wait in [Duration::ZERO, Duration::from_secs(30), Duration::MAX] {
            for draw in [0.0, 0.5, 0.999_999] {
                assert!((wait / 2..=wait).contains(&within(wait, draw)));
                assert!((wait - wait / 8..=wait).contains(&almost(wait, draw)));
                assert!((wait..=wait.saturating_add(wait / 8)).contains(&beyond(wait, draw)));
            }
        }
    }
}
