//! What the crash matrix plays: scenarios, each from the beginning with a world of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::net::UnixDatagram;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use ringcx_rotator::clock::{Clock, monotonic};
use rotator_simulator::mailbox::{Mailbox, MailboxSetup};
use rotator_simulator::receiver::{Receiver, ReceiverSetup};
use rotator_simulator::{Call, Fault, MintedBy, RingexSetup, Times};
use rustix::process::{Pid, Signal, kill_process};
use tokio::runtime::Handle;

use super::{KillPoint, props};
use crate::env::{Kill, PASSWORD, TestEnv, USER, by_ringex, user};
use crate::oracle::{self, Account, AllTheTime, KEPT, MailStore, Place, Readers, Story};

pub const OTHER: &str = "other-bot@example.com";
/// Only a failsafe.
const LONGEST: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(15);

const LONG: &str = "retention = { max-age = \"20h\", overlap = \"1h\" }";
const SHORT: &str = "retention = { max-age = \"1ms\", overlap = \"1ms\" }";

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scenario {
    FirstRotation,
    Rotation,
    Retirement,
    Drift,
    LostMint,
    SharedEnvFile,
    Reload,
    OtherSinks,
    Consumers,
    RingexLogin,
}

/// What is done while it may crash.
#[derive(Clone, Copy)]
pub enum Act {
    /// This command, to its end.
    Command(&'static [&'static str]),
    /// The daemon, which takes another policy while it runs.
    Reload,
}

impl Scenario {
    pub const ALL: [Self; 10] = [
        Self::FirstRotation,
        Self::Rotation,
        Self::Retirement,
        Self::Drift,
        Self::LostMint,
        Self::SharedEnvFile,
        Self::Reload,
        Self::OtherSinks,
        Self::Consumers,
        Self::RingexLogin,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::FirstRotation => "first rotation",
            Self::Rotation => "rotation",
            Self::Retirement => "retirement",
            Self::Drift => "drift repair",
            Self::LostMint => "lost mint",
            Self::SharedEnvFile => "shared env-file",
            Self::Reload => "reload",
            Self::OtherSinks => "other sinks",
            Self::Consumers => "consumers",
            Self::RingexLogin => "ringex login",
        }
    }

    pub fn acts(self) -> &'static [Act] {
        const ONCE: Act = Act::Command(&["run", "--once"]);
        const ROTATE: Act = Act::Command(&["rotate", "ivr"]);
        match self {
            Self::FirstRotation
            | Self::Retirement
            | Self::Drift
            | Self::SharedEnvFile
            | Self::RingexLogin => &[ONCE],
            Self::Rotation | Self::Consumers => &[ROTATE],
            Self::LostMint => &[ROTATE, ONCE],
            Self::Reload => &[Act::Reload],
            Self::OtherSinks => &[Act::Command(&["rotate", "--all"])],
        }
    }

    /// Whether both sides of each effect are played without being asked for.
    pub fn is_played_whole(self) -> bool {
        matches!(
            self,
            Self::FirstRotation | Self::Rotation | Self::Retirement | Self::Consumers
        )
    }

    /// How many tokens each account mints in all, at most. A crash is no reason for another: the
    /// mint that it cut short is found on the list, or was never sent.
    fn mints(self) -> usize {
        match self {
            Self::FirstRotation
            | Self::Drift
            | Self::SharedEnvFile
            | Self::Reload
            | Self::RingexLogin => 1,
            Self::Rotation
            | Self::Retirement
            | Self::LostMint
            | Self::OtherSinks
            | Self::Consumers => 2,
        }
    }

    fn retires(self) -> bool {
        matches!(self, Self::Retirement | Self::OtherSinks | Self::Consumers)
    }

    fn accounts(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::SharedEnvFile | Self::OtherSinks => &[("ivr", USER), ("other", OTHER)],
            Self::FirstRotation
            | Self::Rotation
            | Self::Retirement
            | Self::Drift
            | Self::LostMint
            | Self::Reload
            | Self::Consumers
            | Self::RingexLogin => &[("ivr", USER)],
        }
    }

    /// The sinks that are there from the beginning.
    fn sinks(self) -> &'static [&'static str] {
        match self {
            Self::SharedEnvFile | Self::OtherSinks | Self::RingexLogin => &["env"],
            Self::Reload => &["token", "hook"],
            Self::Consumers => &["token", "env"],
            Self::FirstRotation
            | Self::Rotation
            | Self::Retirement
            | Self::Drift
            | Self::LostMint => &["token", "env", "hook"],
        }
    }
}

