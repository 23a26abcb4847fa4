//! Runs another program once: no shell, a process group of its own, a limited time, an answer of
//! limited size.
//!
//! Its input goes through standard input; nothing secret belongs into `argv` or `environment`,
//! which other users can read. When the time is up the whole group is ended, with everything that
//! it left in the background. Does not know what the output means, nor what in it is secret:
//! callers redact it before they show it.

use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use secrecy::zeroize::Zeroizing;

use crate::clock::monotonic;
use crate::failpoint;

/// Runs work that blocks, on a disk or a program, away from the runtime's own threads.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => match error.try_into_panic() {
            // A panic of the work is a panic of the caller, not an error to be tried again.
            Ok(panic) => std::panic::resume_unwind(panic),
            // Only a runtime that is being torn down cancels such work; the caller goes with it.
            Err(_) => std::future::pending().await,
        },
    }
}

#[cfg(test)]
mod tests;

/// Bytes that are kept of each of its outputs; the rest is read and thrown away.
pub const LARGEST_OUTPUT: usize = 64 * 1024;

/// Grace period between SIGTERM and SIGKILL.
const GRACE: Duration = Duration::from_secs(2);
/// How long outputs may stay open after the program itself has ended.
const LINGER: Duration = Duration::from_secs(1);
/// Bytes that a pipe holds at least, even for a user who has many.
const AT_ONCE: usize = 4096;
const SHORTEST_NAP: Duration = Duration::from_millis(1);
const LONGEST_NAP: Duration = Duration::from_millis(25);

/// Where programs are looked for when the daemon has no `PATH` of its own.
const USUAL_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What is to be run.
pub struct Program<'a> {
    /// The program and its arguments; at least one.
    pub argv: &'a [String],
    /// Variables set beside `PATH`, `HOME` and `LANG`; nothing else is passed on.
    pub environment: &'a [(String, String)],
    /// What it reads from its standard input; may be empty.
    pub stdin: Zeroizing<Vec<u8>>,
    /// How long it may take, from start to end.
    pub timeout: Duration,
}

/// A program that ended by itself, with any exit code.
pub struct Ended {
    /// Exit code or signal.
    pub status: ExitStatus,
    /// The first 64 KiB of its standard output.
    pub stdout: Zeroizing<Vec<u8>>,
    /// The first 64 KiB of its standard error.
    pub stderr: Zeroizing<Vec<u8>>,
}

/// Why a program was not run, or did not end by itself.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// `argv` is empty, so there is no program to run.
    #[error("no program is named")]
    Nothing,
    /// It was never started: an operator must correct the policy, or install it.
    #[error("cannot run {program}: {source}")]
    Start {
        /// As in the policy.
        program: String,
        /// The error of the system.
        source: io::Error,
    },
    /// It was started, but its end could not be observed.
    #[error("{program}: {source}")]
    Lost {
        /// As in the policy.
        program: String,
        /// The error of the system.
        source: io::Error,
    },
    /// Its time was up; it and everything that it had started were ended.
    #[error("{program} took longer than {timeout:?} and was ended")]
    TimedOut {
        /// As in the policy.
        program: String,
        /// The time that it had.
        timeout: Duration,
        /// The first 64 KiB of its standard error so far.
        stderr: Zeroizing<Vec<u8>>,
    },
}

impl ProcessError {
    /// Whether it may have done something in spite of the error.
    pub fn was_started(&self) -> bool {
        match self {
            Self::Nothing | Self::Start { .. } => false,
            Self::Lost { .. } | Self::TimedOut { .. } => true,
        }
    }
}

/// How a program ended, as a message.
pub fn ending(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => "an unknown end".to_owned(),
    }
}

