//! What stands on the stage beside files and webhooks: a program, an auth config with a flow, a
//! file with the tokens of two accounts, and a consumer that is told and that says what it uses.
//!
//! Knows of each only what its reader sees of it.

use std::collections::BTreeSet;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::time::Duration;

use rotator_core::event::{Event, GenerationNo};
use rotator_simulator::{Call, KeyForm, Record};

use super::stage::{OTHER, Scenario};
use crate::env::{TestEnv, USER};
use crate::oracle::{Place, Story};

const CONFIG: &str = "ivr-config";
/// Keeps the token that it reads in the file that it is told. One whose daemon died may still be at
/// it when the next one runs.
const TAKE: &str = "#!/bin/sh\nset -e\numask 077\ncat > \"$1.$$\"\nmv \"$1.$$\" \"$1\"\n";
/// Takes the token from its file and uses it from then on, says so, and writes down which files it
/// saw.
const CONSUME: &str = "set -e\numask 077\n\
    seen=$(stat -c %.9Z token env page | tr '\\n' ' ')\n\
    cat token > uses.$$\nmv uses.$$ uses\n\
    sha256sum uses | cut -c1-64 > says.$$\nmv says.$$ says\n\
    echo \"$seen$(cat uses)\" >> told\n";
/// The files whose consumer it is.
const WATCHED: [&str; 3] = ["token", "env", "page"];

/// Puts up what the scenario needs, and says where tokens will be.
pub fn put_up(scenario: Scenario, house: &TestEnv) -> Vec<Place> {
    let file = |name: &str| Place::File {
        path: house.path(name),
        user: USER.to_owned(),
    };
    match scenario {
        Scenario::OtherSinks => {
            house
                .ringcx
                .adjust(|settings| settings.key_form = KeyForm::Masked);
            house
                .ringcx
                .add_auth_config(format!("21170001/{CONFIG}").parse().unwrap());
            house.ringcx.start_flow(CONFIG, Duration::from_millis(4));
            script(house, "take", TAKE);
            let users = vec![USER.to_owned(), OTHER.to_owned()];
            vec![
                Place::Rendered {
                    path: house.path("both"),
                    users,
                },
                Place::Config {
                    id: CONFIG.to_owned(),
                    user: USER.to_owned(),
                },
                file("kept"),
            ]
        }
        Scenario::Consumers => {
            script(
                house,
                "consume",
                &format!("#!/bin/sh\ncd {}\n{CONSUME}", house.dir.path().display()),
            );
            let users = vec![USER.to_owned()];
            vec![
                Place::Rendered {
                    path: house.path("page"),
                    users,
                },
                file("uses"),
            ]
        }
        Scenario::FirstRotation
        | Scenario::Rotation
        | Scenario::Retirement
        | Scenario::Drift
        | Scenario::LostMint
        | Scenario::SharedEnvFile
        | Scenario::Reload
        | Scenario::RingexLogin => Vec::new(),
    }
}

fn script(house: &TestEnv, name: &str, text: &str) {
    house.write(name, text);
    std::fs::set_permissions(house.path(name), std::fs::Permissions::from_mode(0o700)).unwrap();
}

/// The sinks that only this scenario has.
pub fn sinks(scenario: Scenario, house: &TestEnv) -> Vec<String> {
    let path = |name: &str| house.path(name).display().to_string();
    let options = match scenario {
        Scenario::OtherSinks => vec![
            format!(
                "name = \"program\"\ntype = \"command\"\nargv = [\"{}\", \"{}\"]\nstdin = \"token\"\n",
                path("take"),
                path("kept")
            ),
            format!(
                "name = \"config\"\ntype = \"ringcx-auth-config\"\naccount-id = \"21170001\"\n\
                 auth-config-id = \"{CONFIG}\"\n"
            ),
            format!(
                "name = \"both\"\ntype = \"template\"\npath = \"{}\"\naccounts = [\"other\"]\n\
                 inline = \"{{{{ token }}}}\\n{{{{ accounts.other.token }}}}\\n\"\n",
                path("both")
            ),
        ],
        Scenario::Consumers => vec![format!(
            "name = \"page\"\ntype = \"template\"\npath = \"{}\"\ninline = \"{{{{ token }}}}\\n\"\n{}",
            path("page"),
            notify(house)
        )],
        Scenario::FirstRotation
        | Scenario::Rotation
        | Scenario::Retirement
        | Scenario::Drift
        | Scenario::LostMint
        | Scenario::SharedEnvFile
        | Scenario::Reload
        | Scenario::RingexLogin => Vec::new(),
    };
    options
        .into_iter()
        .map(|options| format!("[[account.sink]]\n{options}"))
        .collect()
}

/// Has the consumer told of these sinks too, and has it say which token of the file it uses.
pub fn notify_consumers(scenario: Scenario, house: &TestEnv, sinks: &mut [String]) {
    if scenario != Scenario::Consumers {
        return;
    }
    for sink in sinks.iter_mut() {
        sink.push_str(&notify(house));
        if sink.contains("\"token\"") {
            let says = house.path("says");
            sink.push_str(&format!(
                "acknowledge = {{ path = \"{}\", within = \"1h\" }}\n",
                says.display()
            ));
        }
    }
}

