//! Random kills: the real daemon ends by SIGKILL at any moment, again and again, while several
//! accounts rotate as fast as they may, calls go wrong and a webhook hangs now and then. Nothing is
//! ever broken.
//!
//! One account gives its token to a program too, one has a file with another's token in it and a
//! consumer that is told and that says what it uses; both programs fail now and then. What a kill
//! leaves of them is ended with the daemon, as the service manager would.
//!
//! The local clock is set both ways, and the machine counts as started anew at times.
//!
//! Readers look at the sinks all the time; the stand-in's record, the receiver, the mailbox and the
//! journal are asked after each kill and at rest. What is left out: mints that happen long after
//! their answer was lost. Two of them at once cannot be told apart, and the daemon rightly leaves
//! both alone; `lost_mint` has tests of that.
//!
//! `RINGCX_ROTATOR_TEST_KILLS=1000` makes it longer, `RINGCX_ROTATOR_TEST_KILLS_SEED` repeats the
//! same draws.

use std::collections::BTreeMap;
use std::fs::{File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use ringcx_rotator::clock::{Clock, monotonic};
use rotator_core::event::Event;
use rotator_simulator::mailbox::{Mailbox, MailboxSetup};
use rotator_simulator::receiver::{Behavior, Receiver, ReceiverSetup};
use rotator_simulator::{Call, Effect, Fault, MintedBy, RetryAfter, Times};
use rustix::process::{Pid, Signal, kill_process};
use tokio::runtime::Handle;

use crate::env::{Kill, PASSWORD, TestEnv, USER, user};
use crate::oracle::{self, Account, AllTheTime, KEPT, MailStore, Place, Readers, Story};

const ACCOUNTS: [(&str, &str); 4] = [
    ("ivr-0", "bot-0@example.com"),
    ("ivr-1", "bot-1@example.com"),
    ("ivr-2", "bot-2@example.com"),
    ("ivr-3", "bot-3@example.com"),
];
const SIGHUP: i32 = 1;
const SIGKILL: i32 = 9;
/// About how long the daemon lives at most, in milliseconds.
const LONGEST_LIFE: u64 = 500;
/// Keeps the token that it reads; now and then it does not.
const TAKE: &str =
    "test $(($$ % 7)) -ne 0 || exit 1\numask 077\ncat > kept.$$ && mv kept.$$ kept\n";
/// Uses the token in its file from then on, and says so; now and then it does not.
const CONSUME: &str = "test $(($$ % 7)) -ne 0 || exit 1\numask 077\nset -e\n\
    cat ivr-1 > uses.$$\nmv uses.$$ uses\nsha256sum uses | cut -c1-64 > says.$$\nmv says.$$ says\necho >> told\n";
/// `max-age` of the policy, less what two readings of a clock may differ by.
const LEAST_AGE: TimeDelta = TimeDelta::milliseconds(1500 - 250);
/// By how much the local clock is ahead at times, in milliseconds. RingCX's is right.
const AHEAD: [i64; 8] = [
    0,
    0,
    0,
    240_000,
    -240_000,
    7_200_000,
    -7_200_000,
    5_184_000_000,
];
/// Only a failsafe.
const LONGEST_REST: Duration = Duration::from_secs(60);

const FAULTS: [Fault; 13] = [
    Fault::CutBefore,
    Fault::LostAnswer,
    Fault::Silence,
    Fault::SilenceAfter,
    Fault::Slow(Duration::from_millis(100)),
    Fault::HalfBody,
    Fault::Status(401, RetryAfter::Absent, Effect::None),
    Fault::Status(429, RetryAfter::Absent, Effect::None),
    Fault::Status(500, RetryAfter::Absent, Effect::Done),
    Fault::Html(502, Effect::None),
    Fault::Garbage,
    Fault::Empty,
    Fault::Part,
];

const MANNERS: [Behavior; 5] = [
    Behavior::Hang,
    Behavior::Slow(Duration::from_millis(100)),
    Behavior::LostAnswer,
    Behavior::CutBefore,
    Behavior::Status(500),
];

/// Draws by the `SplitMix64` rule: the same ones for the same seed.
struct Draws(u64);

impl Draws {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % end
    }

    fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[usize::try_from(self.below(all.len() as u64)).unwrap()]
    }
}

fn number_of(variable: &str, usual: u64) -> u64 {
    std::env::var(variable).map_or(usual, |text| text.parse().unwrap())
}

