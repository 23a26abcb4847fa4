//! A house for one test: a directory, a stand-in, a policy, and the binary to run on them.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, Once};
use std::time::Duration;

use ringcx_rotator::clock::monotonic;
use rotator_simulator::{Call, Record, RingexSetup, Setup, Simulator, User};
use serde_json::Value;
use tempfile::TempDir;
use tokio::net::UnixDatagram;
use tokio::sync::watch;

/// The RingCX user of most tests.
pub const USER: &str = "ivr-bot@example.com";
/// Its password, with everything in it that an encoding changes.
pub const PASSWORD: &str = "c0rrect horse+b&ttery=st%aple/\"42\"";
/// Only a failsafe: no test is about how long something takes.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// The RingCX client and the mailer need a TLS provider, even where nothing is encrypted.
pub fn install_tls() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| drop(rustls::crypto::ring::default_provider().install_default()));
}

/// A directory with a stand-in beside it.
pub struct TestEnv {
    pub dir: TempDir,
    pub ringcx: Simulator,
}

impl TestEnv {
    /// A house whose stand-in knows [`USER`].
    pub async fn new() -> Self {
        Self::with_users(vec![user(USER, PASSWORD)]).await
    }

    pub async fn with_users(users: Vec<User>) -> Self {
        Self::with_ringex(users, RingexSetup::default()).await
    }

    /// A house whose stand-in also has these apps and JWTs.
    pub async fn with_ringex(users: Vec<User>, ringex: RingexSetup) -> Self {
        Self::in_directory(TempDir::new().unwrap(), users, ringex).await
    }

    /// The same in memory, where there is such a place: for tests that start over so often that
    /// syncing would be most of what they do.
    pub async fn in_memory(users: Vec<User>, ringex: RingexSetup) -> Self {
        let dir = TempDir::new_in("/dev/shm").or_else(|_| TempDir::new());
        Self::in_directory(dir.unwrap(), users, ringex).await
    }

    async fn in_directory(dir: TempDir, users: Vec<User>, ringex: RingexSetup) -> Self {
        let setup = Setup {
            users,
            ringex,
            ..Setup::default()
        };
        Self::with_setup(dir, setup).await
    }

    pub async fn with_setup(dir: TempDir, setup: Setup) -> Self {
        install_tls();
        let ringcx = Simulator::start(setup).await.unwrap();
        let house = Self { dir, ringcx };
        house.write("password", PASSWORD);
        house
    }

    pub fn record(&self) -> Record {
        self.ringcx.record()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Writes a file that only its owner may read.
    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        write(&self.path(name), bytes.as_ref());
    }

