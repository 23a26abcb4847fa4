//! The tables that `tests/architecture.rs` checks: layers, places in the tree, and known exceptions.

/// The layers of one package, and what it may use of the others.
pub struct Layers {
    pub library: &'static str,
    /// Other libraries of the workspace, or modules in them.
    pub uses: &'static [&'static str],
    /// The modules of the crate's root, from top to bottom. An import goes down, or to the side where
    /// `sideways` says so.
    pub floors: &'static [&'static [&'static str]],
    /// Who may import a neighbour on the same floor.
    pub sideways: &'static [(&'static str, &'static str)],
    /// Imports that the floors would allow and that would still be wrong.
    pub forbidden: &'static [(&'static str, &'static str)],
    /// Imports that exist, to prove that imports are found.
    pub known: &'static [(&'static str, &'static str)],
}

/// One entry for each package.
pub const LAYERS: &[Layers] = &[Layers {
    library: "ringcx_rotator",
    uses: &[],
    floors: &[
        &["hostile"], // compiled for tests and for fuzzing only
        &["main"],
        &["cli", "demo", "simulate"],
        &["daemon"],
        &["driver"],
        &["plan", "alert"],
        &["account"],
        &["policy", "sink", "ringcx", "journal"],
        &["event", "secret", "child", "clock", "template", "effect"],
    ],
    sideways: &[
        ("cli", "demo"),     // the command line starts it
        ("cli", "simulate"), // the command line starts it
        ("demo", "cli"),     // exit codes and colours
        ("demo", "simulate"),
        ("alert", "plan"), // what is overdue is what the plan says is due
        ("sink", "policy"),
        ("sink", "ringcx"), // one kind of sink is inside RingCX, and Retry-After is the same to all
        ("ringcx", "policy"),
        // At the bottom: `event` names fingerprints; a secret may be another program's output, and that
        // takes time.
        ("event", "secret"),
        ("secret", "child"),
        ("child", "clock"),
        ("child", "effect"),
        ("template", "event"),
        ("template", "secret"),
    ],
    forbidden: &[
        // The simulator is a server of its own: it must not share the client's mistakes.
        ("simulate", "daemon"),
        ("simulate", "driver"),
        ("simulate", "ringcx"),
        ("simulate", "plan"),
        ("simulate", "account"),
        ("plan", "journal"), // the plan is handed a state, it does not fetch one
    ],
    known: &[
        ("main", "cli"),
        ("driver", "plan"),
        ("driver", "sink"),
        ("driver", "ringcx"),
        ("driver", "journal"),
    ],
}];

/// The pure part: no runtime, network, file, database, environment or clock.
pub const PURE: &[&str] = &["src/plan", "src/account", "src/alert"];
/// The mailer, which is not pure.
pub const NOT_PURE: &[&str] = &["src/alert/email"];

/// The only file that asks the time.
pub const CLOCK: &str = "src/clock.rs";
/// The only file with SQL in it.
pub const STORE: &str = "src/journal/sqlite/store.rs";
/// The only modules that use SQLite.
pub const JOURNAL: &[&str] = &["src/journal"];
/// The only modules that ask which kind a sink is.
pub const SINK_KINDS: &[&str] = &["src/policy", "src/sink"];
/// A file that asks it, to prove that the search finds it.
pub const SINK_KINDS_HOME: &str = "src/policy/kind.rs";
/// The only modules that write to the terminal.
pub const SPEAKERS: &[&str] = &["src/cli", "src/demo"];
/// The only files that end the process: on a second signal, on a closed pipe, after a panic, and where a test
/// wants a crash.
pub const EXITS: &[&str] = &["src/effect.rs", "src/daemon/signals.rs", "src/cli/output.rs", "src/cli/run.rs"];

/// Modules that do not use the plan, in whichever library: they perform, the plan decides.
pub const WITHOUT_THE_PLAN: &[&str] = &["sink", "ringcx", "journal", "alert::email"];
/// The plan's module, in whichever library.
pub const PLAN: &str = "plan";

// Known exceptions. These lists only shrink: a test also fails for an entry that is no longer needed.

/// Sibling modules that import each other, each with the reason.
pub const CYCLES: &[(&str, &str)] = &[
    (
        "ringcx_rotator: cli <-> demo",
        "exit codes, colours and the terminal's width are declared in the command line; the demo needs them",
    ),
    ("ringcx_rotator::demo::checks: delivery <-> tokens", "each uses a helper of the other"),
    (
        "ringcx_rotator::plan: books <-> retire",
        "`adopted` belongs to the account's state, `LARGEST_SKEW_SECONDS` to the plan",
    ),
    (
        "ringcx_rotator::policy: load <-> validate",
        "defaults are declared where the policy is loaded, and `validate` needs one",
    ),
    (
        "ringcx_rotator::policy::validate: account <-> template",
        "both check a file's mode and owner; those checks have no module of their own",
    ),
    (
        "ringcx_rotator::simulate: answer <-> configs <-> record <-> world",
        "the types of records are declared in the modules that fill them",
    ),
];

/// Functions of more than 60 lines: file, name, number of lines.
pub const LONG_FUNCTIONS: &[&str] = &[
    "src/account/fold.rs apply 212",
    "src/alert/text/advice.rs steps 109",
    "src/alert/text/advice.rs what 77",
    "src/cli/init.rs answer 118",
    "src/cli/init/answers.rs policy 64",
    "src/cli/systemd_dropin.rs lines 118",
    "src/demo/stage.rs set 70",
    "src/demo/stage/policy.rs text 80",
    "src/demo/words.rs sentence 90",
    "src/driver/log.rs event 134",
    "src/driver/step.rs deliver 63",
    "src/driver/step.rs prove 70",
    "src/hostile/env_file.rs systemd 84",
    "src/plan/deliver.rs fill_sinks 70",
    "src/simulate/api.rs perform 88",
];

/// Type names that are declared more than once, and the number of declarations.
#[rustfmt::skip]
pub const REPEATED_TYPES: &[&str] = &[
    "Account 2", "Answer 2", "Asked 4", "Asker 2", "Assignment 2", "AuthConfig 2", "Begun 2",
    "Body 2", "Claim 2", "Command 3", "Delivery 2", "Done 2", "Due 2", "End 2", "Ended 2",
    "Entry 2", "Facts 2", "Failure 2", "Fault 3", "Found 4", "Held 2", "Inner 3", "Kept 2",
    "Kind 2", "Line 3", "Login 2", "Look 2", "LostMint 2", "Mail 3", "Next 2", "Place 4",
    "Receipt 2", "Refusal 4", "Request 2", "Ringex 2", "Secrets 2", "Seen 2", "Session 3",
    "Shared 2", "Shown 2", "Side 2", "Stage 2", "Standing 2", "State 5", "Subject 2", "Template 2",
    "Told 2", "Trial 2", "Trouble 2", "Verified 2", "Watch 2", "Way 3", "Wish 2", "Writer 3",
];
