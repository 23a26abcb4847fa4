//! A secret that a command prints: `pass show …`, `op read …`, `vault kv get …`.
//!
//! The command is started directly, never by a shell, with nothing on its standard input, few variables
//! and a process group of its own. Past its time the whole group is killed. It is always reaped. What this file
//! does not know: what the command is, and whether the secret it prints is the right one.

use std::ffi::OsStr;
use std::fmt;
use std::io::{self, PipeReader, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};

use super::scrub;
use super::source::LARGEST;
use crate::clock::monotonic;

/// What a command finds in its environment, as far as the daemon has it: enough for its program to be found
/// and for `pass`, GnuPG and systemd's credentials to work. More goes into the argv: `["env", "NAME=…", …]`.
pub const PASSED_ON: [&str; 13] = [
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "LANG",
    "LC_ALL",
    "TZ",
    "TMPDIR",
    "XDG_CONFIG_HOME",
    "XDG_RUNTIME_DIR",
    "GNUPGHOME",
    "PASSWORD_STORE_DIR",
    "CREDENTIALS_DIRECTORY",
];

/// Of what it says on its standard error no more is kept.
const MOST_SAID: usize = 4 * 1024;

/// A program and what it is given, known to be one: the program is a bare name or an absolute path.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretCommand {
    /// The program first.
    pub argv: Vec<String>,
    /// How long it may take.
    pub timeout: Duration,
}

impl SecretCommand {
    /// The program's name, which is all that is shown of it: its arguments may name what they should not.
    pub fn program(&self) -> &str {
        let program = self.argv.first().map_or("", String::as_str);
        program.rsplit('/').next().unwrap_or(program)
    }
}

impl fmt::Debug for SecretCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretCommand({} …, {:?})", self.program(), self.timeout)
    }
}

/// Why a command gave no secret. Never says what it printed on its standard output.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// It could not be started: install it, or write its whole path.
    #[error("cannot be started: {0}")]
    NotStarted(#[source] io::Error),
    /// It was killed, and all it had started in its process group with it.
    #[error(
        "did not end within {0:?} and was killed: if it waits for a passphrase, there is nobody to type it"
    )]
    TimedOut(Duration),
    /// It says that it failed.
    #[error("{status}{}", colon(said))]
    Failed {
        /// `exit status: 1`
        status: ExitStatus,
        /// What it said on its standard error, scrubbed and cut.
        said: String,
    },
    /// It printed more than any secret is long, and was killed.
    #[error("printed more than 64 KiB, that is no secret")]
    TooLarge,
    /// The system would not let us listen to it.
    #[error("cannot be listened to: {0}")]
    Deaf(#[source] io::Error),
}

fn colon(said: &str) -> String {
    if said.is_empty() { String::new() } else { format!(": {said}") }
}

