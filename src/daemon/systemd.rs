//! Notifications to systemd, as in sd_notify(3): ready, reloading, stopping, and the watchdog.
//!
//! Without systemd nothing is sent. The watchdog is fed only while no account is stuck, so that
//! systemd restarts a daemon that hangs.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use sd_notify::NotifyState;

use crate::clock::monotonic;

/// While the first pass makes progress, systemd is asked to wait this much longer.
const EXTEND: Duration = Duration::from_secs(60);

/// An account that is being worked on and makes no progress for this long is stuck, unless the
/// policy lets a single call take longer.
const STUCK: Duration = Duration::from_secs(300);

/// The connection to systemd, and which accounts make progress.
#[derive(Clone, Default)]
pub struct Systemd(Arc<Mutex<Progress>>);

#[derive(Default)]
struct Progress {
    /// When each account that is being worked on last made progress.
    working: BTreeMap<String, Instant>,
    /// The longest time that one call may take by the policy.
    longest_call: Duration,
}

impl Systemd {
    /// The policy is loaded, the journal open, and the first pass has ended.
    pub fn ready(&self, status: &str) {
        notify(&[NotifyState::Ready, NotifyState::Status(status)]);
    }

    /// Not ready yet, but getting there.
    pub fn extend(&self, status: &str) {
        let micros = u32::try_from(EXTEND.as_micros()).unwrap_or(u32::MAX);
        notify(&[
            NotifyState::ExtendTimeoutUsec(micros),
            NotifyState::Status(status),
        ]);
    }

    /// The policy is being read again; [`Systemd::ready`] ends this.
    pub fn reloading(&self) {
        // `Type=notify-reload` accepts RELOADING=1 only together with the monotonic time.
        match NotifyState::monotonic_usec_now() {
            Ok(now) => notify(&[NotifyState::Reloading, now]),
            Err(error) => tracing::debug!(%error, "No monotonic clock for systemd"),
        }
    }

    /// The process is ending.
    pub fn stopping(&self) {
        notify(&[
            NotifyState::Stopping,
            NotifyState::Status("Stopping: finishing the step in flight"),
        ]);
    }

    /// Sets the text that `systemctl status` shows.
    pub fn status(&self, status: &str) {
        notify(&[NotifyState::Status(status)]);
    }

    /// Sets the longest time that one call may take by the policy.
    pub fn allow_calls_of(&self, longest: Duration) {
        self.lock().longest_call = longest;
    }

    /// This account is being worked on and has just made progress.
    pub fn progress(&self, account: &str) {
        self.lock().working.insert(account.to_owned(), monotonic());
    }

    /// This account is not being worked on any more.
    pub fn resting(&self, account: &str) {
        self.lock().working.remove(account);
    }

    /// Whether an account has made progress lately, or is in a call that may take this long.
    pub fn is_moving(&self) -> bool {
        self.lock().is_moving(monotonic())
    }

    /// The accounts that are being worked on and have shown nothing for this long.
    pub fn quiet(&self, limit: Duration) -> Vec<String> {
        let progress = self.lock();
        let quiet = progress.working.iter();
        quiet
            .filter(|(_, since)| since.elapsed() >= limit)
            .map(|(account, _)| account.clone())
            .collect()
    }

    /// How often to call [`Systemd::feed`], if systemd watches.
    pub fn watchdog_interval(&self) -> Option<Duration> {
        // A third of the limit, so that one late tick causes no restart. A timer cannot have a
        // period of zero.
        sd_notify::watchdog_enabled().map(|limit| (limit / 3).max(Duration::from_millis(100)))
    }

    /// Feeds the watchdog, unless an account that is being worked on is stuck.
    pub fn feed(&self) {
        let stuck = self.lock().stuck();
        if stuck.is_empty() {
            // Not sent while an account is stuck: systemd then restarts the process, which the
            // journal makes safe.
            notify(&[NotifyState::Watchdog]);
        } else {
            tracing::error!(
                name: "no-progress",
                accounts = stuck.join(", "),
                "No progress, the watchdog is not fed"
            );
        }
    }

    fn lock(&self) -> MutexGuard<'_, Progress> {
        self.0.lock().expect("no holder of this lock panics")
    }
}

impl Progress {
    fn is_moving(&self, now: Instant) -> bool {
        let limit = EXTEND.max(self.longest_call);
        let mut working = self.working.values();
        working.any(|since| now.saturating_duration_since(*since) < limit)
    }

    fn stuck(&self) -> Vec<String> {
        // A call that the policy lets take this long is no hang; twice leaves room around it.
        let limit = STUCK.max(self.longest_call.saturating_mul(2));
        let stuck = self
            .working
            .iter()
            .filter(|(_, since)| since.elapsed() > limit);
        stuck.map(|(account, _)| account.clone()).collect()
    }
}

fn notify(states: &[NotifyState<'_>]) {
    let Some(socket) = std::env::var_os("NOTIFY_SOCKET") else {
        return;
    };
    // Not fatal: the daemon does its work without a service manager, too.
    if let Err(error) = send(&socket, states) {
        tracing::debug!(%error, "Could not notify systemd");
    }
}

/// To the socket of this name; one that begins with `@` is in no file system (sd_notify(3)).
fn send(socket: &OsStr, states: &[NotifyState<'_>]) -> io::Result<()> {
    let address = match socket.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        path => SocketAddr::from_pathname(OsStr::from_bytes(path))?,
    };
    let message: String = states.iter().map(|state| format!("{state}\n")).collect();
    let sender = UnixDatagram::unbound()?;
    // A manager that does not read must not stop the daemon.
    sender.set_nonblocking(true)?;
    sender.send_to_addr(message.as_bytes(), &address).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_time_is_asked_for_only_as_long_as_an_account_moves() {
        let now = monotonic();
        let mut progress = Progress::default();
        assert!(!progress.is_moving(now), "nothing has begun");
        progress.working.insert("a".to_owned(), now);
        assert!(progress.is_moving(now + Duration::from_secs(59)));
        assert!(!progress.is_moving(now + Duration::from_secs(60)));
        progress
            .working
            .insert("b".to_owned(), now + Duration::from_secs(60));
        assert!(progress.is_moving(now + Duration::from_secs(60)));
        // A call that the policy lets take longer is no hang.
        progress.longest_call = Duration::from_secs(300);
        assert!(progress.is_moving(now + Duration::from_secs(299)));
    }

    #[test]
    fn a_socket_is_reached_in_the_file_system_and_outside_of_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        let name = format!("ringcx-rotator-test-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        for (socket, received) in [
            (
                path.clone().into_os_string(),
                UnixDatagram::bind(&path).unwrap(),
            ),
            (
                format!("@{name}").into(),
                UnixDatagram::bind_addr(&address).unwrap(),
            ),
        ] {
            send(
                &socket,
                &[NotifyState::Ready, NotifyState::Status("2 accounts")],
            )
            .unwrap();
            let mut buffer = [0; 100];
            let length = received.recv(&mut buffer).unwrap();
            assert_eq!(&buffer[..length], b"READY=1\nSTATUS=2 accounts\n");
        }
        assert!(send(OsStr::new("/nonexistent/notify"), &[NotifyState::Ready]).is_err());
    }
}
