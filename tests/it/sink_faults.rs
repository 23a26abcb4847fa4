//! Every fault of programs, auth configs, templates and consumers: it is told of by the right
//! incident, nothing is deleted meanwhile, and once it is over all is well again.
//!
//! The real binary, real programs and files, one stand-in a case. What goes wrong with the calls
//! themselves is in `fault_table`. Each row of the printed table is a case.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ringcx_rotator::clock::monotonic;
use rotator_simulator::Call;
use serde_json::Value;
use tokio::runtime::Handle;

use crate::env::{Daemon, PATIENCE, TestEnv, USER, eventually, side_by_side};
use cases::{CASES, Case};

mod cases;

const AT_ONCE: usize = 6;
const LOGINS_PER_MINUTE: usize = 5;
/// Generations come and go at a command, old ones as soon as may be, and what failed is tried again
/// at once.
const DEFAULTS: &str = "retention = { max-age = \"1ms\", overlap = \"1ms\" }\ncheck-every = \"200ms\"\n\
                        retry = { initial = \"100ms\", max = \"300ms\", rejected-login = \"10h\" }";

/// What a case came to.
struct Row {
    minted: usize,
    logins: usize,
    tries: u64,
    incident: String,
    wrong: Option<String>,
}

// proves: serve-live, never-zero, no-leak
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_fault_of_every_sink_is_told_and_ends_well_once_it_is_over() {
    let runtime = Handle::current();
    // `RINGCX_ROTATOR_TEST_FAULTS=consumer` plays only the cases whose name holds the text.
    let wanted = std::env::var("RINGCX_ROTATOR_TEST_FAULTS").unwrap_or_default();
    let cases: Vec<Case> = CASES
        .into_iter()
        .filter(|case| case.to_string().contains(&wanted))
        .collect();
    let rows = tokio::task::block_in_place(|| {
        side_by_side(AT_ONCE, &cases, |case| runtime.block_on(play(case)))
    });
    println!(
        "{:<64} {:<24} tries minted logins outcome",
        "fault", "incident"
    );
    let mut wrong = Vec::new();
    for (case, row) in cases.iter().zip(&rows) {
        let outcome = if row.wrong.is_some() {
            "FAILED"
        } else {
            "healthy"
        };
        println!(
            "{:<64} {:<24} {:>5} {:>6} {:>6} {outcome}",
            case.to_string(),
            row.incident,
            row.tries,
            row.minted,
            row.logins
        );
        wrong.extend(row.wrong.iter().map(|what| format!("{case}: {what}")));
    }
    println!(
        "sink faults: {} cases, {} faults found",
        rows.len(),
        wrong.len()
    );
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(!rows.is_empty());
}

async fn play(case: &Case) -> Row {
    let house = TestEnv::new().await;
    let sinks = [house.file_sink("token"), case.kind.set_up(&house)];
    house.set_policy(&house.policy(DEFAULTS, &house.account("ivr", &sinks)));
    let daemon = house.start_ready().await;
    let mut row = Row {
        minted: 0,
        logins: 0,
        tries: 0,
        incident: String::new(),
        wrong: None,
    };
    row.wrong = go_through(case, &house, &mut row).await.err();
    if row.wrong.is_none() {
        row.wrong = at_the_end(case, &house, &daemon);
    }
    row.minted = house.count(Call::Mint);
    row.logins = house.record().logins_in_any_minute(USER);
    daemon.stop();
    row
}

async fn go_through(case: &Case, house: &TestEnv, row: &mut Row) -> Result<(), String> {
    until_well(case, house, None)?;
    let old = house.token();
    (case.put)(house);
    house.run(["rotate", "ivr", "--no-wait"]);
    // It is told of, and tried more than once.
    let told = until(|| {
        let status = house.status();
        let incident = incident(&status, case.incident)?;
        row.incident = incident["kind"].as_str().unwrap_or_default().to_owned();
        let tries = incident["count"].as_u64().unwrap_or_default();
        row.tries = row.tries.max(tries);
        let said = format!("{status}\n{}", house.run(["plan"]).out);
        let enough = tries >= 2 || case.incident == "acknowledgement-late";
        (enough && said.contains(case.says)).then_some(())
    });
    if told.is_none() {
        let (status, plan) = (house.status(), house.run(["plan"]).out);
        return Err(format!(
            "never told as {} with `{}`: {status}\n{plan}",
            case.incident, case.says
        ));
    }
    let (record, minted) = (house.record(), usize::from(case.mints));
    for (is_wrong, what) in [
        (!record.is_alive(&old), "the old token was deleted"),
        (
            record.count(Call::Delete) > 0,
            "something was to be deleted",
        ),
        (
            record.effects(Call::Mint) != 1 + minted,
            "it minted, or did not",
        ),
        (
            !case.mints && house.token() != old,
            "another token was published",
        ),
    ] {
        if is_wrong {
            return Err(what.to_owned());
        }
    }

    (case.mend)(house);
    until_well(case, house, Some(&old))?;
    // The next rotation finds everything as it was.
    let ran = house.run(["rotate", "ivr"]);
    if ran.code() != 0 {
        return Err(format!("the next rotation: {}", ran.err));
    }
    until_well(case, house, None)
}