// proves: serve-live, never-zero, fail-static
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kills_at_random_moments_break_nothing() {
    let kills = number_of("RINGCX_ROTATOR_TEST_KILLS", 100);
    let now = u64::try_from(Clock::system().now().timestamp_millis()).unwrap();
    let seed = number_of("RINGCX_ROTATOR_TEST_KILLS_SEED", now);
    println!("kills: RINGCX_ROTATOR_TEST_KILLS_SEED={seed}");
    let mut scene = Scene::set().await;
    tokio::task::block_in_place(|| scene.play(kills, Draws(seed)));
}

struct Scene {
    runtime: Handle,
    house: TestEnv,
    receiver: Arc<Receiver>,
    mailbox: Mailbox,
    foreign: Vec<String>,
    readers: AllTheTime,
    post: MailStore,
    kills: u64,
    /// How often the machine was started anew, as far as the daemon knows.
    boots: u64,
    wrong: Vec<String>,
}

impl Scene {
    async fn set() -> Self {
        let house = TestEnv::with_users(
            ACCOUNTS
                .iter()
                .map(|(_, name)| user(name, PASSWORD))
                .collect(),
        )
        .await;
        let receiver = Arc::new(Receiver::start(ReceiverSetup::default()).await.unwrap());
        let mailbox = Mailbox::start(MailboxSetup::default()).await.unwrap();
        let foreign = ACCOUNTS
            .iter()
            .map(|(_, user)| house.ringcx.mint_foreign(user))
            .collect();
        house.write("secret", "a secret for webhooks");
        house.write("env", KEPT);
        for (name, script) in [("take", TAKE), ("consume", CONSUME)] {
            house.write(
                name,
                format!(
                    "#!/bin/sh\ncd {} || exit 9\n{script}",
                    house.dir.path().display()
                ),
            );
            std::fs::set_permissions(house.path(name), Permissions::from_mode(0o700)).unwrap();
        }
        let keys = ACCOUNTS
            .iter()
            .map(|(name, user)| (key(name), (*user).to_owned()))
            .collect();
        let mut places = vec![
            Place::Env {
                path: house.path("env"),
                keys,
            },
            Place::Hook {
                receiver: Arc::clone(&receiver),
                user: ACCOUNTS[0].1.to_owned(),
            },
        ];
        let files = ACCOUNTS
            .iter()
            .copied()
            .chain([("kept", ACCOUNTS[0].1), ("uses", ACCOUNTS[1].1)]);
        for (name, user) in files {
            places.push(Place::File {
                path: house.path(name),
                user: user.to_owned(),
            });
        }
        let users = vec![ACCOUNTS[1].1.to_owned(), ACCOUNTS[2].1.to_owned()];
        places.push(Place::Rendered {
            path: house.path("both"),
            users,
        });
        let readers = AllTheTime::start(Readers::new(house.record(), places));
        let (post, kills, wrong) = (MailStore::default(), 0, Vec::new());
        Self {
            runtime: Handle::current(),
            house,
            receiver,
            mailbox,
            foreign,
            readers,
            post,
            kills,
            boots: 0,
            wrong,
        }
    }

    fn policy(&self, every: &str) -> String {
        let house = &self.house;
        let mut accounts = String::new();
        for (name, user) in ACCOUNTS {
            let mut sinks = vec![
                house.file_sink(name),
                format!(
                    "[[account.sink]]\nname = \"env\"\ntype = \"env-file\"\npath = \"{}\"\nkey = \"{}\"\n",
                    house.path("env").display(),
                    key(name)
                ),
            ];
            if name == ACCOUNTS[0].0 {
                sinks.push(format!(
                    "[[account.sink]]\nname = \"hook\"\ntype = \"webhook\"\nurl = \"{}\"\ntimeout = \"300ms\"\n\
                     secret = {{ file = \"secret\" }}\nreceipt = \"fingerprint\"\n\
                     [[account.sink]]\nname = \"program\"\ntype = \"command\"\nargv = [\"{}\"]\nstdin = \"token\"\n",
                    self.receiver.url(),
                    house.path("take").display(),
                ));
            }
            if name == ACCOUNTS[1].0 {
                let notify = format!(
                    "notify = {{ argv = [\"{}\"] }}\n",
                    house.path("consume").display()
                );
                let says = house.path("says");
                sinks[0].push_str(&notify);
                sinks[0].push_str(&format!(
                    "acknowledge = {{ path = \"{}\", within = \"1h\" }}\n",
                    says.display()
                ));
                sinks.push(format!(
                    "[[account.sink]]\nname = \"both\"\ntype = \"template\"\npath = \"{}\"\naccounts = [\"{other}\"]\n\
                     inline = \"{{{{ token }}}}\\n{{{{ accounts['{other}'].token }}}}\\n\"\n{notify}",
                    house.path("both").display(),
                    other = ACCOUNTS[2].0,
                ));
            }
            accounts.push_str(&house.account(name, &sinks).replace(USER, user));
        }
        let defaults = format!(
            "schedule = {{ every = \"{every}\", jitter = \"0s\" }}\n\
             retention = {{ max-age = \"1500ms\", overlap = \"500ms\" }}\n\
             retry = {{ initial = \"20ms\", max = \"200ms\", rejected-login = \"200ms\" }}\n\
             check-every = \"1s\"\nverify-within = \"1s\""
        );
        let policy = house.policy(&defaults, &accounts);
        let limits = "requests-per-minute = 60000\nlogins-per-minute = 10000";
        format!(
            "{}[alerts.email]\nfrom = \"rotator@example.com\"\nto = [\"oncall@example.com\"]\n\
             host = \"127.0.0.1\"\nport = {}\ntls = \"none\"\n",
            policy
                .replace("requests-per-minute = 6000", limits)
                .replace(
                    "request-timeout = \"20s\"",
                    "connect-timeout = \"300ms\"\nrequest-timeout = \"300ms\""
                ),
            self.mailbox.address().port()
        )
    }

