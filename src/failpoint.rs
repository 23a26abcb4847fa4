//! What this program does to the world outside of it, by name: a call, a commit, a file, a mail.
//!
//! Each such act passes here just before and just after it happens, so the callers of this module
//! are the whole list of what a crash can come between. In a build with debug assertions a test may
//! have the acts written down, and may have the process stop dead at any one of them: no destructor
//! runs and nothing is flushed, as when it is killed. In a release build there is nothing of this.
//!
//! What does not pass here: what SQLite does to its files within a commit, the lock, the control
//! socket, logs and what systemd is told. What this does not know: whether an act succeeded, and
//! what it was for.

use std::future::Future;

/// Does something outside of this process, for example `around("rename", || …)`.
pub fn around<T>(name: &'static str, act: impl FnOnce() -> T) -> T {
    let begun = Guard::now(name);
    let done = act();
    begun.ends();
    done
}

/// Like [`around`], for an act that is awaited.
pub async fn around_async<T>(name: &'static str, act: impl Future<Output = T>) -> T {
    let begun = Guard::now(name);
    let done = act.await;
    begun.ends();
    done
}

#[cfg(not(debug_assertions))]
struct Guard;

#[cfg(not(debug_assertions))]
impl Guard {
    fn now(_: &'static str) -> Self {
        Self
    }

    fn ends(self) {}
}

#[cfg(debug_assertions)]
use watched::Guard;

#[cfg(debug_assertions)]
mod watched {
    use std::collections::BTreeMap;
    use std::fs::File;
    use std::io::Write;
    use std::sync::{Mutex, OnceLock, PoisonError};

    /// A file that the name of each act is appended to, one a line.
    const WATCH: &str = "RINGCX_ROTATOR_TEST_EFFECTS";
    /// Where to die, as `before rename 2` or `after * 7`: the second act of that name, the seventh
    /// of all.
    const DIE: &str = "RINGCX_ROTATOR_TEST_DIE";

    #[derive(Clone, Copy, PartialEq, Eq)]
    enum Side {
        Before,
        After,
    }

    struct KillSpec {
        side: Side,
        name: String,
        number: u32,
    }

    struct Switches {
        log: Option<File>,
        death: Option<KillSpec>,
        begun: Mutex<BTreeMap<&'static str, u32>>,
    }

    /// An act under way.
    pub(super) struct Guard {
        name: &'static str,
        of_its_name: u32,
        of_all: u32,
    }

    impl Guard {
        pub(super) fn now(name: &'static str) -> Self {
            let watch = watch();
            // One lock for count and file, so that both have the same order. A test thread that
            // panicked must not stop the others.
            let mut begun = watch.begun.lock().unwrap_or_else(PoisonError::into_inner);
            let [of_its_name, of_all] = [name, ALL].map(|name| {
                let number = begun.entry(name).or_default();
                *number += 1;
                *number
            });
            if let Some(mut log) = watch.log.as_ref() {
                log.write_all(format!("{name}\n").as_bytes())
                    .expect("a test gives a file that can be written");
            }
            drop(begun);
            let begun = Self {
                name,
                of_its_name,
                of_all,
            };
            begun.passes(Side::Before);
            begun
        }

        pub(super) fn ends(self) {
            self.passes(Side::After);
        }

        fn passes(&self, side: Side) {
            let Some(death) = &watch().death else { return };
            let number = if death.name == ALL {
                self.of_all
            } else {
                self.of_its_name
            };
            if death.side == side
                && death.number == number
                && [self.name, ALL].contains(&&*death.name)
            {
                // Not `exit`: nothing may be flushed or cleaned up, as with SIGKILL.
                std::process::abort();
            }
        }
    }

    const ALL: &str = "*";

    fn watch() -> &'static Switches {
        static WATCHED: OnceLock<Switches> = OnceLock::new();
        WATCHED.get_or_init(|| Switches {
            log: std::env::var_os(WATCH).map(|path| {
                let file = File::options().append(true).create(true).open(path);
                file.expect("a test gives a path that can be written")
            }),
            death: std::env::var(DIE)
                .ok()
                .map(|text| death(&text).expect("a test writes `before NAME NUMBER`")),
            begun: Mutex::default(),
        })
    }

    fn death(text: &str) -> Option<KillSpec> {
        let mut words = text.split(' ');
        let side = match words.next()? {
            "before" => Side::Before,
            "after" => Side::After,
            _ => return None,
        };
        Some(KillSpec {
            side,
            name: words.next()?.to_owned(),
            number: words.next()?.parse().ok()?,
        })
    }
}