fn notify(house: &TestEnv) -> String {
    format!(
        "notify = {{ argv = [\"{}\"], timeout = \"60s\" }}\n",
        house.path("consume").display()
    )
}

/// What must be so whenever a process is dead: what is written down of a consumer is what it did.
pub fn at_any_moment(scenario: Scenario, house: &TestEnv, stories: &[Story]) -> Vec<String> {
    if scenario == Scenario::RingexLogin {
        return unannounced_logins(&house.record(), stories);
    }
    if scenario != Scenario::Consumers {
        return Vec::new();
    }
    let (told, record) = (told(house), house.record());
    let mut wrong = Vec::new();
    for story in stories {
        for event in &story.events {
            let (what, generation) = match event {
                Event::Notified { generation, .. } => ("told of", generation),
                Event::Acknowledged { generation, .. } => ("using", generation),
                _ => continue,
            };
            let token = token_of(story, &record, *generation);
            if !told
                .iter()
                .any(|it| token.as_deref() == it.rsplit(' ').next())
            {
                wrong.push(format!(
                    "the consumer is written down as {what} {generation}, and never was"
                ));
            }
        }
    }
    wrong
}

/// No host is asked for a login that is not written down: a limit that forgot one would be tripped.
fn unannounced_logins(record: &Record, stories: &[Story]) -> Vec<String> {
    let events = stories.iter().flat_map(|story| &story.events);
    let written = |asks: fn(&Event) -> bool| events.clone().filter(|event| asks(event)).count();
    let hosts = [
        (
            Call::RingexToken,
            written(|event| matches!(event, Event::RingexAttempted { .. })),
        ),
        (
            Call::RingexLogin,
            written(|event| matches!(event, Event::LoginAttempted)),
        ),
    ];
    let more = hosts
        .into_iter()
        .map(|(call, written)| (call, record.count(call), written));
    more.filter(|(_, sent, written)| sent > written)
        .map(|(call, sent, written)| format!("{sent} {call} were sent, {written} are written down"))
        .collect()
}

/// What must be so once all is done.
pub fn at_rest(scenario: Scenario, house: &TestEnv, stories: &[Story]) -> Vec<String> {
    match scenario {
        Scenario::OtherSinks => others_at_rest(house, stories),
        Scenario::Consumers => consumers_at_rest(house, stories),
        Scenario::FirstRotation
        | Scenario::Rotation
        | Scenario::Retirement
        | Scenario::Drift
        | Scenario::LostMint
        | Scenario::SharedEnvFile
        | Scenario::Reload
        | Scenario::RingexLogin => Vec::new(),
    }
}

/// Everywhere is the current token, and the flow never called in vain.
fn others_at_rest(house: &TestEnv, stories: &[Story]) -> Vec<String> {
    let record = house.record();
    let current = |story: &Story| {
        let current = story
            .state
            .current()
            .and_then(|it| record.token(it.fingerprint));
        current.map(|it| it.token).unwrap_or_default()
    };
    let [ivr, other] = [current(&stories[0]), current(&stories[1])];
    let flow = record.flow(CONFIG);
    found(&[
        (house.read("kept") != ivr, "the program keeps another token"),
        (
            record.config(CONFIG).is_none_or(|it| it.key != ivr),
            "the auth config holds another token",
        ),
        (
            house.read("both") != format!("{ivr}\n{other}\n"),
            "the rendered file holds other tokens",
        ),
        (
            flow.is_none_or(|it| it.failed > 0),
            "never-zero: a flow called in vain",
        ),
    ])
}

/// It was told of each rotation, and once more after whatever was written last.
fn consumers_at_rest(house: &TestEnv, stories: &[Story]) -> Vec<String> {
    let (told, record, story) = (told(house), house.record(), &stories[0]);
    let promoted = story.events.iter().filter_map(|event| match event {
        Event::Promoted { generation } => token_of(story, &record, *generation),
        _ => None,
    });
    let of: BTreeSet<&str> = told.iter().filter_map(|it| it.rsplit(' ').next()).collect();
    let written = WATCHED.map(|name| {
        let metadata = std::fs::metadata(house.path(name)).unwrap();
        format!("{}.{:09}", metadata.ctime(), metadata.ctime_nsec())
    });
    let last = told.last().map(String::as_str).unwrap_or_default();
    found(&[
        (
            promoted.into_iter().any(|token| !of.contains(&*token)),
            "a rotation was not told of",
        ),
        (
            last != format!("{} {}", written.join(" "), house.read("token")),
            "it was not told of what was written last",
        ),
        (
            house.read("uses") != house.read("token"),
            "the consumer uses another token",
        ),
    ])
}

/// What the consumer saw each time it was told: when its files were written, and the token.
fn told(house: &TestEnv) -> Vec<String> {
    let told = std::fs::read_to_string(house.path("told")).unwrap_or_default();
    told.lines().map(str::to_owned).collect()
}

fn token_of(story: &Story, record: &Record, generation: GenerationNo) -> Option<String> {
    let of = story.state.own().find(|it| it.number == generation)?;
    record.token(of.fingerprint).map(|it| it.token)
}

fn found(faults: &[(bool, &str)]) -> Vec<String> {
    faults
        .iter()
        .filter(|(is_wrong, _)| *is_wrong)
        .map(|(_, what)| (*what).to_owned())
        .collect()
}
