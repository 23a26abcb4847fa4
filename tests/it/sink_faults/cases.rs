//! The cases: how each sink is set up, what goes wrong with it, and what ends that.

use std::fmt;
use std::os::unix::fs::PermissionsExt;

use rotator_core::secret::Fingerprint;
use rotator_simulator::{ConfigAccess, KeyForm};
use serde_json::Value;

use crate::env::TestEnv;

const CONFIG: &str = "ivr-config";
/// Keeps the token and proves it.
const TAKE: &str = "umask 077; cat > kept.$$ && mv kept.$$ kept && sha256sum kept | cut -c1-64";
/// Uses the token from then on.
const USE: &str = "umask 077; cat odd > kept.$$ && mv kept.$$ kept";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Command,
    AuthConfig,
    Template,
    Notify,
    Acknowledge,
}

/// What goes wrong in the second rotation.
#[derive(Clone, Copy)]
pub struct Case {
    pub kind: Kind,
    name: &'static str,
    pub put: fn(&TestEnv),
    pub mend: fn(&TestEnv),
    /// What tells of it.
    pub incident: &'static str,
    /// What is said of it, there or in the plan.
    pub says: &'static str,
    /// Whether a token is minted all the same: not where it is seen before.
    pub mints: bool,
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            Kind::Command => "command",
            Kind::AuthConfig => "ringcx-auth-config",
            Kind::Template => "template",
            Kind::Notify => "notify",
            Kind::Acknowledge => "acknowledge",
        };
        write!(f, "{kind:<18} {}", self.name)
    }
}

impl Kind {
    /// Puts up what the sink needs, and gives its table.
    pub fn set_up(self, house: &TestEnv) -> String {
        let path = |name: &str| house.path(name).display().to_string();
        let options = match self {
            Self::Command => {
                program(house, TAKE);
                format!(
                    "type = \"command\"\nargv = [\"{}\"]\nstdin = \"token\"\nreceipt = \"fingerprint\"\n\
                     timeout = \"3s\"\n",
                    path("program")
                )
            }
            Self::AuthConfig => {
                add_config(house);
                format!(
                    "type = \"ringcx-auth-config\"\naccount-id = \"21170002\"\nauth-config-id = \"{CONFIG}\"\n"
                )
            }
            Self::Template => {
                std::fs::create_dir(house.path("pages")).unwrap();
                format!(
                    "type = \"template\"\npath = \"{}\"\ninline = \"{{{{ token }}}}\"\n",
                    path("pages/odd")
                )
            }
            Self::Notify => {
                program(house, USE);
                format!(
                    "type = \"file\"\npath = \"{}\"\nnotify = {{ argv = [\"{}\"], timeout = \"3s\" }}\n",
                    path("odd"),
                    path("program")
                )
            }
            Self::Acknowledge => format!(
                "type = \"file\"\npath = \"{}\"\nacknowledge = {{ path = \"{}\", within = \"500ms\" }}\n",
                path("odd"),
                path("says")
            ),
        };
        format!("[[account.sink]]\nname = \"odd\"\n{options}")
    }

    /// What its reader uses.
    pub fn held(self, house: &TestEnv) -> Option<String> {
        let read = |name: &str| std::fs::read_to_string(house.path(name)).ok();
        match self {
            Self::Command | Self::Notify => read("kept"),
            Self::AuthConfig => house.record().config(CONFIG).map(|it| it.key),
            Self::Template => read("pages/odd"),
            Self::Acknowledge => read("odd"),
        }
    }

    /// What its consumer says has not reached the journal.
    pub fn is_unheard(self, status: &Value) -> bool {
        self == Self::Acknowledge
            && status["sinks"][1]["acknowledged"] != status["current"]["generation"]
    }

    /// Does what a consumer does that is well.
    pub fn settle(self, house: &TestEnv) {
        if let (Self::Acknowledge, Some(token)) = (self, self.held(house)) {
            house.write("says", Fingerprint::of(token.as_bytes()).to_string());
        }
    }
}

fn program(house: &TestEnv, script: &str) {
    house.write(
        "program.new",
        format!(
            "#!/bin/sh\ncd {} || exit 9\n{script}\n",
            house.dir.path().display()
        ),
    );
    replace(house);
}

/// One that is at work is not written over.
fn replace(house: &TestEnv) {
    std::fs::set_permissions(
        house.path("program.new"),
        std::fs::Permissions::from_mode(0o700),
    )
    .unwrap();
    std::fs::rename(house.path("program.new"), house.path("program")).unwrap();
}

fn add_config(house: &TestEnv) {
    house
        .ringcx
        .add_auth_config(format!("21170002/{CONFIG}").parse().unwrap());
}

fn access(house: &TestEnv, access: ConfigAccess) {
    house
        .ringcx
        .adjust(|settings| settings.config_access = access);
}