    fn play(&mut self, kills: u64, mut draws: Draws) {
        let began = monotonic();
        self.house.set_policy(&self.policy("1s"));
        let longest = Duration::from_millis(LONGEST_LIFE) * u32::try_from(kills).unwrap();
        // What goes wrong first says most.
        while self.kills < kills && began.elapsed() < longest && self.wrong.is_empty() {
            self.kills += 1;
            self.live_and_die(&mut draws, self.kills);
        }
        self.house.ringcx.clear();
        self.receiver.answer(Behavior::Receipt);
        self.house.set_policy(&self.policy("10h"));
        self.rest();
        self.at_rest();
        self.report(began.elapsed());
    }

    /// One life of the daemon, with whatever goes wrong in it, and its end.
    fn live_and_die(&mut self, draws: &mut Draws, kill: u64) {
        let log = File::options()
            .append(true)
            .create(true)
            .open(self.house.path("daemon.log"))
            .unwrap();
        if draws.below(4) == 0 {
            self.boots += 1;
        }
        self.set_clock(draws);
        let mut command = self.house.command();
        // Handed on to all that it starts, which is known by it.
        command
            .env("HOME", self.house.dir.path())
            .env("RINGCX_ROTATOR_TEST_CLOCK", self.house.path("clock"))
            .arg("run")
            .stdout(Stdio::null())
            .stderr(log);
        let mut child = Kill(command.spawn().unwrap());
        let pid = Pid::from_child(&child.0);
        for _ in 0..draws.below(3) {
            let (call, fault) = (draws.of(&Call::ALL), draws.of(&FAULTS));
            self.house
                .ringcx
                .inject_for(draws.of(&ACCOUNTS).1, call, fault, Times::Once);
        }
        if draws.below(3) == 0 {
            self.receiver.answer_next([draws.of(&MANNERS)]);
        }
        if draws.below(4) == 0 {
            self.house.ringcx.expire_sessions();
        }
        std::thread::sleep(Duration::from_millis(draws.below(LONGEST_LIFE / 2)));
        if draws.below(3) == 0 {
            self.set_clock(draws);
        }
        let told_to_reload = draws.below(4) == 0;
        if told_to_reload {
            let _dead = kill_process(pid, Signal::HUP);
        }
        if draws.below(2) == 0 {
            // Just after a call of this kind, when most is at stake.
            let (call, record) = (draws.of(&Call::ALL), self.house.record());
            let before = record.count(call);
            let wait = Duration::from_millis(LONGEST_LIFE / 2);
            let came = self.runtime.block_on(tokio::time::timeout(
                wait,
                record.until(|record| record.count(call) > before),
            ));
            let _none_came = came;
            std::thread::sleep(Duration::from_micros(draws.below(8_000)));
        } else {
            std::thread::sleep(Duration::from_millis(draws.below(LONGEST_LIFE / 2)));
        }
        child.0.kill().unwrap();
        let status = child.wait();
        self.end_what_it_started();
        // Before it listens to signals, being told to reload ends it as it does any process.
        let killed = [Some(SIGKILL), told_to_reload.then_some(SIGHUP)].contains(&status.signal());
        if !killed || status.signal().is_none() {
            self.wrong.push(format!(
                "kill {kill}: it had ended by itself, {status:?}\n{}",
                self.end_of_log()
            ));
        }
        let found = self.at_death();
        self.wrong
            .extend(found.into_iter().map(|what| format!("kill {kill}: {what}")));
    }