/// Path of the program that [`run`] would start: a path as it is, a name through `PATH`. `None`:
/// there is no such program, or it may not be run.
pub fn find(program: &str) -> Option<PathBuf> {
    let can_be_run = |path: &Path| {
        path.is_file() && rustix::fs::access(path, rustix::fs::Access::EXEC_OK).is_ok()
    };
    if program.contains('/') {
        let path = PathBuf::from(program);
        return can_be_run(&path).then_some(path);
    }
    std::env::split_paths(&search_path())
        // A relative entry would run whatever the working directory holds.
        .filter(|directory| directory.is_absolute())
        .map(|directory| directory.join(program))
        .find(|path| can_be_run(path))
}

/// Runs it to its end. Blocks. Whatever it returns, no process of its group is left running.
pub fn run(program: Program<'_>) -> Result<Ended, ProcessError> {
    failpoint::around("run-program", || run_to_completion(program))
}

fn run_to_completion(mut program: Program<'_>) -> Result<Ended, ProcessError> {
    let deadline = monotonic() + program.timeout;
    let [name, arguments @ ..] = program.argv else {
        return Err(ProcessError::Nothing);
    };
    // Taken out, so that the secret in it is overwritten as soon as it has been handed over.
    let input = std::mem::take(&mut program.stdin);
    let (mut group, input) =
        start(name, arguments, program.environment, input).map_err(|source| {
            ProcessError::Start {
                program: name.clone(),
                source,
            }
        })?;
    let lost = |source| ProcessError::Lost {
        program: name.clone(),
        source,
    };
    if let (Some(stdin), Some(input)) = (group.child.stdin.take(), input) {
        feed(stdin, input).map_err(lost)?;
    }
    // Read while it runs: a program with a full pipe would never end.
    let stdout = collect(group.child.stdout.take()).map_err(lost)?;
    let stderr = collect(group.child.stderr.take()).map_err(lost)?;

    let in_time = group.wait(deadline).map_err(lost)?;
    // What it left behind is ended too, so that its outputs close.
    let status = group.end().map_err(lost)?;
    let (stdout, stderr) = (received(&stdout), received(&stderr));
    if in_time {
        Ok(Ended {
            status,
            stdout,
            stderr,
        })
    } else {
        Err(ProcessError::TimedOut {
            program: name.clone(),
            timeout: program.timeout,
            stderr,
        })
    }
}

/// Starts it, with the input that is still to be fed to it, if any.
fn start(
    name: &str,
    arguments: &[String],
    environment: &[(String, String)],
    input: Zeroizing<Vec<u8>>,
) -> io::Result<(Group, Option<Zeroizing<Vec<u8>>>)> {
    let found = find(name).ok_or_else(|| {
        let missing = "no such program, or it may not be run";
        io::Error::new(io::ErrorKind::NotFound, missing)
    })?;
    let mut command = command(&found, arguments, environment);
    let (stdin, rest) = standard_input(input)?;
    command
        .stdin(stdin)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let child = command.spawn()?;
    // The command has the reading end of its input too, which must not outlive the program's own.
    drop(command);
    Ok((Group { child }, rest))
}

/// The command with a clean environment: the daemon's own holds secrets of other programs.
fn command(program: &Path, arguments: &[String], environment: &[(String, String)]) -> Command {
    let mut command = Command::new(program);
    command
        .args(arguments)
        .env_clear()
        .env("PATH", search_path())
        // Messages in English: `notify` recognises some of them.
        .env("LANG", "C.UTF-8");
    if let Some(home) = std::env::var_os("HOME") {
        command.env("HOME", home);
    }
    command
        .envs(environment.iter().map(|(name, value)| (name, value)))
        // A group of its own, so that all it starts can be signalled at once and the daemon is not.
        .process_group(0);
    command
}

fn search_path() -> OsString {
    std::env::var_os("PATH")
        .filter(|path| !path.is_empty())
        .unwrap_or_else(|| USUAL_PATH.into())
}

/// A child and everything that it started. None of it outlives this value.
struct Group {
    child: Child,
}

