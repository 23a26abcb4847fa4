//! Every connection by a real proxy, tinyproxy from Debian, with and without a login.
//!
//! The hosts have names that no name server knows, so that nothing arrives which did not go by the
//! proxy: tinyproxy asks an upstream of this test for them, which finds all of them on loopback.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rotator_simulator::receiver::{Receiver, ReceiverSetup};
use rotator_simulator::{Authority, Call, RingexSetup, Setup};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::env::{Kill, PASSWORD, TestEnv, USER, by_ringex, eventually, user, write};

/// In the order of the policy.
const HOSTS: [&str; 3] = ["ringcx.test", "ringex.test", "hook.test"];
/// tinyproxy takes nothing but letters, digits and a few marks.
const LOGIN: [&str; 2] = ["rotator", "c0rrect-horse_9"];

/// Whether there is a tinyproxy. Where tests are run for everyone, a missing one is a failure.
fn tinyproxy() -> bool {
    let found = Command::new("tinyproxy")
        .arg("-v")
        .stdout(Stdio::null())
        .status();
    if found.is_ok() {
        return true;
    }
    assert!(
        std::env::var("CI").as_deref() != Ok("true"),
        "there is no tinyproxy: apt-get install tinyproxy"
    );
    // Written past the capture of the test's output, so that it is seen though the test passes.
    let told = "SKIPPED: there is no tinyproxy: apt-get install tinyproxy\n";
    drop(std::io::stderr().write_all(told.as_bytes()));
    false
}

/// Connects every host it is asked for to the same port on loopback, and remembers the hosts.
struct Upstream {
    port: u16,
    asked: Arc<Mutex<BTreeSet<String>>>,
}

impl Upstream {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked = Arc::new(Mutex::new(BTreeSet::new()));
        let hosts = Arc::clone(&asked);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(pass_on(stream, Arc::clone(&hosts)));
            }
        });
        Self { port, asked }
    }

    fn hosts(&self) -> Vec<String> {
        self.asked.lock().unwrap().iter().cloned().collect()
    }
}

async fn pass_on(mut client: TcpStream, hosts: Arc<Mutex<BTreeSet<String>>>) -> Option<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(client.read_u8().await.ok()?);
    }
    let head = String::from_utf8(head).ok()?;
    let (host, port) = head
        .strip_prefix("CONNECT ")?
        .split(' ')
        .next()?
        .split_once(':')?;
    hosts.lock().unwrap().insert(host.to_owned());
    let port: u16 = port.parse().ok()?;
    let mut server = TcpStream::connect(("127.0.0.1", port)).await.ok()?;
    client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.ok()?;
    tokio::io::copy_bidirectional(&mut client, &mut server)
        .await
        .ok()?;
    Some(())
}

/// A running tinyproxy. It ends with its test.
struct Proxy {
    port: u16,
    _child: Kill,
    _dir: TempDir,
}

