//! `init`: by flags and at a terminal; what it leaves, and that it never leaves half of it.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rotator_simulator::{Call, RingexSetup};

use crate::env::{PASSWORD, Ran, TestEnv, USER, eventually, user};

/// Where a newcomer's files would go.
fn etc(house: &TestEnv, name: &str) -> PathBuf {
    house.path("etc").join(name)
}

fn bits(path: &Path) -> u32 {
    path.metadata()
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()))
        .permissions()
        .mode()
        & 0o7777
}

/// `init` in this house, with these flags.
fn command(house: &TestEnv, flags: &[&str]) -> Command {
    let mut command = house.command();
    command
        .env("RINGCX_ROTATOR_CONFIG", etc(house, "config.toml"))
        .arg("init");
    command.args([
        "--credential",
        "plain",
        "--base-url",
        &house.ringcx.base_url().to_string(),
    ]);
    command
        .arg("--dropin")
        .arg(house.path("unit.d/policy.conf"));
    command
        .env("SYSTEMD_UNIT_PATH", house.path("no-units"))
        .args(flags);
    command
}

/// With the password on stdin.
fn init(house: &TestEnv, password: &str, flags: &[&str]) -> Ran {
    let mut command = command(house, flags);
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(password.as_bytes()).unwrap();
    std::io::Seek::rewind(&mut file).unwrap();
    command.stdin(file);
    house.finish(command)
}

fn usual(house: &TestEnv) -> Vec<String> {
    let path = house.path("token").display().to_string();
    let flags = [
        "--account",
        "ivr",
        "--username",
        USER,
        "--platform-id",
        "aws80",
        "--password-stdin",
        "--sink-path",
        &path,
    ];
    flags.map(str::to_owned).to_vec()
}