    pub fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }

    pub fn config(&self) -> PathBuf {
        self.path("config.toml")
    }

    /// A policy for this house: nothing in it happens by itself within a test, unless `defaults`
    /// says so.
    pub fn policy(&self, defaults: &str, rest: &str) -> String {
        let (dir, url) = (self.dir.path().display(), self.ringcx.base_url());
        let ringex_url = self.ringcx.ringex_url();
        let mut text = format!(
            "[daemon]\nstate-dir = \"{dir}/state\"\ncontrol-socket = \"{dir}/control.sock\"\n\
             [ringcx]\nbase-url = \"{url}\"\nringex-url = \"{ringex_url}\"\nrequests-per-minute = 6000\nrequest-timeout = \"20s\"\n[defaults]\n"
        );
        for (key, value) in [
            ("schedule", "{ every = \"10h\", jitter = \"0s\" }"),
            ("retention", "{ max-age = \"20h\", overlap = \"1h\" }"),
            (
                "retry",
                "{ initial = \"1s\", max = \"2s\", rejected-login = \"10h\" }",
            ),
            ("check-every", "\"10h\""),
            ("verify-within", "\"5s\""),
        ] {
            let is_set = |line: &str| {
                line.split('=')
                    .next()
                    .is_some_and(|name| name.trim() == key)
            };
            if !defaults.lines().any(is_set) {
                writeln!(text, "{key} = {value}").unwrap();
            }
        }
        writeln!(text, "{defaults}\n{rest}").unwrap();
        text
    }

    /// `[[account]]` with these sinks.
    pub fn account(&self, name: &str, sinks: &[String]) -> String {
        format!(
            "[[account]]\nname = \"{name}\"\nusername = \"{USER}\"\npassword = {{ file = \"password\" }}\n\
             platform-id = \"aws80\"\n{}",
            sinks.concat()
        )
    }

    /// A file sink of that name, with its file of that name.
    pub fn file_sink(&self, name: &str) -> String {
        let path = self.path(name);
        format!(
            "[[account.sink]]\nname = \"{name}\"\ntype = \"file\"\npath = \"{}\"\n",
            path.display()
        )
    }

    /// The usual policy: one account `ivr` with one file sink `token`.
    pub fn usual(&self, defaults: &str) -> String {
        self.policy(defaults, &self.account("ivr", &[self.file_sink("token")]))
    }

    pub fn set_policy(&self, text: &str) {
        self.write("config.toml", text);
    }

    /// Runs a command to its end.
    #[track_caller]
    pub fn run<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Ran {
        let mut command = self.command();
        command.args(args);
        self.finish(command)
    }

    /// Runs a prepared command to its end.
    #[track_caller]
    pub fn finish(&self, mut command: Command) -> Ran {
        let (out, err) = (tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap());
        command
            .stdout(out.try_clone().unwrap())
            .stderr(err.try_clone().unwrap());
        let mut child = Kill(command.spawn().unwrap());
        let status = child.wait();
        Ran {
            status,
            out: all_of(out),
            err: all_of(err),
        }
    }

    /// A command that will have this house's policy, and an environment with nothing in it.
    pub fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ringcx-rotator"));
        command
            .env_clear()
            .env("RINGCX_ROTATOR_CONFIG", self.config())
            .stdin(Stdio::null());
        command
    }

    /// What a command prints as JSON; it must succeed.
    #[track_caller]
    pub fn json(&self, args: &[&str]) -> Value {
        let ran = self.run(args);
        assert_eq!(ran.code(), 0, "{args:?}: {}", ran.err);
        serde_json::from_str(&ran.out).unwrap()
    }

    /// `status --json`, of the only account.
    #[track_caller]
    pub fn status(&self) -> Value {
        self.json(&["status", "--json"])["accounts"][0].clone()
    }

    /// Starts the daemon.
    pub fn start(&self) -> Daemon {
        self.start_with(|_| {})
    }

    /// Starts the daemon with something changed about the command.
    pub fn start_with(&self, change: impl FnOnce(&mut Command)) -> Daemon {
        Daemon::start(self, change)
    }

    /// Starts the daemon and waits until it says that it is ready.
    pub async fn start_ready(&self) -> Daemon {
        let daemon = self.start();
        daemon.ready().await;
        daemon
    }

    /// The token in the sink `token`.
    pub fn token(&self) -> String {
        self.read("token")
    }

    /// How often a call was made.
    pub fn count(&self, call: Call) -> usize {
        self.record().count(call)
    }

    /// How many tokens of [`USER`] are on the server.
    pub fn alive(&self) -> usize {
        self.record().alive(USER).len()
    }
}

pub fn user(name: &str, password: &str) -> User {
    User {
        name: name.to_owned(),
        password: Some(password.to_owned()),
        platform: None,
    }
}

/// The same account, which logs in by RingEX through this app, with what is in these files.
#[track_caller]
pub fn by_ringex(account: &str, app: &str, client_secret: &str, jwt: &str) -> String {
    let (from, to) = (
        account.find("username = ").unwrap(),
        account.find("[[account.sink]]").unwrap(),
    );
    let (head, keys, sinks) = (&account[..from], &account[from..to], &account[to..]);
    assert!(
        keys.lines()
            .last()
            .is_some_and(|line| line.starts_with("platform-id = ")),
        "{keys}"
    );
    format!(
        "{head}login = \"ringex\"\nclient-id = \"{app}\"\nclient-secret = {{ file = \"{client_secret}\" }}\n\
         jwt = {{ file = \"{jwt}\" }}\n{sinks}"
    )
}

/// Writes a file that only its owner may read.
pub fn write(path: &Path, bytes: &[u8]) {
    let mut options = File::options();
    let mut file = options
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .unwrap();
    file.write_all(bytes).unwrap();
}

fn all_of(mut file: File) -> String {
    use std::io::{Read, Seek};
    file.rewind().unwrap();
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).unwrap();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// What a command that has ended said.
pub struct Ran {
    pub status: ExitStatus,
    pub out: String,
    pub err: String,
}

impl Ran {
    /// Its exit code; one that was killed has none.
    #[track_caller]
    pub fn code(&self) -> i32 {
        self.status
            .code()
            .unwrap_or_else(|| panic!("killed by {:?}: {}", self.status.signal(), self.err))
    }
}

/// A child that does not outlive its test.
pub struct Kill(pub Child);