impl Group {
    /// Waits for the child to end, without reaping it: until then its group keeps its number.
    /// Whether it ended in time.
    fn wait(&self, deadline: Instant) -> io::Result<bool> {
        let mut nap = SHORTEST_NAP;
        while !self.has_ended()? {
            let left = deadline.saturating_duration_since(monotonic());
            if left.is_zero() {
                return Ok(false);
            }
            // `waitid` has no timeout, so it is repeated: first often, as most programs end soon.
            std::thread::sleep(nap.min(left));
            nap = (nap * 2).min(LONGEST_NAP);
        }
        Ok(true)
    }

    fn has_ended(&self) -> io::Result<bool> {
        let Some(pid) = self.pid() else {
            return Ok(true);
        };
        let only_look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        Ok(waitid(WaitId::Pid(pid), only_look)?.is_some())
    }

    /// Asks the child to end if it has not, then ends the whole group and reaps the child.
    fn end(&mut self) -> io::Result<ExitStatus> {
        if let Ok(false) = self.has_ended() {
            self.signal(Signal::TERM);
            // Whether it obeyed does not matter: SIGKILL follows for the rest of the group.
            let _asked = self.wait(monotonic() + GRACE);
        }
        self.signal(Signal::KILL);
        self.child.wait()
    }

    fn signal(&self, signal: Signal) {
        if let Some(group) = self.pid() {
            // It fails where the group has ended already, which is what is wanted.
            let _gone = kill_process_group(group, signal);
        }
    }

    fn pid(&self) -> Option<Pid> {
        i32::try_from(self.child.id()).ok().and_then(Pid::from_raw)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Once reaped its number may belong to another process, which must not be signalled.
        if let Ok(None) = self.child.try_wait() {
            let _ended = self.end();
        }
    }
}

/// A short input is written into the pipe before the program starts, so that the program has all of
/// it even if this process dies meanwhile: it could not tell an input that was cut short. An input
/// that may not fit, which no token makes, is returned to be fed.
fn standard_input(input: Zeroizing<Vec<u8>>) -> io::Result<(Stdio, Option<Zeroizing<Vec<u8>>>)> {
    if input.len() > AT_ONCE {
        return Ok((Stdio::piped(), Some(input)));
    }
    let (reader, mut writer) = io::pipe()?;
    writer.write_all(&input)?;
    Ok((reader.into(), None))
}

/// Writes the input in a thread: a program that does not read must not block us.
fn feed(mut stdin: ChildStdin, input: Zeroizing<Vec<u8>>) -> io::Result<()> {
    spawn_blocking_thread("child-stdin", move || {
        // A program that ends without reading closes the pipe; its exit code says what that means.
        let _closed = stdin.write_all(&input);
    })
}

/// Reads an output to its end and keeps its first part.
fn collect(output: Option<impl Read + Send + 'static>) -> io::Result<Receiver<Zeroizing<Vec<u8>>>> {
    let (sender, receiver) = mpsc::sync_channel(1);
    if let Some(mut output) = output {
        spawn_blocking_thread("child-output", move || {
            // At full size from the start: growing would leave copies of a secret in freed memory.
            let mut kept = Zeroizing::new(Vec::with_capacity(LARGEST_OUTPUT));
            let whole = (&mut output)
                .take(LARGEST_OUTPUT as u64)
                .read_to_end(&mut kept);
            if whole.is_ok() {
                // The program must be able to write on, even though the rest is not kept.
                let _rest = io::copy(&mut output, &mut io::sink());
            }
            // The receiver is gone if it has waited long enough.
            let _gone = sender.send(kept);
        })?;
    }
    Ok(receiver)
}

/// What was collected; empty if a process outside of the group holds the output open.
fn received(output: &Receiver<Zeroizing<Vec<u8>>>) -> Zeroizing<Vec<u8>> {
    output.recv_timeout(LINGER).unwrap_or_default()
}

fn spawn_blocking_thread(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(work)
        .map(drop)
}