impl SecretCommand {
    /// Runs it to its end and gives what it printed. Blocks for as long as `timeout`.
    pub(super) fn run(&self) -> Result<Vec<u8>, CommandError> {
        let (program, arguments) = self.argv.split_first().expect("the policy takes no empty command");
        let mut child = Command::new(program)
            .args(arguments)
            .env_clear()
            .envs(PASSED_ON.iter().filter_map(|name| Some((name, std::env::var_os(name)?))))
            .current_dir(OsStr::new("/"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
            .map_err(CommandError::NotStarted)?;
        let heard = listen(&mut child, monotonic() + self.timeout);
        if !matches!(heard, Ok(Heard::Ended { .. })) {
            // It is not reaped yet, so its number is still its own.
            if let Some(group) = Pid::from_raw(child.id().cast_signed()) {
                let _gone_already = kill_process_group(group, Signal::KILL);
            }
        }
        let status = child.wait().map_err(CommandError::Deaf)?;
        match heard.map_err(CommandError::Deaf)? {
            Heard::Ended { printed, .. } if status.success() => Ok(printed),
            Heard::Ended { printed, said } => {
                Err(CommandError::Failed { status, said: shown(&said, &printed) })
            }
            Heard::TooLarge => Err(CommandError::TooLarge),
            Heard::TimedOut => Err(CommandError::TimedOut(self.timeout)),
        }
    }
}

/// What came of listening.
enum Heard {
    Ended { printed: Vec<u8>, said: Vec<u8> },
    TooLarge,
    TimedOut,
}

/// One of the two outputs.
struct Ear<R> {
    /// `None` once it has ended.
    pipe: Option<R>,
    heard: Vec<u8>,
}

impl<R: Read + AsFd> Ear<R> {
    fn new(pipe: Option<R>) -> io::Result<Self> {
        if let Some(pipe) = &pipe {
            rustix::io::ioctl_fionbio(pipe, true)?;
        }
        Ok(Self { pipe, heard: Vec::new() })
    }

    /// Takes in what is there, keeping one byte more than `most` of it at the most.
    fn drain(&mut self, most: usize) -> io::Result<()> {
        let mut buffer = [0; 4096];
        while let Some(pipe) = &mut self.pipe {
            match pipe.read(&mut buffer) {
                Ok(0) => self.pipe = None,
                Ok(read) => {
                    let room = (most + 1).saturating_sub(self.heard.len());
                    self.heard.extend_from_slice(&buffer[..read.min(room)]);
                    if self.heard.len() > most {
                        return Ok(());
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// Listens until the command itself has ended. What it left running may hold the pipes open for longer
/// (an agent does): that is not waited for.
fn listen(child: &mut Child, deadline: Instant) -> io::Result<Heard> {
    let (mut printed, mut said) = (Ear::new(child.stdout.take())?, Ear::new(child.stderr.take())?);
    let most = LARGEST as usize;
    let ended = watch(child)?;
    loop {
        let left = deadline.saturating_duration_since(monotonic());
        if left.is_zero() {
            return Ok(Heard::TimedOut);
        }
        let is_over = {
            let pipes = [printed.pipe.as_ref().map(AsFd::as_fd), said.pipe.as_ref().map(AsFd::as_fd)];
            wait_for(ended.as_fd(), pipes, left)?
        };
        printed.drain(most)?;
        said.drain(MOST_SAID)?;
        if said.heard.len() > MOST_SAID {
            // The rest is read and forgotten, so that it does not wait for a reader.
            said.heard.truncate(MOST_SAID);
        }
        if printed.heard.len() > most {
            return Ok(Heard::TooLarge);
        }
        if is_over {
            return Ok(Heard::Ended { printed: printed.heard, said: said.heard });
        }
    }
}

/// Waits until there is something to read or the command has ended; the latter is the answer.
fn wait_for(ended: BorrowedFd<'_>, pipes: [Option<BorrowedFd<'_>>; 2], left: Duration) -> io::Result<bool> {
    let mut polled = vec![PollFd::from_borrowed_fd(ended, PollFlags::IN)];
    polled.extend(pipes.into_iter().flatten().map(|pipe| PollFd::from_borrowed_fd(pipe, PollFlags::IN)));
    let left = Timespec::try_from(left).map_err(|_| io::ErrorKind::InvalidInput)?;
    match poll(&mut polled, Some(&left)) {
        Ok(_) => Ok(!polled[0].revents().is_empty()),
        Err(error) if error == rustix::io::Errno::INTR => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// A pipe that ends when the command does. The thread behind it only waits; it does not reap.
fn watch(child: &Child) -> io::Result<PipeReader> {
    let (ended, end) = io::pipe()?;
    let pid = Pid::from_raw(child.id().cast_signed()).ok_or(io::ErrorKind::InvalidInput)?;
    std::thread::Builder::new().name("secret-command".to_owned()).spawn(move || {
        // Whatever is answered: there is nothing more to wait for.
        let _ended = waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT);
        drop(end);
    })?;
    Ok(ended)
}

/// What a command said on its standard error, fit to be shown: what it printed as the secret is not in it,
/// nor a word that looks like one.
fn shown(said: &[u8], printed: &[u8]) -> String {
    let (said, printed) = (String::from_utf8_lossy(said), String::from_utf8_lossy(printed));
    let secrets: Vec<&str> = printed.lines().map(str::trim).filter(|line| line.len() >= 4).collect();
    let words: Vec<&str> =
        said.split_whitespace().map(|word| if is_opaque(word) { scrub::BLOT } else { word }).collect();
    scrub::line(&words.join(" "), &secrets)
}

/// Long, and letters and digits without the dots, slashes and colons of names and paths.
fn is_opaque(word: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"+=-_".contains(&b);
    let core = word.trim_matches(|c: char| !c.is_ascii_alphanumeric());
    core.len() >= 16
        && core.bytes().all(plain)
        && core.bytes().any(|b| b.is_ascii_digit())
        && core.bytes().any(|b| b.is_ascii_alphabetic())
}

#[cfg(test)]
mod tests;