fn says(house: &TestEnv, bytes: &[u8]) {
    house.write("says", bytes);
}

fn nobody_says(house: &TestEnv) {
    std::fs::remove_file(house.path("says")).unwrap();
}

const fn command(name: &'static str, put: fn(&TestEnv), says: &'static str) -> Case {
    let mend = |house: &TestEnv| program(house, TAKE);
    Case {
        kind: Kind::Command,
        name,
        put,
        mend,
        incident: "sink-failed",
        says,
        mints: true,
    }
}

const fn notify(name: &'static str, put: fn(&TestEnv), says: &'static str) -> Case {
    let mend = |house: &TestEnv| program(house, USE);
    Case {
        kind: Kind::Notify,
        name,
        put,
        mend,
        incident: "notify-failed",
        says,
        mints: true,
    }
}

const fn acknowledge(
    name: &'static str,
    put: fn(&TestEnv),
    mend: fn(&TestEnv),
    says: &'static str,
) -> Case {
    Case {
        kind: Kind::Acknowledge,
        name,
        put,
        mend,
        incident: "acknowledgement-late",
        says,
        mints: true,
    }
}

const fn config(
    name: &'static str,
    put: fn(&TestEnv),
    mend: fn(&TestEnv),
    says: &'static str,
) -> Case {
    Case {
        kind: Kind::AuthConfig,
        name,
        put,
        mend,
        incident: "sink-failed",
        says,
        mints: true,
    }
}

const fn template(
    name: &'static str,
    put: fn(&TestEnv),
    mend: fn(&TestEnv),
    says: &'static str,
) -> Case {
    Case {
        kind: Kind::Template,
        name,
        put,
        mend,
        incident: "sink-failed",
        says,
        mints: false,
    }
}

/// Seen before anything is minted; in one that can be looked at, as its own failure.
const fn before(case: Case) -> Case {
    let incident = match case.kind {
        Kind::Command => "preflight-failed",
        Kind::AuthConfig | Kind::Template | Kind::Notify | Kind::Acknowledge => case.incident,
    };
    Case {
        incident,
        mints: false,
        ..case
    }
}

/// What it was given, in every form in which a program might print it.
const BLURTS: &str = "exec >&2; echo \"it is $t\"; printf '%s' \"$t\" | base64 -w0; echo; \
                      printf '%s' \"$t\" | od -An -v -tx1 | tr -d ' \\n'; exit 5";

