//! What an operator sees of a policy: what is taken, what is refused and how that reads, and that
//! no secret is ever shown. The shipped files are loaded here too.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use rotator_core::config::{LoginPolicy, Policy, ProxyChoice};

use rotator_core::secret::SecretSource;
use rotator_policy::{Color, DiagnosticSeverity, Loaded, PolicyErrors};
use tempfile::TempDir;

#[path = "policy/faults.rs"]
mod faults;
#[path = "policy/places.rs"]
mod places;
#[path = "policy/random.rs"]
mod random;
#[path = "policy/secrets.rs"]
mod secrets;
#[path = "policy/shipped.rs"]
mod shipped;

/// An account with nothing wrong in it.
const ACCOUNT: &str = r#"
[[account]]
name = "sales-ivr"
username = "ivr-bot@example.com"
password = { credential = "sales-ivr" }
platform-id = "aws80"

[[account.sink]]
name = "token-file"
type = "file"
path = "/run/ivr/token"
"#;

/// A directory with a policy in it.
struct Setup {
    directory: TempDir,
}

impl Setup {
    fn new(text: &str) -> Self {
        let setup = Self {
            directory: TempDir::new().unwrap(),
        };
        setup.add("config.toml", text.as_bytes());
        setup
    }

    fn add(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.directory.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        File::create(&path).unwrap().write_all(bytes).unwrap();
        path
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("config.toml")
    }

    fn load(&self) -> Result<Loaded, PolicyErrors> {
        rotator_policy::load(&self.path())
    }

    /// The rendering, with the directory taken out.
    fn shown(&self) -> String {
        let text = match self.load() {
            Ok(loaded) => rotator_policy::render(&loaded.warnings, Color::Never, None),
            Err(errors) => errors.render(Color::Never, None),
        };
        text.replace(
            self.directory.path().to_str().unwrap(),
            "/etc/ringcx-rotator",
        )
    }
}

#[track_caller]
fn accepted(text: &str) -> Loaded {
    Setup::new(text)
        .load()
        .unwrap_or_else(|errors| panic!("{}", errors.render(Color::Never, None)))
}

/// Every error as `line:column message`.
#[track_caller]
fn refused(text: &str) -> Vec<String> {
    let errors = Setup::new(text)
        .load()
        .map(|_| ())
        .expect_err("the policy should be refused");
    let shown = |diagnostic: &rotator_policy::Diagnostic| match (diagnostic.line, diagnostic.column)
    {
        (Some(line), Some(column)) => format!("{line}:{column} {}", diagnostic.message),
        _ => diagnostic.message.clone(),
    };
    errors
        .diagnostics()
        .iter()
        .filter(|d| d.severity == DiagnosticSeverity::Error)
        .map(shown)
        .collect()
}

#[track_caller]
fn check(text: &str, expected: &[&str]) {
    assert_eq!(refused(text), expected, "{text}");
}

fn minimal() -> Policy {
    accepted(ACCOUNT).policy
}

#[test]
fn a_policy_is_found_beside_its_relative_paths() {
    let setup = Setup::new(&format!(
        "[daemon]\naccounts-dir = \"more\"\n[ringcx]\nca-file = \"ca.pem\"\n{}",
        ACCOUNT.replace("{ credential = \"sales-ivr\" }", "{ file = \"pw\" }")
    ));
    setup.add(
        "more/a.toml",
        ACCOUNT
            .replace("sales-ivr", "a")
            .replace("/token", "/a")
            .as_bytes(),
    );
    let policy = setup.load().unwrap().policy;
    let directory = setup.directory.path();
    assert_eq!(
        policy.daemon.accounts_dir.as_deref(),
        Some(directory.join("more").as_path())
    );
    assert_eq!(
        policy.ringcx.ca_file.as_deref(),
        Some(directory.join("ca.pem").as_path())
    );
    let LoginPolicy::Admin(login) = &policy.account("sales-ivr").unwrap().login else {
        panic!("another login")
    };
    assert_eq!(login.password, SecretSource::File(directory.join("pw")));
}