/// One world.
pub struct Stage {
    scenario: Scenario,
    runtime: Handle,
    house: TestEnv,
    receiver: Arc<Receiver>,
    mailbox: Mailbox,
    foreign: Vec<String>,
    readers: AllTheTime,
    post: MailStore,
}

impl Stage {
    /// Sets up a world and brings it to where the scenario begins.
    pub fn set(scenario: Scenario, runtime: Handle) -> Result<Self, String> {
        let users = scenario
            .accounts()
            .iter()
            .map(|(_, name)| user(name, PASSWORD))
            .collect();
        let house = runtime.block_on(TestEnv::in_memory(users, RingexSetup::default()));
        let receiver = Arc::new(
            runtime
                .block_on(Receiver::start(ReceiverSetup::default()))
                .unwrap(),
        );
        let mailbox = runtime
            .block_on(Mailbox::start(MailboxSetup::default()))
            .unwrap();
        let foreign = scenario
            .accounts()
            .iter()
            .map(|(_, user)| house.ringcx.mint_foreign(user))
            .collect();
        house.write("secret", "a secret for webhooks");
        house.write("jwt", house.ringcx.make_jwt(USER));
        house.write("env", KEPT);
        let keys = scenario
            .accounts()
            .iter()
            .map(|(name, user)| (key(name), (*user).to_owned()));
        let mut places = vec![Place::Env {
            path: house.path("env"),
            keys: keys.collect(),
        }];
        let _runtime = runtime.enter();
        places.extend(props::put_up(scenario, &house));
        if scenario.sinks().contains(&"token") {
            places.push(Place::File {
                path: house.path("token"),
                user: USER.to_owned(),
            });
        }
        if scenario.sinks().contains(&"hook") {
            places.push(Place::Hook {
                receiver: Arc::clone(&receiver),
                user: USER.to_owned(),
            });
        }
        let readers = AllTheTime::start(Readers::new(house.record(), places));
        let post = MailStore::default();
        let runtime = runtime.clone();
        let stage = Self {
            scenario,
            runtime,
            house,
            receiver,
            mailbox,
            foreign,
            readers,
            post,
        };
        stage.prepare()?;
        Ok(stage)
    }

    fn prepare(&self) -> Result<(), String> {
        self.house.set_policy(&self.policy(LONG));
        let first = |act: &[&str]| match self.house.run(act) {
            ran if ran.code() == 0 => Ok(()),
            ran => Err(format!("{act:?} of the preparation: {}", ran.err)),
        };
        match self.scenario {
            Scenario::FirstRotation
            | Scenario::SharedEnvFile
            | Scenario::Reload
            | Scenario::RingexLogin => {}
            Scenario::Rotation => first(&["run", "--once"])?,
            Scenario::OtherSinks | Scenario::Consumers => {
                first(&["run", "--once"])?;
                self.house.set_policy(&self.policy(SHORT));
            }
            Scenario::Retirement => {
                first(&["run", "--once"])?;
                first(&["rotate", "ivr"])?;
                self.house.set_policy(&self.policy(SHORT));
            }
            Scenario::Drift => {
                first(&["run", "--once"])?;
                self.readers.with(|readers| {
                    readers.plant(&self.house.path("token"), None);
                    readers.plant(
                        &self.house.path("env"),
                        Some(&format!("{KEPT}TOKEN_IVR=theirs\n")),
                    );
                });
            }
            Scenario::LostMint => {
                first(&["run", "--once"])?;
                self.house
                    .ringcx
                    .inject(Call::Mint, Fault::LostAnswer, Times::Once);
            }
        }
        Ok(())
    }

