//! Log lines as entries of systemd's journal: one datagram each, with every fact a field of its
//! own.
//!
//! A crate does this too, but gives no entry a `MESSAGE_ID` of its kind; and that is what makes
//! `journalctl -x` explain an incident. No spans: there are none here. The wire format is written
//! down at <https://systemd.io/JOURNAL_NATIVE_PROTOCOL/>.

use std::fmt::{self, Write as _};
use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use super::kinds::message_id;

/// Where the journal listens.
pub const SOCKET: &str = "/run/systemd/journal/socket";
/// What one value is cut to where the whole entry is too large for a datagram.
const SHORT: usize = 1024;
/// The longest wait for a busy journal. After one such wait no entry waits until the journal takes
/// one again: the daemon has one thread, and a log must not keep it from its tokens.
const PATIENCE: Duration = Duration::from_millis(500);

/// Sends log lines to the journal.
pub struct Journald {
    socket: UnixDatagram,
    path: PathBuf,
    stuck: AtomicBool,
}

impl Journald {
    /// Fails where no journal listens.
    pub fn connect(path: &Path) -> io::Result<Self> {
        // Unbound and not connected: the journal needs no address to answer to, and it may restart.
        let socket = UnixDatagram::unbound()?;
        socket.set_write_timeout(Some(PATIENCE))?;
        // An empty datagram is no entry, but sending it fails if no journal listens.
        socket.send_to(&[], path)?;
        Ok(Self {
            socket,
            path: path.to_owned(),
            stuck: AtomicBool::new(false),
        })
    }

    fn send(&self, entry: &JournalFields) {
        // By its path each time, so that a journal that was restarted is found again. What cannot
        // be sent is lost: there is no other place to say so.
        let sent = match self.socket.send_to(&entry.bytes(usize::MAX), &self.path) {
            Err(error)
                if error.raw_os_error() == Some(rustix::io::Errno::MSGSIZE.raw_os_error()) =>
            {
                // A cut entry is better than none; whole values over a file descriptor would need a
                // memfd.
                self.socket.send_to(&entry.bytes(SHORT), &self.path)
            }
            sent => sent,
        };
        // Only a full queue: a journal that is not there refuses at once, and costs no wait.
        let is_stuck = sent.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock);
        // The socket is switched only at a change, which saves a system call for each line.
        if self.stuck.swap(is_stuck, Ordering::Relaxed) != is_stuck {
            // Fails for no socket that is open.
            let _changed = self.socket.set_nonblocking(is_stuck);
        }
    }
}

impl<S: Subscriber> Layer<S> for Journald {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let metadata = event.metadata();
        let mut entry = JournalFields::default();
        entry.put("PRIORITY", priority(*metadata.level()));
        entry.put("SYSLOG_IDENTIFIER", "ringcx-rotator");
        entry.put("TARGET", metadata.target());
        if let Some(file) = metadata.file() {
            entry.put("CODE_FILE", file);
        }
        if let Some(line) = metadata.line() {
            entry.put("CODE_LINE", &line.to_string());
        }
        // Before the message id, which for an incident depends on its field `kind`.
        event.record(&mut entry);
        if let Some(id) = message_id(metadata.name(), entry.value("KIND")) {
            entry.put("MESSAGE_ID", id);
        }
        self.send(&entry);
    }
}

/// As `journalctl -p` counts: err, warning, info, debug.
fn priority(level: Level) -> &'static str {
    match level {
        Level::ERROR => "3",
        Level::WARN => "4",
        Level::INFO => "6",
        Level::DEBUG | Level::TRACE => "7",
    }
}

/// The fields of one entry.
#[derive(Default)]
struct JournalFields(Vec<(String, String)>);

impl JournalFields {
    fn put(&mut self, name: &str, value: &str) {
        self.0.push((name.to_owned(), value.to_owned()));
    }

    fn value(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }

    /// As it is sent. A value with a line end in it is led in by its length.
    fn bytes(&self, longest: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (name, value) in &self.0 {
            let end = (0..=longest.min(value.len()))
                .rev()
                // Cutting inside a character would panic below.
                .find(|end| value.is_char_boundary(*end));
            let value = &value[..end.unwrap_or(0)];
            bytes.extend_from_slice(name.as_bytes());
            if value.contains('\n') {
                bytes.push(b'\n');
                // Without the length a line end in a value could begin a forged field.
                bytes.extend_from_slice(&(value.len() as u64).to_le_bytes());
            } else {
                bytes.push(b'=');
            }
            bytes.extend_from_slice(value.as_bytes());
            bytes.push(b'\n');
        }
        bytes
    }
}

impl Visit for JournalFields {
    fn record_str(&mut self, field: &Field, value: &str) {
        let name: String = field
            .name()
            .chars()
            .map(|c| {
                // The journal accepts only upper case, digits and underscores in names.
                if c == '.' {
                    '_'
                } else {
                    c.to_ascii_uppercase()
                }
            })
            .collect();
        self.put(&name, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let mut text = String::new();
        // Writing to a string fails only if a `Debug` does; the rest of the entry is still of use.
        let _ok = write!(text, "{value:?}");
        self.record_str(field, &text);
    }
}
