//! Reads a token file all the time, as an IVR flow does, and asks RingCX's own record whether what
//! it read works.
//!
//! A token counts as bad only if it was dead before the file was opened, so nothing here depends on
//! how fast the reader is. What it does not know: the other sinks.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::clock::monotonic;
use rotator_core::secret::Fingerprint;
use rotator_simulator::Record;

/// Pause between two reads.
const PAUSE: Duration = Duration::from_millis(4);

/// What a reader has seen.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Reads that gave a token that works.
    pub good: u64,
    /// Reads that did not.
    pub bad: u64,
    /// What was wrong with the first of those.
    pub first_bad: Option<String>,
    /// Every token that was read.
    pub tokens: BTreeSet<Fingerprint>,
}

/// A thread that reads until dropped.
pub struct Reader {
    tally: Arc<Mutex<Tally>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Reader {
    /// Begins to read. Until the file is there for the first time there is nothing to count.
    pub fn start(file: PathBuf, record: Record) -> Self {
        let (tally, stop) = (Arc::<Mutex<Tally>>::default(), Arc::<AtomicBool>::default());
        let (kept, told) = (Arc::clone(&tally), Arc::clone(&stop));
        // A thread and no task: a read that blocks must not hold up the story.
        let thread = std::thread::spawn(move || {
            while !told.load(Ordering::Relaxed) {
                read(&file, &record, &kept);
                std::thread::sleep(PAUSE);
            }
        });
        Self {
            tally,
            stop,
            thread: Some(thread),
        }
    }

    /// What it has seen so far.
    pub fn tally(&self) -> Tally {
        self.tally
            .lock()
            .expect("nothing panics while it holds the tally")
            .clone()
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // Its panic, if any, was shown; the tally shows how far it came.
            let _ended = thread.join();
        }
    }
}

fn read(file: &Path, record: &Record, tally: &Mutex<Tally>) {
    // Before the file is opened: a token that is deleted between the two was good when it was read.
    let opened = monotonic();
    let content = std::fs::read_to_string(file);
    let verdict = match &content {
        Err(error) => Err(format!("the file could not be read: {error}")),
        // The whole text is looked up, so a torn or cut file is no token.
        Ok(text) if record.alive_since(text).is_none() => Err("the file held no token".to_owned()),
        Ok(text) if record.dead_since(text).is_some_and(|dead| dead < opened) => {
            Err("the file held a token that had been deleted".to_owned())
        }
        Ok(_) => Ok(()),
    };
    let mut tally = tally
        .lock()
        .expect("nothing panics while it holds the tally");
    // A missing file counts only after the first one: later it means that it was deleted.
    let nothing_yet = tally.good == 0 && tally.bad == 0;
    match (verdict, content) {
        (Err(_), Err(error)) if nothing_yet && error.kind() == ErrorKind::NotFound => {}
        (Err(why), _) => {
            tally.bad += 1;
            tally.first_bad.get_or_insert(why);
        }
        (Ok(()), content) => {
            tally.good += 1;
            tally
                .tokens
                .extend(content.map(|text| Fingerprint::of(text.as_bytes())));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rotator_simulator::{Setup, Simulator};
    use std::io::Write as _;

    #[tokio::test]
    async fn only_what_works_is_a_good_read() {
        let ringcx = Simulator::start(Setup::default()).await.unwrap();
        let record = ringcx.record();
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token");
        let put = |text: &str| {
            std::fs::File::create(&path)
                .unwrap()
                .write_all(text.as_bytes())
                .unwrap()
        };
        let tally = Mutex::<Tally>::default();
        let look = || {
            read(&path, &record, &tally);
            let seen = tally.lock().unwrap();
            (seen.good, seen.bad)
        };
        assert_eq!(look(), (0, 0), "not there yet");
        let token = ringcx.mint_foreign("sales");
        put(&token);
        assert_eq!(look(), (1, 0));
        put(&token[..20]);
        assert_eq!(look(), (1, 1), "torn");
        put(&token);
        ringcx.revoke(Fingerprint::of(token.as_bytes()));
        assert_eq!(look(), (1, 2), "deleted");
        std::fs::remove_file(&path).unwrap();
        assert_eq!(look(), (1, 3), "gone");
        assert_eq!(
            tally.lock().unwrap().first_bad.as_deref(),
            Some("the file held no token")
        );
    }
}
