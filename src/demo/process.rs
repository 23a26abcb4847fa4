//! The daemon as a child process, and the commands an operator would type beside it.
//!
//! The child ends with us whatever ends us: on the ordinary ways it is asked to and waited for;
//! when this value is dropped it is killed; and where we are killed ourselves the system ends it
//! (Linux only).

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::process::{CommandExt as _, parent_id};
use std::process::{Child, Command, ExitStatus, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use super::stage::DemoStage;
use crate::console::output::complain;
use crate::console::{Exit, Palette};

/// Set for a child that is to become the daemon: the demo's process id.
const LEASH: &str = "RINGCX_ROTATOR_DEMO";
/// Names the policy for every command that is run.
const CONFIG: &str = "RINGCX_ROTATOR_CONFIG";

/// The daemon, which is killed when this is dropped.
pub struct Daemon(Child);

impl Daemon {
    /// Starts `ringcx-rotator --config … run`. To be called from the main thread: the system ends
    /// the child when the thread that started it ends.
    pub fn start(stage: &DemoStage) -> io::Result<Self> {
        let log = OpenOptions::new()
            // The directory is new, so a file that is there already is a mistake.
            .create_new(true)
            .append(true)
            .mode(0o600)
            .open(stage.log())?;
        let mut command = own_binary()?;
        command
            // The child starts as `demo` again and becomes `run` once its life is tied to ours.
            .arg("demo")
            .env(LEASH, std::process::id().to_string())
            .env(CONFIG, stage.config());
        command
            .stdin(Stdio::null())
            // One open file for both, so that their lines do not overwrite each other.
            .stdout(log.try_clone()?)
            .stderr(log);
        Ok(Self(command.spawn()?))
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        // An error would mean that it is not our child.
        self.0.try_wait().ok().flatten()
    }

    /// Sends SIGTERM, unless it has ended.
    pub fn terminate(&mut self) {
        if self.ended().is_none() {
            // An error means that it has ended since.
            let _gone = kill_process(Pid::from_child(&self.0), Signal::TERM);
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may have ended already; waiting takes it off the system's list of processes either
        // way.
        // Not SIGTERM: a drop cannot wait for a shutdown.
        let _gone = self.0.kill();
        let _gone = self.0.wait();
    }
}

/// Runs a command against this stage's daemon, as an operator would, and waits for it.
pub async fn operate(
    stage: &DemoStage,
    palette: Palette,
    arguments: &[&str],
) -> io::Result<Output> {
    let mut command = own_binary()?;
    let color = match palette {
        Palette::Colored => "always",
        Palette::Plain => "never",
    };
    command
        .env(CONFIG, stage.config())
        .args(["--color", color])
        .args(arguments)
        .stdin(Stdio::null());
    // On another thread, so that the story can still be cut short while the command runs.
    tokio::task::spawn_blocking(move || command.output())
        .await
        .map_err(io::Error::other)?
}

/// Ourselves, with nothing of our environment, and out of reach of a Ctrl-C that is meant for us.
fn own_binary() -> io::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    // A variable such as NOTIFY_SOCKET or CREDENTIALS_DIRECTORY would change what the daemon does.
    command.env_clear().process_group(0);
    Ok(command)
}

/// Where this is a child of the demo's: ties its life to the demo's, then becomes the daemon. Only
/// what keeps it from that is ever answered.
pub fn become_daemon_if_told() -> Option<Exit> {
    let demo = std::env::var_os(LEASH)?;
    let failed = |why: String| {
        complain(format!("error: {why}"));
        Some(Exit::Failing)
    };
    // The setting survives `exec`, so the daemon keeps it.
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::set_parent_process_death_signal(Some(Signal::KILL)) {
        return failed(format!("cannot be tied to the demo: {error}"));
    }
    // It may have ended before this was tied to it.
    if demo != parent_id().to_string().as_str() {
        return failed("the demo is gone".to_owned());
    }
    match own_binary() {
        Ok(mut binary) => {
            let policy = std::env::var_os(CONFIG).unwrap_or_default();
            let error = binary.arg("--config").arg(policy).arg("run").exec();
            failed(format!("cannot become the daemon: {error}"))
        }
        Err(error) => failed(format!("cannot find itself: {error}")),
    }
}