    fn policy(&self, retention: &str) -> String {
        self.policy_with(retention, self.scenario.sinks(), "true")
    }

    fn policy_with(&self, retention: &str, sinks: &[&str], hook_required: &str) -> String {
        let house = &self.house;
        let mut accounts = String::new();
        for (name, user) in self.scenario.accounts() {
            let mut sinks: Vec<String> = sinks
                .iter()
                .map(|sink| self.sink(name, sink, hook_required))
                .collect();
            if *name == "ivr" {
                props::notify_consumers(self.scenario, house, &mut sinks);
                sinks.extend(props::sinks(self.scenario, house));
            }
            let account = house.account(name, &sinks).replace(USER, user);
            let ringex = self.scenario == Scenario::RingexLogin;
            accounts.push_str(&if ringex {
                by_ringex(&account, "app", "secret", "jwt")
            } else {
                account
            });
        }
        let defaults = format!(
            "{retention}\nretry = {{ initial = \"20ms\", max = \"100ms\", rejected-login = \"100ms\" }}\n\
             verify-within = \"5s\""
        );
        let policy = house.policy(&defaults, &accounts);
        let limits =
            "requests-per-minute = 6000\nlogins-per-minute = 1000\nringex-logins-per-minute = 1000";
        format!(
            "{}[alerts.email]\nfrom = \"rotator@example.com\"\nto = [\"oncall@example.com\"]\n\
             host = \"127.0.0.1\"\nport = {}\ntls = \"none\"\n",
            policy.replace("requests-per-minute = 6000", limits),
            self.mailbox.address().port()
        )
    }

    fn sink(&self, account: &str, name: &str, hook_required: &str) -> String {
        let options = match name {
            "token" => return self.house.file_sink("token"),
            "env" => format!(
                "type = \"env-file\"\npath = \"{}\"\nkey = \"{}\"\n",
                self.house.path("env").display(),
                key(account)
            ),
            _ => format!(
                "type = \"webhook\"\nurl = \"{}\"\nsecret = {{ file = \"secret\" }}\n\
                 receipt = \"fingerprint\"\nrequired = {hook_required}\n",
                self.receiver.url()
            ),
        };
        format!("[[account.sink]]\nname = \"{name}\"\n{options}")
    }

    /// Does this act and dies in it, if told so and if it comes that far. Gives the names of the
    /// effects.
    pub fn act(&self, act: Act, death: Option<&KillPoint>) -> (ExitStatus, Vec<String>) {
        self.wait_out_holds();
        let watched = self.house.path("effects");
        self.house.write("effects", "");
        let mut command = self.house.command();
        command.env("RINGCX_ROTATOR_TEST_EFFECTS", &watched);
        if let Some(death) = death {
            command.env("RINGCX_ROTATOR_TEST_DIE", death.to_string());
        }
        let status = match act {
            Act::Command(args) => {
                command.args(args);
                self.house.finish(command).status
            }
            Act::Reload => self.reload(command),
        };
        let names = std::fs::read_to_string(&watched).unwrap();
        (status, names.lines().map(str::to_owned).collect())
    }

    /// What failed before is due again when this returns, so that the same is done each time.
    fn wait_out_holds(&self) {
        let stories = self.stories().unwrap_or_default();
        let lanes = stories.iter().flat_map(|story| story.state.lanes.values());
        if let Some(until) = lanes.map(|failure| failure.next_attempt_at).max() {
            std::thread::sleep((until - Clock::system().now()).to_std().unwrap_or_default());
        }
    }