/// Everything below, but for the credentials, with its bytes.
fn below(directory: &Path, found: &mut Vec<(PathBuf, Vec<u8>)>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            below(&path, found)
        } else {
            found.push((path.clone(), std::fs::read(path).unwrap()))
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn flags_are_enough_and_the_password_rests_in_its_credential_alone() {
    let house = TestEnv::new().await;
    std::fs::remove_file(house.path("password")).unwrap();
    let usual = usual(&house);
    let mut flags: Vec<&str> = usual.iter().map(String::as_str).collect();
    flags.extend([
        "--mail-to",
        "oncall@example.com",
        "--mail-to",
        "second@example.com",
        "--smtp-host",
        "smtp.example.com",
    ]);
    flags.push("--offline");
    let ran = init(&house, &format!("{PASSWORD}\n"), &flags);
    assert_eq!(ran.code(), 0, "{}\n{}", ran.out, ran.err);
    assert!(
        ran.out
            .ends_with("next: systemctl enable --now ringcx-rotator\n"),
        "{}",
        ran.out
    );
    assert_eq!(house.record().calls().len(), 0, "--offline");

    let (config, credential) = (etc(&house, "config.toml"), etc(&house, "credentials/ivr"));
    assert_eq!(
        (bits(&credential), bits(credential.parent().unwrap())),
        (0o600, 0o700)
    );
    assert!(
        [0o600, 0o640].contains(&bits(&config)),
        "{:o}",
        bits(&config)
    );
    assert_eq!(bits(&house.path("unit.d/policy.conf")), 0o644);
    assert_eq!(std::fs::read_to_string(&credential).unwrap(), PASSWORD);

    let mut files = Vec::new();
    below(house.dir.path(), &mut files);
    assert_eq!(files.len(), 3, "policy, drop-in, credential: {files:?}");
    files.retain(|(path, _)| *path != credential);
    files.push(("out".into(), ran.out.into_bytes()));
    files.push(("err".into(), ran.err.into_bytes()));
    for (path, bytes) in &files {
        let text = String::from_utf8_lossy(bytes);
        let escaped = serde_json::to_string(PASSWORD).unwrap();
        assert!(
            !text.contains(PASSWORD) && !text.contains(escaped.trim_matches('"')),
            "{}",
            path.display()
        );
    }

    let loaded = rotator_policy::load(&config).unwrap();
    assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
    let email = loaded.policy.alerts.email.unwrap();
    assert_eq!(
        (email.from.as_str(), email.to.len()),
        ("ringcx-rotator@example.com", 2)
    );
    let dropin = house.read("unit.d/policy.conf");
    assert!(
        dropin.contains(&format!("\nLoadCredential=ivr:{}\n", credential.display())),
        "{dropin}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_ends_with_a_check_that_tries_the_password_it_stored() {
    let house = TestEnv::new().await;
    let usual = usual(&house);
    let flags: Vec<&str> = usual.iter().map(String::as_str).collect();
    let wrong = init(&house, "wrong", &flags);
    assert_eq!(wrong.code(), 1, "{}", wrong.out);
    assert!(
        wrong.err.contains("401") && wrong.err.contains("check --online"),
        "{}",
        wrong.err
    );
    assert!(!wrong.out.contains("next:"), "{}", wrong.out);

    let again = init(&house, PASSWORD, &flags);
    assert_eq!(again.code(), 1);
    assert!(
        again.err.contains("is there already: give --force"),
        "{}",
        again.err
    );
    assert_eq!(
        std::fs::read_to_string(etc(&house, "credentials/ivr")).unwrap(),
        "wrong",
        "nothing was written"
    );

    let before = std::fs::read_to_string(etc(&house, "config.toml")).unwrap();
    let forced = init(
        &house,
        PASSWORD,
        &[&flags[..], &["--force", "--group", "0"]].concat(),
    );
    assert_eq!(forced.code(), 0, "{}\n{}", forced.out, forced.err);
    assert!(forced.out.contains("logged in as"), "{}", forced.out);
    assert_eq!(
        std::fs::read_to_string(etc(&house, "config.toml.old")).unwrap(),
        before
    );
    assert_eq!((house.count(Call::Login), house.count(Call::Mint)), (2, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_missing_or_wrong_is_named_and_nothing_is_written() {
    let house = TestEnv::new().await;
    let path = house.path("token").display().to_string();
    let nobody = init(&house, "", &["--account", "ivr"]);
    assert_eq!(nobody.code(), 2);
    for flag in [
        "--username",
        "--platform-id",
        "--password-file or --password-stdin",
    ] {
        assert!(nobody.err.contains(flag), "{}", nobody.err);
    }
    assert!(!nobody.err.contains("--account"), "{}", nobody.err);
    for (password, change, said) in [
        ("", ("ivr", "ivr"), "is empty"),
        (PASSWORD, ("ivr", "No Name"), "not a name"),
        (PASSWORD, ("aws80", "a b"), "not a platform"),
        (
            PASSWORD,
            (path.as_str(), "relative"),
            "the path is relative",
        ),
    ] {
        let changed: Vec<String> = usual(&house)
            .into_iter()
            .map(|it| {
                if it == change.0 {
                    change.1.to_owned()
                } else {
                    it
                }
            })
            .collect();
        let flags: Vec<&str> = changed.iter().map(String::as_str).collect();
        let ran = init(&house, password, &flags);
        assert!(
            [1, 2].contains(&ran.code()) && ran.err.contains(said),
            "{said}: {}",
            ran.err
        );
        assert!(
            !etc(&house, "").exists() && !house.path("unit.d").exists(),
            "{said}: something was written"
        );
    }
    assert_eq!(house.record().calls().len(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_cannot_be_placed_takes_the_others_with_it() {
    let house = TestEnv::new().await;
    // A directory where the drop-in should be.
    std::fs::create_dir_all(house.path("unit.d/policy.conf")).unwrap();
    let usual = usual(&house);
    let flags: Vec<&str> = usual.iter().map(String::as_str).collect();
    let ran = init(&house, PASSWORD, &flags);
    assert_eq!(ran.code(), 1, "{}", ran.out);
    assert!(ran.err.contains("policy.conf: "), "{}", ran.err);
    assert!(
        !etc(&house, "").exists(),
        "policy and credential are gone again"
    );
}

/// A terminal with a program at it.
struct Session {
    child: std::process::Child,
    master: File,
    seen: std::sync::Arc<std::sync::Mutex<String>>,
}

impl Session {
    fn start(mut command: Command) -> Self {
        use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
        let master: OwnedFd = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap();
        let slave = File::options()
            .read(true)
            .write(true)
            .open(name.to_str().unwrap())
            .unwrap();
        command
            .stdin(slave.try_clone().unwrap())
            .stdout(slave.try_clone().unwrap())
            .stderr(Stdio::from(slave));
        let child = command.spawn().unwrap();
        drop(command);
        let (master, seen) = (
            File::from(master),
            std::sync::Arc::new(std::sync::Mutex::new(String::new())),
        );
        let (mut reader, log) = (master.try_clone().unwrap(), std::sync::Arc::clone(&seen));
        std::thread::spawn(move || {
            let mut buffer = [0; 1024];
            // Ends with an error once nobody has the other side.
            while let Ok(length) = reader.read(&mut buffer) {
                log.lock()
                    .unwrap()
                    .push_str(&String::from_utf8_lossy(&buffer[..length]));
            }
        });
        Self {
            child,
            master,
            seen,
        }
    }

    fn seen(&self) -> String {
        self.seen.lock().unwrap().clone()
    }

    /// Waits for the question, then types.
    async fn answer(&mut self, question: &str, typed: &str) {
        eventually(&format!("it asks for {question}"), || {
            self.seen().contains(question).then_some(())
        })
        .await;
        self.master.write_all(typed.as_bytes()).unwrap();
    }

    async fn ended(&mut self) -> Option<i32> {
        let child = &mut self.child;
        eventually("it ends", || child.try_wait().unwrap())
            .await
            .code()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_a_terminal_it_asks_and_does_not_show_the_password() {
    let house = TestEnv::new().await;
    let mut session = Session::start(command(&house, &["--platform-id", "aws80"]));
    session
        .answer("A name for this RingCX account", "\nivr\n")
        .await;
    session
        .answer("The RingCX user", &format!("{USER}\n"))
        .await;
    // With a slip of the finger.
    session
        .answer("Its password", &format!("x\u{7f}{PASSWORD}\n"))
        .await;
    session
        .answer(
            "/run/ringcx-rotator/tokens/ivr]",
            &format!("{}\n", house.path("token").display()),
        )
        .await;
    session.answer("The group that may read it", "\n").await;
    session.answer("Where mail about failures goes", "\n").await;
    let code = session.ended().await;
    let seen = eventually("its last words", || {
        session.seen().contains("next: ").then(|| session.seen())
    })
    .await;
    assert_eq!(code, Some(0), "{seen}");
    assert!(
        seen.contains("logged in as") && !seen.contains(PASSWORD),
        "{seen}"
    );
    assert_eq!(
        std::fs::read_to_string(etc(&house, "credentials/ivr")).unwrap(),
        PASSWORD
    );

    // A second time it asks first, and takes no for an answer.
    let mut session = Session::start(command(&house, &[]));
    session.answer("Replace it, and keep it as", "no\n").await;
    assert_eq!(session.ended().await, Some(1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn interrupted_at_the_password_it_leaves_nothing_and_the_terminal_as_it_was() {
    let house = TestEnv::new().await;
    let mut session = Session::start(command(
        &house,
        &[
            "--account",
            "ivr",
            "--username",
            USER,
            "--platform-id",
            "aws80",
        ],
    ));
    session.answer("Its password", "half of it\u{3}").await;
    assert_eq!(session.ended().await, Some(1));
    eventually("it says so", || {
        session
            .seen()
            .contains("stopped: nothing was written")
            .then_some(())
    })
    .await;
    assert!(!session.seen().contains("half of it"), "{}", session.seen());
    assert!(!etc(&house, "").exists() && !house.path("unit.d").exists());
    let modes = rustix::termios::tcgetattr(&session.master)
        .unwrap()
        .local_modes;
    let all = rustix::termios::LocalModes::ECHO
        | rustix::termios::LocalModes::ICANON
        | rustix::termios::LocalModes::ISIG;
    assert!(modes.contains(all), "{modes:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_encrypted_password_is_what_check_decrypts_again() {
    let house = TestEnv::new().await;
    let usual = usual(&house);
    let mut flags: Vec<&str> = usual.iter().map(String::as_str).collect();
    flags.extend(["--credential", "encrypted"]);
    let mut command = command(&house, &[]);
    let before: Vec<_> = command.get_args().map(ToOwned::to_owned).collect();
    command = house.command();
    let args = before
        .into_iter()
        .filter(|it| it != "--credential" && it != "plain");
    command
        .env("RINGCX_ROTATOR_CONFIG", etc(&house, "config.toml"))
        .args(args)
        .args(&flags);
    command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(PASSWORD.as_bytes()).unwrap();
    std::io::Seek::rewind(&mut file).unwrap();
    command.stdin(file);
    let ran = house.finish(command);
    if ran.err.contains("cannot be encrypted on this machine") {
        assert!(!etc(&house, "").exists(), "nothing is written then");
        println!(
            "skipped: systemd-creds cannot encrypt here: {}",
            ran.err.trim()
        );
        return;
    }
    assert_eq!(ran.code(), 0, "{}\n{}", ran.out, ran.err);
    assert!(ran.out.contains("logged in as"), "{}", ran.out);
    let kept = std::fs::read_to_string(etc(&house, "credentials/ivr.cred")).unwrap();
    assert!(!kept.contains(PASSWORD) && !etc(&house, "credentials/ivr").exists());
    assert!(
        house
            .read("unit.d/policy.conf")
            .contains("\nLoadCredentialEncrypted=ivr:")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_login_by_ringex_has_flags_of_its_own_and_is_tried_too() {
    let (secret, app) = (
        "canary of the app",
        [("the-app".to_owned(), "canary of the app".to_owned())].into(),
    );
    let house = TestEnv::with_ringex(
        vec![user(USER, PASSWORD)],
        RingexSetup {
            apps: app,
            ..Default::default()
        },
    )
    .await;
    let jwt = house.ringcx.make_jwt(USER);
    house.write("app", secret);
    house.write("jwt", &jwt);
    let (url, path) = (
        house.ringcx.ringex_url(),
        house.path("token").display().to_string(),
    );
    let file = |name: &str| house.path(name).display().to_string();
    let (app, jwt_file) = (file("app"), file("jwt"));
    let usual = [
        "--account",
        "ivr",
        "--sink-path",
        &path,
        "--ringex-url",
        &url,
    ];
    let with = |flags: &[&str]| init(&house, "", &[&usual, flags].concat());
    let missing = with(&["--login", "ringex"]);
    assert_eq!(missing.code(), 2);
    for flag in ["--client-id", "--client-secret-file", "--jwt-file"] {
        assert!(missing.err.contains(flag), "{flag}: {}", missing.err);
    }
    let own = [
        "--client-id",
        "the-app",
        "--client-secret-file",
        &app,
        "--jwt-file",
        &jwt_file,
    ];
    let mixed = with(&[&own[..], &["--username", USER]].concat());
    assert_eq!(mixed.code(), 2);
    assert!(mixed.err.contains("cannot be used with"), "{}", mixed.err);
    assert!(!etc(&house, "config.toml").exists());

    let ran = with(&own);
    assert_eq!(ran.code(), 0, "{}{}", ran.out, ran.err);
    assert!(
        ran.out
            .contains(&format!("logged in as RingEX user {USER}")),
        "{}",
        ran.out
    );
    assert_eq!(
        (house.count(Call::RingexToken), house.count(Call::Login)),
        (1, 0)
    );
    for (name, text) in [("ivr-app", secret), ("ivr-jwt", jwt.as_str())] {
        let path = etc(&house, "credentials").join(name);
        assert_eq!(
            (
                std::fs::read_to_string(&path).unwrap().as_str(),
                bits(&path)
            ),
            (text, 0o600)
        );
    }
    let mut found = Vec::new();
    below(&house.path("etc"), &mut found);
    below(&house.path("unit.d"), &mut found);
    found.retain(|(path, _)| path.parent().unwrap() != etc(&house, "credentials"));
    assert!(found.len() >= 2);
    for (path, bytes) in found {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        assert!(
            !text.contains(secret) && !text.contains(&jwt),
            "{}",
            path.display()
        );
    }
}