#[test]
fn an_account_overrides_key_by_key_and_every_drops_cron() {
    use rotator_core::config::Timing;
    use std::time::Duration;
    let text = |account: &str| {
        format!(
            "[defaults]\nschedule = {{ cron = \"0 4 * * *\", timezone = \"Europe/Berlin\" }}\nretention = {{ max-age = \"3d\" }}\n{}",
            ACCOUNT.replace("platform-id", &format!("{account}\nplatform-id"))
        )
    };
    let account = |own: &str| accepted(&text(own)).policy.accounts.remove(0);
    let every = account("schedule = { every = \"2d\" }\nretention.overlap = \"1h\"");
    assert_eq!(
        every.schedule.timing,
        Timing::Every(Duration::from_secs(2 * 86_400))
    );
    assert_eq!(every.schedule.timezone.to_string(), "Europe/Berlin");
    assert_eq!(every.retention.max_age, Duration::from_secs(3 * 86_400));
    assert_eq!(every.retention.overlap, Duration::from_secs(3600));
    assert_eq!(every.retention.max_live, 8);
    let inherited = account("");
    assert!(matches!(&inherited.schedule.timing, Timing::Cron(cron) if cron.text == "0 4 * * *"));
    let back = accepted(
        &text("schedule.cron = \"0 5 * * *\"").replace("cron = \"0 4 * * *\"", "every = \"1d\""),
    );
    let timing = &back.policy.accounts[0].schedule.timing;
    assert!(matches!(timing, Timing::Cron(cron) if cron.text == "0 5 * * *"));
}

#[test]
fn a_symlinked_policy_is_read_where_the_link_is() {
    let setup = Setup::new(ACCOUNT);
    let link = setup.directory.path().join("link.toml");
    std::os::unix::fs::symlink(setup.path(), &link).unwrap();
    assert_eq!(rotator_policy::load(&link).unwrap().policy.path, link);
}

#[test]
fn accounts_of_the_directory_come_by_file_name_and_only_from_toml_files() {
    let setup = Setup::new("[daemon]\naccounts-dir = \"d\"\n");
    for (file, name) in [
        ("b.toml", "first-b"),
        ("a.toml", "z-in-a"),
        (".hidden.toml", "h"),
        ("c.toml~", "c"),
    ] {
        let text = ACCOUNT
            .replace("sales-ivr", name)
            .replace("/token", &format!("/{name}"));
        setup.add(&format!("d/{file}"), text.as_bytes());
    }
    let names: Vec<String> = setup
        .load()
        .unwrap()
        .policy
        .accounts
        .into_iter()
        .map(|a| a.name)
        .collect();
    assert_eq!(names, ["z-in-a", "first-b"]);
}

/// A path of the repository, from its root.
fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .join(path)
}

/// A sink's own proxy is not told the login of another one.
#[test]
fn a_webhook_goes_by_the_common_proxy_or_by_its_own() {
    let hook = |name: &str, more: &str| {
        format!(
            "[[account.sink]]\nname = \"{name}\"\ntype = \"webhook\"\nurl = \"https://h/{name}\"\n\
             secret.env = \"S\"\n{more}\n"
        )
    };
    let text = format!(
        "[network]\nproxy = \"http://p:3128\"\nproxy-username.env = \"U\"\n\
         proxy-password.file = \"pw\"\nno-proxy = [\"10.0.0.0/8\"]\n{ACCOUNT}{}{}{}{}",
        hook("common", ""),
        hook("same", "proxy = \"http://p:3128\""),
        hook("other", "proxy = \"http://q:3128\""),
        hook("none", "proxy = \"none\""),
    );
    let policy = accepted(&text).policy;
    let sinks = &policy.accounts[0].sinks;
    let network = |name: &str| {
        let sink = sinks.iter().find(|sink| sink.name == name).unwrap();
        sink.kind.calls().unwrap().1
    };
    assert_eq!(network("common"), &policy.ringcx.network);
    assert!(network("common").login.is_some());
    assert!(network("same").login.is_some() && network("same").no_proxy.is_empty());
    assert_eq!(network("other").login, None);
    assert_eq!(network("none").proxy, ProxyChoice::Never);
}

#[test]
fn a_base_url_that_ends_with_api_is_doubted() {
    let ringcx = |url: &str| format!("[ringcx]\nbase-url = \"{url}\"\n{ACCOUNT}");
    let loaded = accepted(&ringcx("https://h/gateway/API/"));
    let help = loaded.warnings[0].help.clone().unwrap();
    assert_eq!(
        help,
        "write `https://h/gateway`, unless a gateway has it there"
    );
    assert!(accepted(&ringcx("https://h/gateway")).warnings.is_empty());
}