    /// The daemon's clock is set, in one go.
    fn set_clock(&self, draws: &mut Draws) {
        let ahead_ms = draws.of(&AHEAD);
        self.house
            .write("clock.new", format!("{ahead_ms} {}", self.boots));
        std::fs::rename(self.house.path("clock.new"), self.house.path("clock")).unwrap();
    }

    /// Whatever its clock was, nothing that was ever published is deleted before its time.
    fn deleted_early(&self, account: &Account<'_>, story: &Story) -> Vec<String> {
        let record = self.house.record();
        let (tokens, calls) = (record.tokens(), record.calls());
        let deletes = calls.iter().filter(|it| it.call == Call::Delete);
        let mut wrong = Vec::new();
        for delete in deletes.filter(|it| it.user.as_deref() == Some(account.user)) {
            let Some(token) = tokens
                .iter()
                .find(|it| Some(it.fingerprint) == delete.subject)
            else {
                continue;
            };
            let generation = story.state.by_fingerprint(&token.fingerprint);
            let was_published = generation.is_some_and(|it| it.may_be_published());
            if was_published && delete.at - token.minted_at < LEAST_AGE {
                wrong.push(format!(
                    "retention: {} was deleted when it was {} ms old",
                    account.name,
                    (delete.at - token.minted_at).num_milliseconds()
                ));
            }
        }
        wrong
    }

