//! The tables of `tests/architecture.rs`: layers, places in the tree, and known exceptions.

use super::layers::Layers;

/// One entry for each package.
pub const LAYERS: &[Layers] = &[Layers {
    library: "ringcx_rotator",
    uses: &[],
    floors: &[
        &["fuzz_properties"], // compiled for tests and for fuzzing only
        &["main"],
        &["cli", "demo", "simulate"],
        &["daemon"],
        &["reconcile"],
        &["plan", "alert"],
        &["account"],
        &["policy", "sink", "ringcx", "journal"],
        &[
            "event",
            "secret",
            "process",
            "clock",
            "template",
            "failpoint",
        ],
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
        ("event", "secret"),   // fingerprints
        ("secret", "process"), // a secret may be the output of another program
        ("process", "clock"),  // which has a time limit
        ("process", "failpoint"),
        ("template", "event"),
        ("template", "secret"),
    ],
    forbidden: &[
        // The simulator is a server of its own: it must not share the client's mistakes.
        ("simulate", "daemon"),
        ("simulate", "reconcile"),
        ("simulate", "ringcx"),
        ("simulate", "plan"),
        ("simulate", "account"),
        ("plan", "journal"), // the plan is handed a state, it does not fetch one
    ],
    known: &[
        ("main", "cli"),
        ("reconcile", "plan"),
        ("reconcile", "sink"),
        ("reconcile", "ringcx"),
        ("reconcile", "journal"),
        ("alert", "plan"),
    ],
}];

/// Imports that the layers must refuse, to prove the table above.
pub const REFUSED: &[(&str, &str)] = &[
    ("ringcx_rotator::plan", "ringcx_rotator::reconcile"),
    ("ringcx_rotator::plan", "ringcx_rotator::alert"),
    ("ringcx_rotator::sink", "ringcx_rotator::plan"),
    ("ringcx_rotator::event", "ringcx_rotator::account"),
    ("ringcx_rotator::ringcx", "ringcx_rotator::sink"),
    ("ringcx_rotator::journal", "ringcx_rotator::policy"),
    ("ringcx_rotator::simulate", "ringcx_rotator::ringcx"),
];

/// The pure part: no runtime, network, file, database, environment or clock.
pub const PURE: &[&str] = &["src/plan", "src/account", "src/alert"];
/// The mailer, which is not pure.
pub const NOT_PURE: &[&str] = &["src/alert/email"];

/// The only files that ask the time.
pub const CLOCKS: &[&str] = &["src/clock.rs"];
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
/// The only files that end the process: on a second signal, on a closed pipe, after a panic, and
/// where a test wants a crash.
pub const EXITS: &[&str] = &[
    "src/failpoint.rs",
    "src/daemon/signals.rs",
    "src/cli/output.rs",
    "src/cli/run.rs",
];

/// Modules that do not use the plan, in whichever library: they perform, the plan decides.
pub const WITHOUT_THE_PLAN: &[&str] = &["sink", "ringcx", "journal", "alert::email"];
/// The plan's module, in whichever library.
pub const PLAN: &str = "plan";

// Known exceptions. These lists only shrink: a test also fails for an entry that is not needed.

/// Sibling modules that import each other, each with the reason.
pub const CYCLES: &[(&str, &str)] = &[
    (
        "ringcx_rotator: cli <-> demo",
        "the demo needs exit codes, colours and the terminal's width, declared in the command line",
    ),
    (
        "ringcx_rotator::demo::checks: delivery <-> tokens",
        "each uses a helper of the other",
    ),
    (
        "ringcx_rotator::plan: observations <-> retire",
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

/// Functions of more than 60 lines: file and name, and the number of lines that it may have.
pub const LONG_FUNCTIONS: &[(&str, usize)] = &[
    ("src/account/fold.rs apply", 296),
    ("src/alert/conditions.rs late", 61),
    ("src/alert/state.rs fold", 92),
    ("src/alert/text.rs digest_body", 67),
    ("src/alert/text/runbook.rs steps", 110),
    ("src/alert/text/runbook.rs what", 77),
    ("src/cli.rs main", 133),
    ("src/cli/adopt.rs run", 75),
    ("src/cli/init.rs answer", 161),
    ("src/cli/init/answers.rs policy", 74),
    ("src/cli/status.rs detail", 94),
    ("src/cli/systemd_dropin.rs lines", 136),
    ("src/daemon/alerts.rs run", 66),
    ("src/daemon/alerts/log.rs event", 62),
    ("src/demo/checks/delivery.rs outage", 79),
    ("src/demo/narration.rs sentence", 156),
    ("src/demo/stage.rs set", 124),
    ("src/demo/stage/policy.rs text", 80),
    ("src/fuzz_properties/env_file.rs systemd", 88),
    ("src/journal/sqlite/store.rs walk", 63),
    ("src/plan/deliver.rs fill_sinks", 100),
    ("src/plan/mint.rs resolve_open_mint", 61),
    ("src/plan/mint.rs rotate", 86),
    ("src/plan/observations.rs note_unknown", 64),
    ("src/plan/retire.rs check_sinks", 66),
    ("src/policy/validate/template.rs template", 76),
    ("src/policy/validate/unique.rs read_paths", 67),
    ("src/process.rs run_to_completion", 76),
    ("src/reconcile/act.rs delete", 66),
    ("src/reconcile/act.rs deliver", 90),
    ("src/reconcile/act.rs mint", 62),
    ("src/reconcile/act.rs prove", 77),
    ("src/reconcile/adopt.rs adopt", 65),
    ("src/reconcile/log.rs event", 211),
    ("src/reconcile/notify.rs notify", 68),
    ("src/simulate/api.rs perform", 131),
    ("src/simulate/api.rs reply", 69),
    ("src/simulate/options.rs run_until", 71),
];

/// Type names that are declared more than once, and the number of declarations.
pub const REPEATED_TYPES: &[&str] = &[
    "Guard 2", // with and without debug assertions
];
