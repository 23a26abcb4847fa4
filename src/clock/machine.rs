//! The machine's clocks: the wall clock, which can be set, and the one that counts since the machine
//! started, which nothing sets and which goes on while it sleeps.

use std::sync::OnceLock;
use std::time::Duration;

use chrono::{DateTime, Utc};
use rotator_core::event::ClockReading;
use rustix::time::{ClockId, clock_gettime};

/// Names this run of the machine. A unit with `ProcSubset=pid` does not see it.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// Names it where that file is not seen: the unit has systemd's `%b` there.
const BOOT_ID_VARIABLE: &str = "RINGCX_ROTATOR_BOOT_ID";

/// Between the two clocks of one reading no more time passes than that, unless the machine is busy.
const AT_ONCE: Duration = Duration::from_millis(5);

const MOST_TRIES: usize = 20;

/// The wall clock.
pub(super) fn now() -> DateTime<Utc> {
    hook::set(super::wall())
}

/// Both clocks at once: of some tries, the one between whose halves the least time passed.
pub(super) fn read() -> (DateTime<Utc>, ClockReading) {
    let mut best: Option<(Duration, DateTime<Utc>, Duration)> = None;
    for _ in 0..MOST_TRIES {
        let before = since_start();
        let now = now();
        let after = since_start();
        let took = after.saturating_sub(before);
        if best.is_none_or(|(shortest, ..)| took < shortest) {
            best = Some((took, now, after));
        }
        if took <= AT_ONCE {
            break;
        }
    }
    let (_, now, since_start) = best.expect("there was a try");
    let since_start_ms = i64::try_from(since_start.as_millis()).unwrap_or(i64::MAX);
    let reading = ClockReading {
        boot: hook::boot(boot_id()),
        base_ms: now.timestamp_millis().saturating_sub(since_start_ms),
        skew: None,
    };
    (now, reading)
}

fn since_start() -> Duration {
    let time = clock_gettime(ClockId::Boottime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    Duration::from_secs(seconds) + Duration::from_nanos(time.tv_nsec.unsigned_abs())
}

fn boot_id() -> &'static str {
    static BOOT: OnceLock<String> = OnceLock::new();
    BOOT.get_or_init(|| {
        let of_file = std::fs::read_to_string(BOOT_ID).ok();
        let of_unit = || std::env::var(BOOT_ID_VARIABLE).ok();
        let name = of_file.as_deref().and_then(plain_id);
        name.or_else(|| plain_id(&of_unit()?)).unwrap_or_else(|| {
            // Then each process counts as a start of the machine: safe, if less exact.
            format!(
                "process {} {}",
                std::process::id(),
                now().timestamp_micros()
            )
        })
    })
}

/// The 32 digits of an id, with or without dashes.
fn plain_id(text: &str) -> Option<String> {
    let digits = text.trim().replace('-', "").to_ascii_lowercase();
    let is_id = digits.len() == 32 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_id.then_some(digits)
}

/// In a build with debug assertions a test may set the clock, and start the machine anew.
#[cfg(not(debug_assertions))]
mod hook {
    use chrono::{DateTime, Utc};

    pub fn set(now: DateTime<Utc>) -> DateTime<Utc> {
        now
    }

    pub fn boot(id: &str) -> String {
        id.to_owned()
    }
}

#[cfg(debug_assertions)]
mod hook {
    use std::path::PathBuf;
    use std::sync::OnceLock;

    use chrono::{DateTime, TimeDelta, Utc};

    /// A file with the milliseconds by which the wall clock is ahead, and the number of the boot.
    const CLOCK: &str = "RINGCX_ROTATOR_TEST_CLOCK";

    pub fn set(now: DateTime<Utc>) -> DateTime<Utc> {
        match read() {
            Some((ahead_ms, _)) => now + TimeDelta::milliseconds(ahead_ms),
            None => now,
        }
    }

    pub fn boot(id: &str) -> String {
        match read() {
            Some((_, number)) => format!("{id} {number}"),
            None => id.to_owned(),
        }
    }

    fn read() -> Option<(i64, u32)> {
        static PATH: OnceLock<Option<PathBuf>> = OnceLock::new();
        let path = PATH
            .get_or_init(|| std::env::var_os(CLOCK).map(PathBuf::from))
            .as_ref()?;
        let text = std::fs::read_to_string(path).expect("a test keeps the file");
        let (ahead_ms, boot) = text.split_once(' ').expect("a test writes two numbers");
        let wrong = "a test writes two numbers";
        Some((ahead_ms.parse().expect(wrong), boot.parse().expect(wrong)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_boot_is_named_the_same_by_the_kernel_and_by_systemd() {
        let digits = "2f1f8c5a0d3b4e6f9a7b8c9d0e1f2a3b";
        let dashed = "2f1f8c5a-0d3b-4e6f-9a7b-8c9d0e1f2a3b\n";
        for text in [digits, dashed, &digits.to_uppercase()] {
            assert_eq!(plain_id(text).as_deref(), Some(digits));
        }
        for text in ["", "%b", "2f1f", &digits.replace('f', "g")] {
            assert_eq!(plain_id(text), None, "{text}");
        }
    }

    #[test]
    fn two_readings_name_one_boot_and_one_base() {
        let (first, second) = (read().1, read().1);
        assert_eq!(first.boot, second.boot);
        assert!((first.base_ms - second.base_ms).abs() < 250);
    }
}