/// Waits until all is well: the token is everywhere, another than the old one, the incidents are
/// over, and older ones are gone.
fn until_well(case: &Case, house: &TestEnv, old: Option<&String>) -> Result<(), String> {
    let mut missing = String::new();
    let well = until(|| {
        case.kind.settle(house);
        let (status, token) = (house.status(), house.token());
        missing = [
            (status["state"] != "ok", "its state"),
            (
                status["incidents"]
                    .as_array()
                    .is_none_or(|it| !it.is_empty()),
                "an incident",
            ),
            (!status["pending"].is_null(), "a pending token"),
            (
                status["previous"]
                    .as_array()
                    .is_none_or(|it| !it.is_empty()),
                "a previous token",
            ),
            (old == Some(&token), "the old token"),
            (
                case.kind.held(house).as_ref() != Some(&token),
                "the sink holds another token",
            ),
            (case.kind.is_unheard(&status), "its consumer was not heard"),
            (
                house.alive() != 1 || !house.record().is_alive(&token),
                "there are other tokens",
            ),
        ]
        .iter()
        .filter(|(is_wrong, _)| *is_wrong)
        .map(|(_, what)| format!("{what}; "))
        .collect();
        missing.is_empty().then_some(())
    });
    well.ok_or_else(|| format!("never well: {missing}{}", house.status()))
}

fn incident<'a>(status: &'a Value, kind: &str) -> Option<&'a Value> {
    status["incidents"]
        .as_array()?
        .iter()
        .find(|it| it["kind"] == kind)
}

/// Looks again and again until there is something to see, or patience ends.
fn until<T>(mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let since = monotonic();
    loop {
        if let Some(seen) = look() {
            return Some(seen);
        }
        if since.elapsed() > PATIENCE / 2 {
            return None;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// What no fault may ever do: mint without need, log in too often, show a token.
fn at_the_end(case: &Case, house: &TestEnv, daemon: &Daemon) -> Option<String> {
    let record = house.record();
    let (mints, logins) = (record.count(Call::Mint), record.logins_in_any_minute(USER));
    if mints != 3 {
        return Some(format!("{mints} tokens were minted for 3 generations"));
    }
    if logins > LOGINS_PER_MINUTE {
        return Some(format!("{logins} logins in a minute"));
    }
    let said = [
        daemon.log(),
        house.run(["history", "--json"]).out,
        house.run(["status", "--json"]).out,
        house.run(["plan"]).out,
    ];
    for token in record.tokens() {
        let hex: String = token
            .token
            .bytes()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        // Without its last bytes, which what is printed after it would change.
        let encoded = STANDARD.encode(&token.token[..30]);
        for form in [&token.token, &hex, &encoded] {
            if said.iter().any(|text| text.contains(form.as_str())) {
                return Some(format!("a token is shown, as of length {}", form.len()));
            }
        }
    }
    // What a program prints without end is not kept without end.
    let longest = said
        .iter()
        .flat_map(|text| text.lines())
        .map(str::len)
        .max();
    (longest > Some(16 * 1024)).then(|| format!("a line of {longest:?} bytes, in {case}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_template_that_is_broken_at_a_reload_leaves_the_one_before_at_work() {
    let house = TestEnv::new().await;
    house.write("page.j2", "{{ token }}\n");
    let sink = format!(
        "[[account.sink]]\nname = \"page\"\ntype = \"template\"\npath = \"{}\"\ntemplate = \"{}\"\n",
        house.path("page").display(),
        house.path("page.j2").display()
    );
    house.set_policy(&house.policy(
        DEFAULTS,
        &house.account("ivr", &[house.file_sink("token"), sink]),
    ));
    let daemon = house.start_ready().await;
    for (broken, says) in [
        ("{{ token\n", "page.j2"),
        ("one\n{{ token }} {{ tokn }}\n", "line 2"),
        ("{{ accounts.other.token }}\n", "undefined value"),
        ("{{ token|shout }}\n", "shout"),
        (
            "{{ token }}{% for x in range(9999) %}{% for y in range(9999) %}{% endfor %}{% endfor %}",
            "too many",
        ),
        ("{% include '/etc/passwd' %}", "page.j2"),
    ] {
        house.write("page.j2", broken);
        let ran = house.run(["reload"]);
        assert_eq!(ran.code(), 78, "{broken}: {}", ran.err);
        assert!(ran.err.contains(says), "{broken}: {}", ran.err);
        // Commands read the policy too; the daemon keeps to what it read before.
        house.write("page.j2", "another: {{ token }}\n");
        assert_eq!(house.run(["rotate", "ivr"]).code(), 0, "{broken}");
        assert_eq!(
            house.read("page"),
            format!("{}\n", house.token()),
            "{broken}"
        );
    }
    let reloads = || house.json(&["status", "--json"])["incidents"].clone();
    assert_eq!(
        reloads()[0]["kind"],
        "reload-failed",
        "{}",
        house.json(&["status", "--json"])
    );
    house.write("page.j2", "new: {{ token }}\n");
    assert_eq!(house.run(["reload"]).code(), 0);
    let rendered = || house.read("page") == format!("new: {}\n", house.token());
    eventually("it is rendered anew", || rendered().then_some(())).await;
    assert_eq!(house.count(Call::Mint), 7);
    daemon.stop();
}