impl Proxy {
    /// `lines` are added to its configuration.
    async fn start(upstream: &Upstream, lines: &str) -> Self {
        // tinyproxy cannot choose a free port itself, and another may take the one that was found.
        for _ in 0..20 {
            let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let port = free.local_addr().unwrap().port();
            drop(free);
            let dir = TempDir::new().unwrap();
            let config = dir.path().join("tinyproxy.conf");
            let text = format!(
                "Port {port}\nListen 127.0.0.1\nAllow 127.0.0.1\nMaxClients 50\n\
                 Upstream http 127.0.0.1:{}\n{lines}\n",
                upstream.port
            );
            write(&config, text.as_bytes());
            let mut command = Command::new("tinyproxy");
            command.arg("-d").arg("-c").arg(&config);
            command.stdout(Stdio::null()).stderr(Stdio::null());
            let mut child = Kill(command.spawn().unwrap());
            while child.0.try_wait().unwrap().is_none() {
                if TcpStream::connect(("127.0.0.1", port)).await.is_ok() {
                    return Self {
                        port,
                        _child: child,
                        _dir: dir,
                    };
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
        panic!("tinyproxy does not start");
    }

    fn address(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}

/// A house whose three hosts are far away, as their names say.
struct Far {
    house: TestEnv,
    hook: Receiver,
}

impl Far {
    async fn new() -> Self {
        let authority = Authority::naming(&HOSTS);
        let setup = Setup {
            tls: Some(authority.clone()),
            users: vec![user(USER, PASSWORD)],
            ringex: RingexSetup {
                apps: [("app".to_owned(), "app-secret".to_owned())].into(),
                ..RingexSetup::default()
            },
            ..Setup::default()
        };
        let house = TestEnv::with_setup(TempDir::new().unwrap(), setup).await;
        authority.write_pem(&house.path("ca.pem")).unwrap();
        house.write("client-secret", "app-secret");
        house.write("jwt", house.ringcx.make_jwt(USER));
        house.write("proxy-username", LOGIN[0]);
        house.write("proxy-password", LOGIN[1]);
        let hook = Receiver::start(ReceiverSetup {
            tls: Some(authority),
            ..ReceiverSetup::default()
        })
        .await
        .unwrap();
        Self { house, hook }
    }

    /// An account that uses all three hosts, with these tables before it.
    fn set_policy(&self, network: &str, of_sink: &str) {
        let hook = format!(
            "[[account.sink]]\nname = \"hook\"\ntype = \"webhook\"\nurl = \"{}\"\n\
             secret = {{ file = \"password\" }}\n{of_sink}\n",
            self.hook.url()
        );
        let account = self
            .house
            .account("ivr", &[self.house.file_sink("token"), hook]);
        let account = by_ringex(&account, "app", "client-secret", "jwt");
        let text = self.house.policy("", &account);
        let mut text = text.replace(
            "[defaults]",
            &format!("ca-file = \"ca.pem\"\n{network}\n[defaults]"),
        );
        for (key, host) in ["base-url = ", "ringex-url = ", "\nurl = "]
            .iter()
            .zip(HOSTS)
        {
            text = text.replace(
                &format!("{key}\"https://127.0.0.1"),
                &format!("{key}\"https://{host}"),
            );
        }
        self.house.set_policy(&text);
    }

    fn command(&self, args: &[&str], environment: &[(&str, &str)]) -> Command {
        let mut command = self.house.command();
        command.args(args).envs(environment.iter().copied());
        // A webhook is trusted by the store of the system.
        command.env("SSL_CERT_FILE", self.house.path("ca.pem"));
        command
    }
}

fn with_login(proxy: &Proxy) -> String {
    format!(
        "[network]\nproxy = \"{}\"\nproxy-username = {{ file = \"proxy-username\" }}\n\
         proxy-password = {{ file = \"proxy-password\" }}",
        proxy.address()
    )
}

fn asks_for_login() -> String {
    format!("BasicAuth {} {}", LOGIN[0], LOGIN[1])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_connection_goes_by_the_proxy_of_the_policy_with_its_login() {
    if !tinyproxy() {
        return;
    }
    let (far, upstream) = (Far::new().await, Upstream::start().await);
    let proxy = Proxy::start(&upstream, &asks_for_login()).await;
    far.set_policy(&with_login(&proxy), "");
    let checked = far.house.finish(far.command(&["check", "--online"], &[]));
    assert_eq!(checked.code(), 0, "{}{}", checked.out, checked.err);
    let way = format!("is reached through the proxy {} (`proxy`)", proxy.address());
    assert_eq!(checked.out.matches(&way).count(), 3, "{}", checked.out);
    let ran = far.house.finish(far.command(&["run", "--once"], &[]));
    assert_eq!(ran.code(), 0, "{}", ran.err);
    assert_eq!(far.hook.held_token(), Some(far.house.token()));
    assert_eq!(
        upstream.hosts(),
        ["hook.test", "ringcx.test", "ringex.test"]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_environment_names_the_proxy_where_the_policy_does_not() {
    if !tinyproxy() {
        return;
    }
    let (far, upstream) = (Far::new().await, Upstream::start().await);
    let proxy = Proxy::start(&upstream, &asks_for_login()).await;
    far.set_policy("", "");
    let [user, password] = LOGIN.map(|text| text.replace('r', "%72"));
    let address = format!("http://{user}:{password}@127.0.0.1:{}", proxy.port);
    let set = [("https_proxy", address.as_str())];
    let ran = far.house.finish(far.command(&["run", "--once"], &set));
    assert_eq!(ran.code(), 0, "{}", ran.err);
    assert_eq!(far.hook.held_token(), Some(far.house.token()));
    assert_eq!(
        upstream.hosts(),
        ["hook.test", "ringcx.test", "ringex.test"]
    );

    // Names that are left out are looked up here, where nobody knows them.
    let set = [("https_proxy", address.as_str()), ("NO_PROXY", ".test")];
    let checked = far.house.finish(far.command(&["check", "--online"], &set));
    assert_eq!(checked.code(), 1);
    let told = format!("{}{}", checked.out, checked.err);
    assert!(told.contains("is reached directly (`NO_PROXY`)"), "{told}");
    assert!(told.contains("name does not resolve"), "{told}");
    assert!(
        !told.contains(LOGIN[1]) && !told.contains(&password),
        "{told}"
    );
}

/// Without a login: one proxy for most, another for a sink.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sink_goes_by_a_proxy_of_its_own() {
    if !tinyproxy() {
        return;
    }
    let (far, common, own) = (
        Far::new().await,
        Upstream::start().await,
        Upstream::start().await,
    );
    let (proxy, other) = (
        Proxy::start(&common, "").await,
        Proxy::start(&own, "").await,
    );
    far.set_policy(
        &format!("[network]\nproxy = \"{}\"", proxy.address()),
        &format!("proxy = \"{}\"", other.address()),
    );
    let ran = far.house.finish(far.command(&["run", "--once"], &[]));
    assert_eq!(ran.code(), 0, "{}", ran.err);
    assert_eq!(common.hosts(), ["ringcx.test", "ringex.test"]);
    assert_eq!(own.hosts(), ["hook.test"]);
}

/// A 407 or a refusal of the proxy says nothing about the login at RingCX.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_proxy_refuses_is_told_as_the_proxys_and_no_login_counts_as_rejected() {
    if !tinyproxy() {
        return;
    }
    let (far, upstream) = (Far::new().await, Upstream::start().await);
    let proxy = Proxy::start(&upstream, &asks_for_login()).await;
    far.set_policy(&with_login(&proxy), "");
    far.house.write("proxy-password", "wrong");
    let daemon = far.house.start_with(|command| {
        command.env("SSL_CERT_FILE", far.house.path("ca.pem"));
    });
    daemon.ready().await;
    let error = eventually("the login fails", || {
        let status = far.house.status();
        status["last_error"].as_str().map(str::to_owned)
    })
    .await;
    // It answers 407 to none and 401 to a wrong one.
    let refused = |proxy: &Proxy| format!("the proxy {} refused", proxy.address());
    assert!(error.contains(&refused(&proxy)), "{error}");
    let status = far.house.status();
    assert_eq!(status["incidents"][0]["kind"], "login-failed", "{status}");
    assert_eq!(far.house.count(Call::RingexToken), 0);

    // It is read at each use.
    far.house.write("proxy-password", LOGIN[1]);
    eventually("all is well", || {
        (far.house.status()["state"] == "ok").then_some(())
    })
    .await;
    assert!(!daemon.log().contains(LOGIN[1]));
    daemon.stop();

    let closed = Proxy::start(&upstream, "ConnectPort 1").await;
    far.set_policy(&format!("[network]\nproxy = \"{}\"", closed.address()), "");
    let mints = far.house.count(Call::Mint);
    let rotated = far.house.finish(far.command(&["rotate", "ivr"], &[]));
    assert_eq!(rotated.code(), 1, "{}", rotated.err);
    let error = far.house.status()["last_error"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(error.contains(&refused(&closed)), "{error}");
    assert_eq!(far.house.count(Call::Mint), mints);

    far.set_policy(&format!("[network]\nproxy = \"{}\"", proxy.address()), "");
    let checked = far.house.finish(far.command(&["check", "--online"], &[]));
    let wants = format!(
        "the proxy {} wants a login, or another one (407)",
        proxy.address()
    );
    assert!(checked.err.contains(&wants), "{}", checked.err);
}

/// Needs no proxy: this one would refuse.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_on_loopback_never_goes_by_a_proxy() {
    let house = TestEnv::new().await;
    let text = house.usual("");
    house.set_policy(&format!(
        "[network]\nproxy = \"http://127.0.0.1:1\"\n{text}"
    ));
    let mut command = house.command();
    command.args(["run", "--once"]);
    for name in ["HTTP_PROXY", "http_proxy", "ALL_PROXY"] {
        command.env(name, "http://127.0.0.1:1");
    }
    let ran = house.finish(command);
    assert_eq!(ran.code(), 0, "{}", ran.err);
}