impl Kill {
    #[track_caller]
    pub fn wait(&mut self) -> ExitStatus {
        let since = monotonic();
        loop {
            if let Some(status) = self.0.try_wait().unwrap() {
                return status;
            }
            assert!(since.elapsed() < PATIENCE, "the command does not end");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Kill {
    fn drop(&mut self) {
        // It may have ended.
        let _ended = self.0.kill();
        let _ended = self.0.wait();
    }
}

/// A running daemon, and what it tells systemd.
pub struct Daemon {
    child: Kill,
    log: PathBuf,
    told: watch::Receiver<Vec<String>>,
}

impl Daemon {
    fn start(house: &TestEnv, change: impl FnOnce(&mut Command)) -> Self {
        // Each start has files of its own, so that a restart hides nothing of what came before.
        let number = (0..)
            .find(|it| !house.path(&format!("daemon-{it}.log")).exists())
            .unwrap();
        let (log, socket) = (
            house.path(&format!("daemon-{number}.log")),
            house.path(&format!("notify-{number}")),
        );
        let notify = UnixDatagram::bind(&socket).unwrap();
        let (sender, told) = watch::channel(Vec::new());
        tokio::spawn(async move {
            let mut buffer = [0; 4096];
            while let Ok(length) = notify.recv(&mut buffer).await {
                let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
                if sender.send_modify_if_heard(text).is_err() {
                    return;
                }
            }
        });
        let mut command = house.command();
        let out = File::create(&log).unwrap();
        command.arg("run").env("NOTIFY_SOCKET", &socket);
        command.stdout(out.try_clone().unwrap()).stderr(out);
        change(&mut command);
        Self {
            child: Kill(command.spawn().unwrap()),
            log,
            told,
        }
    }

    pub fn pid(&self) -> u32 {
        self.child.0.id()
    }

    /// Everything it has written to stdout and stderr.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    /// Everything it has told systemd.
    pub fn told(&self) -> Vec<String> {
        self.told.borrow().clone()
    }

    /// Waits until it has told systemd what is asked for.
    pub async fn until_told(&self, what: &str, mut as_asked: impl FnMut(&[String]) -> bool) {
        let mut told = self.told.clone();
        let wait = tokio::time::timeout(PATIENCE, told.wait_for(|told| as_asked(told))).await;
        let came = matches!(wait, Ok(Ok(_)));
        assert!(
            came,
            "systemd was never told {what}: {:?}\n{}",
            self.told(),
            self.log()
        );
    }

    /// Waits for `READY=1`.
    pub async fn ready(&self) {
        self.until_told("READY=1", |told| {
            told.iter().any(|it| it.contains("READY=1"))
        })
        .await;
    }

    /// Sends a signal by its name: `TERM`, `HUP`, `USR1`.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("sh")
            .args(["-c", "kill -s \"$0\" \"$1\"", name, &self.pid().to_string()])
            .status()
            .unwrap();
        assert!(sent.success(), "signal {name} was not sent");
    }

    /// Ends it as a power cut would.
    pub fn kill(mut self) {
        self.child.0.kill().unwrap();
        self.child.wait();
    }

    /// Waits for its end.
    #[track_caller]
    pub fn ended(&mut self) -> ExitStatus {
        tokio::task::block_in_place(|| self.child.wait())
    }

    /// Asks it to end, and sees that it ends well.
    #[track_caller]
    pub fn stop(mut self) {
        self.signal("TERM");
        let status = self.ended();
        assert_eq!(status.code(), Some(0), "{status:?}\n{}", self.log());
    }
}

/// `send_modify`, unless nobody listens any more.
trait Heard {
    fn send_modify_if_heard(&self, text: String) -> Result<(), ()>;
}

impl Heard for watch::Sender<Vec<String>> {
    fn send_modify_if_heard(&self, text: String) -> Result<(), ()> {
        if self.is_closed() {
            return Err(());
        }
        self.send_modify(|told| told.push(text));
        Ok(())
    }
}

/// Looks again and again until there is something to see.
pub async fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let since = monotonic();
    loop {
        if let Some(seen) = tokio::task::block_in_place(&mut look) {
            return seen;
        }
        assert!(since.elapsed() < PATIENCE, "it never came to this: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Waits until the record is as asked for.
pub async fn recorded(record: &Record, what: &str, as_asked: impl FnMut(&Record) -> bool) {
    let wait = tokio::time::timeout(PATIENCE, record.until(as_asked)).await;
    assert!(wait.is_ok(), "it never came to this: {what}");
}

/// Does this with all of them, so many at once; the results are in their order.
pub fn side_by_side<T: Sync, R: Send>(
    at_once: usize,
    all: &[T],
    act: impl Fn(&T) -> R + Sync,
) -> Vec<R> {
    let (next, done) = (AtomicUsize::new(0), Mutex::new(BTreeMap::new()));
    std::thread::scope(|scope| {
        for _ in 0..at_once {
            scope.spawn(|| {
                while let Some((number, it)) = {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    all.get(number).map(|it| (number, it))
                } {
                    let result = act(it);
                    done.lock().unwrap().insert(number, result);
                }
            });
        }
    });
    done.into_inner().unwrap().into_values().collect()
}