    fn reload(&self, mut command: Command) -> ExitStatus {
        let path = self.house.path("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(PAUSE)).unwrap();
        command
            .arg("run")
            .env("NOTIFY_SOCKET", &path)
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let mut child = Kill(command.spawn().unwrap());
        let pid = Pid::from_child(&child.0);
        let mut buffer = [0; 4096];
        loop {
            if let Some(status) = child.0.try_wait().unwrap() {
                return status;
            }
            let told = socket
                .recv(&mut buffer)
                .map(|length| String::from_utf8_lossy(&buffer[..length]));
            if told.is_ok_and(|told| told.contains("READY=1")) {
                break;
            }
        }
        self.house.set_policy(&self.after_reload());
        let since = monotonic();
        // It may have died this moment.
        let _dead = kill_process(pid, Signal::HUP);
        loop {
            if let Some(status) = child.0.try_wait().unwrap() {
                return status;
            }
            let at_rest = self
                .stories()
                .is_ok_and(|it| it[0].state.sinks.len() == 3 && self.unwell(&it).is_empty());
            if at_rest || since.elapsed() > LONGEST {
                let _dead = kill_process(pid, Signal::TERM);
                return child.wait();
            }
            std::thread::sleep(PAUSE);
        }
    }

    /// A sink more, and the webhook has become best effort.
    fn after_reload(&self) -> String {
        self.policy_with(LONG, &["token", "env", "hook"], "false")
    }

    /// Starts again, without a crash, until nothing is left to do.
    pub fn to_rest(&self) -> Result<(), String> {
        if self.scenario == Scenario::Reload {
            self.house.set_policy(&self.after_reload());
        }
        let since = monotonic();
        loop {
            let ran = self.house.run(["run", "--once"]);
            let unwell = self.unwell(&self.stories()?);
            if ran.status.success() && unwell.is_empty() {
                return Ok(());
            }
            if since.elapsed() > LONGEST {
                return Err(format!("never at rest: {unwell:?}\n{}", ran.err));
            }
            std::thread::sleep(PAUSE);
        }
    }

    fn accounts(&self) -> Vec<Account<'_>> {
        let hook = self
            .scenario
            .sinks()
            .contains(&"hook")
            .then_some(("hook", &*self.receiver));
        let required = self.scenario.sinks();
        let account = |&(name, user)| Account {
            name,
            user,
            hook,
            required,
        };
        self.scenario.accounts().iter().map(account).collect()
    }

    fn stories(&self) -> Result<Vec<Story>, String> {
        self.runtime
            .block_on(oracle::stories(&self.house.path("state"), &self.accounts()))
    }

    fn unwell(&self, stories: &[Story]) -> Vec<String> {
        let mut unwell: Vec<String> = stories
            .iter()
            .flat_map(|story| oracle::unwell(&story.state))
            .collect();
        if self.scenario.retires()
            && stories
                .iter()
                .any(|it| it.state.previous().next().is_some())
        {
            unwell.push("a token to be deleted".to_owned());
        }
        unwell
    }

    /// What is wrong at the moment after a death, before anything is put right.
    pub fn at_death(&mut self) -> Vec<String> {
        self.readers.with(Readers::look);
        let stories = match self.stories() {
            Ok(stories) => stories,
            Err(error) => return vec![error],
        };
        let record = self.house.record();
        let mut wrong = Vec::new();
        for (account, story) in self.accounts().iter().zip(&stories) {
            wrong.extend(oracle::at_any_moment(account, story, &record));
            // What others put there says nothing of us.
            if self.scenario != Scenario::Drift {
                wrong.extend(oracle::as_written_down(
                    story,
                    &record,
                    &self.held(account.name),
                ));
            }
        }
        wrong.extend(props::at_any_moment(self.scenario, &self.house, &stories));
        match self
            .runtime
            .block_on(oracle::alerts(&self.house.path("state")))
        {
            Ok((alerts, sent)) => wrong.extend(self.post.at_death(&alerts, &sent, &self.mailbox)),
            Err(error) => wrong.push(error),
        }
        wrong
    }

