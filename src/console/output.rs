//! Standard output and standard error, written so that neither can end or stop the process.
//!
//! What cannot be written to stderr is dropped. A daemon's lines go through a thread of their own:
//! a pipe that nobody empties stops that thread and nothing else. What cannot be written to stdout
//! is remembered, and told when the command ends.

use std::collections::VecDeque;
use std::fmt::Display;
use std::io::{self, Write};
use std::sync::{Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use crate::clock::monotonic;

/// Bytes that wait for stderr; what comes beyond them is dropped and counted.
const MOST_BYTES: usize = 1024 * 1024;

/// Writes a line to stderr. Never fails: where it cannot be written, the work goes on.
pub fn complain(line: impl Display) {
    stderr(format!("{line}\n").as_bytes());
}

/// Writes to stderr as it is, for example a question.
pub fn stderr(bytes: &[u8]) {
    match BACKGROUND.get() {
        Some(queue) => queue.push(bytes.to_vec()),
        None => {
            let mut err = io::stderr().lock();
            let _gone = err.write_all(bytes).and_then(|()| err.flush());
        }
    }
}

/// From now on stderr is written by a thread of its own, and whoever logs waits for nothing. Does
/// nothing the second time.
pub fn write_stderr_in_background() {
    let queue = BACKGROUND.get_or_init(LineQueue::default);
    let mut lines = queue.lock();
    if std::mem::replace(&mut lines.has_writer, true) {
        return;
    }
    let started = std::thread::Builder::new()
        .name("stderr".to_owned())
        .spawn(|| queue.write_all_to(io::stderr(), tell_dropped));
    // Without a thread the lines are dropped once the queue is full, and nothing stops.
    lines.has_writer = started.is_ok();
}

/// Waits until what was logged is written, at most this long.
pub fn flush_stderr(limit: Duration) {
    if let Some(queue) = BACKGROUND.get() {
        queue.flush(limit);
    }
}

/// Stderr for the log: each write is a whole line.
pub struct LogWriter;

impl Write for LogWriter {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        stderr(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes to stdout. After a first failure nothing more is written; [`stdout_failed`] tells.
pub fn stdout(bytes: &[u8]) {
    let mut failed = lock(&STDOUT);
    if failed.is_none() {
        let mut out = io::stdout().lock();
        *failed = out.write_all(bytes).and_then(|()| out.flush()).err();
    }
}

/// Why results were not printed. A reader that has closed the pipe, as `head` does, wanted no more:
/// that is none.
pub fn stdout_failed() -> Option<String> {
    let failed = lock(&STDOUT);
    let error = failed.as_ref()?;
    (error.kind() != io::ErrorKind::BrokenPipe).then(|| format!("cannot write to stdout: {error}"))
}

static STDOUT: Mutex<Option<io::Error>> = Mutex::new(None);
static BACKGROUND: OnceLock<LineQueue> = OnceLock::new();

/// Through the log, so that the line has the form of all others. It is one line more in the queue
/// that has just been emptied.
fn tell_dropped(lines: u64) {
    tracing::warn!(name: "log-lines-dropped", lines, "Log lines dropped, nobody reads stderr");
}

/// Lines on their way to a writer that may never take them.
#[derive(Default)]
struct LineQueue {
    lines: Mutex<Lines>,
    changed: Condvar,
}

#[derive(Default)]
struct Lines {
    waiting: VecDeque<Vec<u8>>,
    bytes: usize,
    dropped: u64,
    is_writing: bool,
    has_writer: bool,
}

impl LineQueue {
    fn push(&self, line: Vec<u8>) {
        let mut lines = self.lock();
        if lines.bytes + line.len() > MOST_BYTES {
            lines.dropped += 1;
            return;
        }
        lines.bytes += line.len();
        lines.waiting.push_back(line);
        drop(lines);
        self.changed.notify_all();
    }

    /// Writes line after line for ever. `dropped` is called once there is room again, with the
    /// number of lines that there was none for.
    fn write_all_to(&self, mut out: impl Write, dropped: impl Fn(u64)) {
        loop {
            let line = self.next();
            // Where it goes nowhere there is nobody to tell.
            let _gone = out.write_all(&line).and_then(|()| out.flush());
            let mut lines = self.lock();
            lines.is_writing = false;
            let lost = if lines.waiting.is_empty() {
                std::mem::take(&mut lines.dropped)
            } else {
                0
            };
            drop(lines);
            self.changed.notify_all();
            if lost > 0 {
                dropped(lost);
            }
        }
    }

    fn next(&self) -> Vec<u8> {
        let mut lines = self.lock();
        loop {
            if let Some(line) = lines.waiting.pop_front() {
                lines.bytes -= line.len();
                lines.is_writing = true;
                return line;
            }
            lines = self
                .changed
                .wait(lines)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn flush(&self, limit: Duration) {
        let began = monotonic();
        let mut lines = self.lock();
        while lines.is_writing || !lines.waiting.is_empty() {
            let left = limit.saturating_sub(began.elapsed());
            if left.is_zero() {
                return;
            }
            let waited = self.changed.wait_timeout(lines, left);
            lines = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Lines> {
        lock(&self.lines)
    }
}

/// A thread that panicked while it held the lock leaves whole lines behind.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::mpsc;

    use super::*;

    /// A pipe that takes a line whenever the test says so.
    struct Pipe {
        may_write: mpsc::Receiver<()>,
        written: mpsc::Sender<Vec<u8>>,
    }

    impl Write for Pipe {
        fn write(&mut self, line: &[u8]) -> io::Result<usize> {
            // The test has ended: as a closed pipe.
            self.may_write
                .recv()
                .map_err(|_| io::ErrorKind::BrokenPipe)?;
            let _gone = self.written.send(line.to_vec());
            Ok(line.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_pipe_that_nobody_empties_stops_nobody_and_what_is_lost_is_counted() {
        let queue = Arc::new(LineQueue::default());
        let (allow, may_write) = mpsc::channel();
        let (written, lines) = mpsc::channel();
        let (tell, told) = mpsc::channel();
        let writer = Arc::clone(&queue);
        std::thread::spawn(move || {
            let tell = move |lost| tell.send(lost).expect("the test waits for it");
            writer.write_all_to(Pipe { may_write, written }, tell);
        });
        let line = vec![b'x'; 64 * 1024];
        // More than fits; with a writer that waits for its reader this would never end.
        for _ in 0..100 {
            queue.push(line.clone());
        }
        queue.flush(Duration::ZERO);
        let lost = queue.lock().dropped;
        assert!((80..100).contains(&lost), "{lost}");
        for _ in 0..100 - lost {
            allow.send(()).unwrap();
            assert_eq!(lines.recv().unwrap().len(), line.len());
        }
        assert_eq!(told.recv().unwrap(), lost);
        queue.push(b"and on".to_vec());
        allow.send(()).unwrap();
        assert_eq!(lines.recv().unwrap(), b"and on");
        queue.flush(Duration::from_secs(60));
        assert!(queue.lock().waiting.is_empty());
    }
}