    /// As the service manager would, with the whole group of the service.
    fn end_what_it_started(&self) {
        let home = format!("HOME={}", self.house.dir.path().display());
        let is_left = |pid: &str| {
            let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            environment
                .split(|byte| *byte == 0)
                .any(|it| it == home.as_bytes())
        };
        loop {
            let processes = std::fs::read_dir("/proc").unwrap().filter_map(Result::ok);
            let names = processes.map(|it| it.file_name().to_string_lossy().into_owned());
            let left: Vec<Pid> = names
                .filter(|name| name.bytes().all(|byte| byte.is_ascii_digit()) && is_left(name))
                .filter_map(|name| Pid::from_raw(name.parse().ok()?))
                .collect();
            if left.is_empty() {
                return;
            }
            for pid in left {
                let _gone = kill_process(pid, Signal::KILL);
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn at_death(&mut self) -> Vec<String> {
        let mut wrong = self.readers.with(|readers| {
            readers.look();
            std::mem::take(&mut readers.wrong)
        });
        let record = self.house.record();
        match self.stories() {
            Ok(stories) => {
                for (account, story) in self.accounts().iter().zip(&stories) {
                    wrong.extend(oracle::at_any_moment(account, story, &record));
                    wrong.extend(self.deleted_early(account, story));
                    wrong.extend(oracle::as_written_down(
                        story,
                        &record,
                        &self.held(account.name),
                    ));
                }
            }
            // Killed before there was one.
            Err(error) if !self.house.path("state/journal.sqlite").exists() => drop(error),
            Err(error) => wrong.push(error),
        }
        if let Ok((alerts, sent)) = self
            .runtime
            .block_on(oracle::alerts(&self.house.path("state")))
        {
            wrong.extend(self.post.at_death(&alerts, &sent, &self.mailbox));
        }
        wrong
    }

    fn accounts(&self) -> Vec<Account<'_>> {
        let account = |&(name, user): &(&'static str, &'static str)| {
            let hook = (name == ACCOUNTS[0].0).then_some(("hook", &*self.receiver));
            let required: &[&str] = match name {
                "ivr-0" => &["env", "hook", "program"],
                "ivr-1" => &["env", "both"],
                _ => &["env"],
            };
            Account {
                name,
                user,
                hook,
                required,
            }
        };
        ACCOUNTS.iter().map(account).collect()
    }

    fn stories(&self) -> Result<Vec<Story>, String> {
        self.runtime
            .block_on(oracle::stories(&self.house.path("state"), &self.accounts()))
    }

    /// Sinks that are files, with the token in each.
    fn held(&self, account: &str) -> BTreeMap<String, String> {
        let file = std::fs::read_to_string(self.house.path(account)).ok();
        let wanted = format!("{}=", key(account));
        let env = self.house.read("env");
        let env = env
            .lines()
            .find_map(|line| line.strip_prefix(&wanted))
            .map(str::to_owned);
        [(account.to_owned(), file), ("env".to_owned(), env)]
            .into_iter()
            .filter_map(|(sink, token)| Some((sink, token?)))
            .collect()
    }

    /// Without kills and faults, until nothing is left to do.
    fn rest(&mut self) {
        let since = monotonic();
        loop {
            let ran = self.house.run(["run", "--once"]);
            let unwell: Vec<String> = match self.stories() {
                Ok(stories) => stories
                    .iter()
                    .flat_map(|story| {
                        let old = story
                            .state
                            .previous()
                            .map(|it| format!("generation {} to go", it.number));
                        oracle::unwell(&story.state)
                            .into_iter()
                            .chain(old.collect::<Vec<_>>())
                    })
                    .collect(),
                Err(error) => vec![error],
            };
            if ran.status.success() && unwell.is_empty() {
                return;
            }
            if since.elapsed() > LONGEST_REST {
                self.wrong
                    .push(format!("never at rest: {unwell:?}\n{}", ran.err));
                return;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    fn at_rest(&mut self) {
        let mut wrong = self.at_death();
        let record = self.house.record();
        let mut currents = Vec::new();
        for (account, story) in self
            .accounts()
            .iter()
            .zip(&self.stories().unwrap_or_default())
        {
            wrong.extend(oracle::leaked(account, story, &record));
            let current = story.state.current().map(|it| it.fingerprint);
            let current = current
                .and_then(|current| record.token(current))
                .map(|it| it.token);
            let held = self.held(account.name);
            let hook = account.hook.map(|(_, receiver)| receiver.held_token());
            if held.len() != 2
                || held.values().any(|it| Some(it) != current.as_ref())
                || hook.is_some_and(|it| it != current)
            {
                wrong.push(format!(
                    "{}: a sink does not hold the current token",
                    account.name
                ));
            }
            currents.push(current.unwrap_or_default());
        }
        if let [first, second, third, _] = currents.as_slice() {
            for (file, expected) in [
                ("kept", first),
                ("uses", second),
                ("both", &format!("{second}\n{third}\n")),
            ] {
                if std::fs::read_to_string(self.house.path(file)).ok().as_ref() != Some(expected) {
                    wrong.push(format!("{file} does not hold the current token"));
                }
            }
        }
        if self.foreign.iter().any(|token| !record.is_alive(token)) {
            wrong.push("own-only: a foreign token is gone".to_owned());
        }
        wrong.extend(self.post.at_rest(&self.mailbox).err());
        wrong.extend(oracle::ids(&self.receiver));
        wrong.extend(
            oracle::left_over(self.house.dir.path())
                .into_iter()
                .map(|it| format!("left over: {it}")),
        );
        if self.house.run(["history", "--verify"]).code() != 0 {
            wrong.push("audit: the chain is broken".to_owned());
        }
        self.wrong.extend(wrong);
    }

    fn end_of_log(&self) -> String {
        let log = self.house.read("daemon.log");
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }

    fn report(&self, took: Duration) {
        let record = self.house.record();
        let stories = self.stories().unwrap_or_default();
        let events = || stories.iter().flat_map(|story| &story.events);
        let promoted = events()
            .filter(|it| matches!(it, Event::Promoted { .. }))
            .count();
        let recovered = events()
            .filter(|it| matches!(it, Event::MintUnknown { .. } | Event::MintMissing { .. }))
            .count();
        let minted = record
            .tokens()
            .iter()
            .filter(|it| it.minted_by == MintedBy::Api)
            .count();
        println!(
            "kills: {} kills in {:.0} s, {promoted} rotations, {minted} minted, {recovered} mints without an \
             answer, {} deleted, {} faults met, {} deliveries to the webhook, {} to a program, a consumer told {} \
             times, {} mails, {} reads, {} wrong",
            self.kills,
            took.as_secs_f32(),
            record.effects(Call::Delete),
            record
                .calls()
                .iter()
                .filter(|it| it.fault.is_some())
                .count(),
            self.receiver.deliveries().len(),
            events()
                .filter(|it| matches!(it, Event::Delivered { sink, .. } if sink == "program"))
                .count(),
            std::fs::read_to_string(self.house.path("told"))
                .unwrap_or_default()
                .lines()
                .count(),
            self.mailbox.mails().len(),
            self.readers.with(|readers| readers.reads),
            self.wrong.len(),
        );
        assert!(
            self.wrong.is_empty(),
            "{}\n{}",
            self.wrong.join("\n"),
            self.end_of_log()
        );
        // A machine that is busy with other things kills more often than it rotates.
        assert!(
            promoted as u64 > self.kills / 20,
            "hardly anything was rotated"
        );
    }
}

fn key(account: &str) -> String {
    format!("TOKEN_{}", account.to_uppercase().replace('-', "_"))
}