pub const CASES: [Case; 38] = [
    command(
        "ends with 1",
        |it| program(it, "cat > /dev/null; echo 'no room' >&2; exit 1"),
        "exit code 1: no room",
    ),
    command("ends with 78", |it| program(it, "exit 78"), "exit code 78"),
    command(
        "dies by a signal",
        |it| program(it, "cat > kept.$$; kill -9 $$"),
        "signal 9",
    ),
    command(
        "hangs",
        |it| program(it, "trap '' TERM; cat > /dev/null; sleep 600"),
        "took longer than 3s",
    ),
    command(
        "prints without end",
        |it| {
            program(
                it,
                "cat > /dev/null; head -c 9000000 /dev/zero | tr '\\0' x; exit 4",
            )
        },
        "exit code 4",
    ),
    command(
        "prints without end in time",
        |it| program(it, "exec yes"),
        "took longer than 3s",
    ),
    command(
        "prints its token",
        |it| program(it, &format!("t=$(cat); {BLURTS}")),
        "exit code 5: it is [redacted]",
    ),
    command(
        "leaves a child that holds its output",
        |it| program(it, "sleep 600 & cat > /dev/null; exit 6"),
        "exit code 6",
    ),
    command(
        "takes it and proves nothing",
        |it| program(it, "cat > kept; chmod 600 kept"),
        "did not print the token's fingerprint",
    ),
    command(
        "proves another",
        |it| program(it, "cat > /dev/null; printf '%064d' 7"),
        "it printed another fingerprint",
    ),
    command(
        "has no interpreter",
        |it| {
            it.write("program.new", "#!/nonexistent/interpreter\n");
            replace(it)
        },
        "cannot run",
    ),
    before(command("may not be run", not_to_be_run, "program")),
    before(command(
        "is missing",
        |it| std::fs::remove_file(it.path("program")).unwrap(),
        "program",
    )),
    before(config(
        "of another type",
        |it| {
            it.ringcx
                .add_auth_config(format!("21170002/{CONFIG}=BASIC").parse().unwrap())
        },
        add_config,
        "BASIC",
    )),
    before(config(
        "vanished",
        |it| it.ringcx.remove_auth_config(CONFIG),
        add_config,
        "404",
    )),
    before(config(
        "may not be read",
        |it| access(it, ConfigAccess::None),
        |it| access(it, ConfigAccess::Full),
        "READ and UPDATE on External Auth Config",
    )),
    config(
        "may not be changed",
        |it| access(it, ConfigAccess::Read),
        |it| access(it, ConfigAccess::Full),
        "UPDATE on External Auth Config",
    ),
    config(
        "keeps another key, shown whole",
        |it| access(it, ConfigAccess::Lie),
        |it| access(it, ConfigAccess::Full),
        "another key than the one just set",
    ),
    config(
        "keeps another key, masked",
        |it| {
            shown(it, KeyForm::Masked);
            access(it, ConfigAccess::Lie)
        },
        |it| access(it, ConfigAccess::Full),
        "another key than the one just set",
    ),
    config(
        "keeps another key, not shown",
        |it| {
            shown(it, KeyForm::Absent);
            access(it, ConfigAccess::Lie)
        },
        |it| access(it, ConfigAccess::Full),
        "neither its key nor a new updatedTime",
    ),
    template(
        "target is a directory",
        |it| {
            remove(it, "pages/odd");
            std::fs::create_dir(it.path("pages/odd")).unwrap()
        },
        |it| std::fs::remove_dir(it.path("pages/odd")).unwrap(),
        "directory",
    ),
    template(
        "target is a symlink",
        |it| {
            remove(it, "pages/odd");
            std::os::unix::fs::symlink(it.path("token"), it.path("pages/odd")).unwrap()
        },
        |it| remove(it, "pages/odd"),
        "symbolic link",
    ),
    template(
        "its directory is gone",
        |it| std::fs::rename(it.path("pages"), it.path("away")).unwrap(),
        |it| std::fs::rename(it.path("away"), it.path("pages")).unwrap(),
        "No such file or directory",
    ),
    notify(
        "ends with 3",
        |it| program(it, "echo 'no such unit' >&2; exit 3"),
        "exit code 3: no such unit",
    ),
    notify(
        "dies by a signal",
        |it| program(it, "kill -9 $$"),
        "signal 9",
    ),
    notify(
        "hangs",
        |it| program(it, "trap '' TERM; sleep 600"),
        "took longer than 3s",
    ),
    notify(
        "prints the token",
        |it| program(it, &format!("t=$(cat odd); {BLURTS}")),
        "exit code 5: it is [redacted]",
    ),
    notify("is missing", |it| remove(it, "program"), "cannot run"),
    acknowledge(
        "says nothing new",
        |_| (),
        |_| (),
        "it says that it uses generation 1",
    ),
    acknowledge(
        "says nothing any more",
        nobody_says,
        |_| (),
        "it says that it uses generation 1",
    ),
    acknowledge(
        "says nonsense",
        |it| says(it, b"seven\n"),
        |_| (),
        "neither a fingerprint nor a generation",
    ),
    acknowledge(
        "says bytes that are no text",
        |it| says(it, b"\xff\xfe\0"),
        |_| (),
        "neither a fingerprint nor a generation",
    ),
    acknowledge(
        "says too much",
        |it| says(it, &vec![b'1'; 5_000_000]),
        |_| (),
        "more than 1024 bytes",
    ),
    acknowledge(
        "says a generation there is not",
        |it| says(it, b"99\n"),
        |_| (),
        "is none of this account's",
    ),
    acknowledge(
        "speaks through a directory",
        |it| {
            nobody_says(it);
            std::fs::create_dir(it.path("says")).unwrap()
        },
        |it| std::fs::remove_dir(it.path("says")).unwrap(),
        "cannot be heard",
    ),
    acknowledge(
        "speaks through a symlink",
        |it| {
            nobody_says(it);
            std::os::unix::fs::symlink("/dev/zero", it.path("says")).unwrap()
        },
        nobody_says,
        "cannot be heard",
    ),
    acknowledge(
        "speaks through a pipe",
        |it| {
            nobody_says(it);
            pipe(it)
        },
        nobody_says,
        "cannot be heard",
    ),
    acknowledge(
        "speaks of a token of another",
        |it| says(it, Fingerprint::of(b"another").to_string().as_bytes()),
        |_| (),
        "is none of this account's",
    ),
];

fn pipe(house: &TestEnv) {
    let mode = rustix::fs::Mode::from(0o600);
    rustix::fs::mkfifoat(rustix::fs::CWD, house.path("says"), mode).unwrap();
}

fn shown(house: &TestEnv, form: KeyForm) {
    house.ringcx.adjust(|settings| settings.key_form = form);
}

fn not_to_be_run(house: &TestEnv) {
    std::fs::set_permissions(
        house.path("program"),
        std::fs::Permissions::from_mode(0o600),
    )
    .unwrap();
}

fn remove(house: &TestEnv, name: &str) {
    std::fs::remove_file(house.path(name)).unwrap();
}