    /// Sinks that are files, with the token in each.
    fn held(&self, account: &str) -> BTreeMap<String, String> {
        let mut held = BTreeMap::new();
        if let Ok(token) = std::fs::read_to_string(self.house.path("token")) {
            held.insert("token".to_owned(), token);
        }
        let wanted = format!("{}=", key(account));
        for sink in ["both", "page"] {
            let rendered = std::fs::read_to_string(self.house.path(sink)).unwrap_or_default();
            if let (Some(token), "ivr") = (rendered.lines().next(), account) {
                held.insert(sink.to_owned(), token.to_owned());
            }
        }
        let env = self.house.read("env");
        if let Some(token) = env.lines().find_map(|line| line.strip_prefix(&wanted)) {
            held.insert("env".to_owned(), token.to_owned());
        }
        held
    }

    /// What is wrong once it is at rest, and how many mails came twice.
    pub fn at_rest(&mut self) -> (Vec<String>, usize) {
        let mut wrong = self.at_death();
        let stories = self.stories().unwrap_or_default();
        let record = self.house.record();
        for (account, story) in self.accounts().iter().zip(&stories) {
            wrong.extend(oracle::leaked(account, story, &record));
            let minted = record.tokens();
            let minted = minted
                .iter()
                .filter(|it| it.user == account.user && it.minted_by == MintedBy::Api);
            let (minted, most) = (minted.count(), self.scenario.mints());
            if minted > most {
                wrong.push(format!(
                    "no-blind-mint: {minted} tokens were minted for {most}"
                ));
            }
            let current = story.state.current().map(|it| it.fingerprint);
            let current = current
                .and_then(|current| record.token(current))
                .map(|it| it.token);
            let held = self.held(account.name);
            let hook = account.hook.map(|(_, receiver)| receiver.held_token());
            if held.values().any(|it| Some(it) != current.as_ref())
                || hook.is_some_and(|it| it != current)
            {
                wrong.push("a sink does not hold the current token".to_owned());
            }
            if !held.contains_key("env") {
                wrong.push("the env-file holds no token".to_owned());
            }
        }
        wrong.extend(props::at_rest(self.scenario, &self.house, &stories));
        if self.foreign.iter().any(|token| !record.is_alive(token)) {
            wrong.push("own-only: a foreign token is gone".to_owned());
        }
        wrong.extend(
            oracle::left_over(self.house.dir.path())
                .into_iter()
                .map(|it| format!("left over: {it}")),
        );
        wrong.extend(oracle::ids(&self.receiver));
        let twice = self.judge_mails(&mut wrong);
        self.readers
            .with(|readers| wrong.append(&mut readers.wrong));
        (wrong, twice)
    }

    /// One mail for each time that an incident opened, and the same again only where a crash hid
    /// from us that the server had taken it.
    fn judge_mails(&self, wrong: &mut Vec<String>) -> usize {
        match self
            .runtime
            .block_on(oracle::alerts(&self.house.path("state")))
        {
            Ok((alerts, _))
                if alerts.outbox.is_empty()
                    && alerts.open.is_empty()
                    && alerts.ended.is_empty() => {}
            Ok(_) => wrong.push("told-once: someone is still to be told".to_owned()),
            Err(error) => wrong.push(error),
        }
        let mut firing: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for mail in self
            .mailbox
            .mails()
            .iter()
            .filter(|it| it.subject().ends_with("(FIRING)"))
        {
            let of = |name| mail.header(name).unwrap_or_default();
            firing
                .entry(of("X-RingCX-Rotator-Incident"))
                .or_default()
                .insert(of("Message-ID"));
        }
        for (incident, mails) in firing.iter().filter(|(_, mails)| mails.len() > 1) {
            wrong.push(format!("told-once: {} mails of {incident}", mails.len()));
        }
        self.post.at_rest(&self.mailbox).unwrap_or_else(|error| {
            wrong.push(error);
            0
        })
    }

    /// How often sinks were read.
    pub fn reads(&self) -> usize {
        self.readers.with(|readers| readers.reads)
    }

    /// What `history --verify` says.
    pub fn verified(&self) -> bool {
        self.house.run(["history", "--verify"]).code() == 0
    }

    /// How many mails came.
    pub fn mails(&self) -> usize {
        self.mailbox.mails().len()
    }
}

fn key(account: &str) -> String {
    format!("TOKEN_{}", account.to_uppercase())
}
