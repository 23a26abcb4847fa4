//! The tables of `tests/architecture.rs`: layers, places in the tree, and known exceptions.

use super::layers::Layers;

/// One entry for each package.
pub const LAYERS: &[Layers] = &[
    Layers {
        library: "ringcx_rotator",
        uses: &[
            ("rotator_core", &[]),
            (
                "rotator_policy",
                &["console", "daemon", "cli", "demo", "fuzz_properties"],
            ),
            ("rotator_simulator", &["cli::simulate", "demo"]),
        ],
        floors: &[
            &["fuzz_properties"], // compiled for tests and for fuzzing only
            &["main"],
            &["cli"],
            &["demo"],
            &["daemon"],
            &["reconcile"],
            &["ringcx", "sinks", "store", "mail"],
            &["secret_source", "console"],
            &["process"],
            &["clock", "failpoint"],
        ],
        // One kind of sink is inside RingCX, and Retry-After means the same to all.
        sideways: &[("sinks", "ringcx")],
        forbidden: &[],
        known: &[
            ("main", "cli"),
            ("reconcile", "sinks"),
            ("reconcile", "ringcx"),
            ("daemon", "reconcile"),
        ],
    },
    Layers {
        library: "rotator_core",
        uses: &[],
        floors: &[
            &["fuzz_properties", "testing"], // for tests and for fuzzing only
            &["incidents"],
            &["plan"],
            &["account"],
            &["schedule"],
            &["config"],
            &["template"],
            &["event"],
            &["journal", "secret", "span", "time"],
        ],
        sideways: &[],
        forbidden: &[
            ("plan", "journal"), // the plan is handed a state, it does not fetch one
        ],
        known: &[("plan", "account"), ("incidents", "plan")],
    },
    Layers {
        library: "rotator_policy",
        uses: &[
            ("rotator_core::config", &[]),
            ("rotator_core::secret", &[]),
            ("rotator_core::span", &[]),
            ("rotator_core::template", &[]),
            ("rotator_core::time", &[]),
            ("rotator_core::fuzz_properties", &["fuzz_properties"]),
        ],
        floors: &[
            &["fuzz_properties"],
            &["load"],
            &["validate"],
            &["spec"],
            &["table"],
            &["issues", "value"],
            &["source"],
            &["diagnostic", "did_you_mean"],
        ],
        sideways: &[],
        forbidden: &[],
        known: &[("load", "validate")],
    },
    Layers {
        library: "rotator_simulator",
        // A server of its own: it must not share the client's mistakes.
        uses: &[
            ("rotator_core::secret", &[]),
            ("rotator_core::span", &[]),
            ("rotator_core::time", &[]),
        ],
        floors: &[
            &["admin", "api"],
            &["configs"],
            &["answer"],
            &["ringex", "record"],
            &["world"],
            &["mailbox", "receiver"],
            &[
                "settings",
                "fault",
                "rate_limit",
                "listener",
                "http",
                "authority",
                "random",
            ],
            &["clock"],
        ],
        sideways: &[],
        forbidden: &[],
        known: &[("api", "world")],
    },
];

/// Imports that the layers must refuse, to prove the table above.
pub const REFUSED: &[(&str, &str)] = &[
    ("rotator_core::plan", "ringcx_rotator::reconcile"),
    ("rotator_core::plan", "rotator_core::incidents"),
    ("ringcx_rotator::sinks", "ringcx_rotator::reconcile"),
    ("rotator_core::event", "rotator_core::account"),
    ("ringcx_rotator::ringcx", "ringcx_rotator::sinks"),
    ("ringcx_rotator::store", "rotator_policy"),
    ("rotator_simulator::api", "ringcx_rotator::ringcx"),
    ("rotator_simulator::api", "rotator_core::plan"),
];

/// The pure part: no runtime, network, file, database, environment or clock.
pub const PURE: &[&str] = &["crates/core/src"];
/// The sources of the pure part that may touch something, and why: none.
pub const NOT_PURE: &[&str] = &[];

/// The only files that ask the time.
pub const CLOCKS: &[&str] = &["src/clock.rs", "crates/simulator/src/clock.rs"];
/// The only file with SQL in it.
pub const STORE: &str = "src/store/sqlite/store.rs";
/// The only modules that use SQLite.
pub const JOURNAL: &[&str] = &["src/store"];
/// The only modules that ask which kind a sink is.
pub const SINK_KINDS: &[&str] = &[
    "crates/core/src/config",
    "crates/core/src/testing",
    "crates/policy/src",
    "src/sinks",
];
/// A file that asks it, to prove that the search finds it.
pub const SINK_KINDS_HOME: &str = "crates/core/src/config/sinks.rs";
/// The only modules that write to the terminal.
pub const SPEAKERS: &[&str] = &["src/cli", "src/console", "src/demo"];
/// The only files that end the process: on a second signal, on a closed pipe, after a panic, and
/// where a test wants a crash.
pub const EXITS: &[&str] = &[
    "src/failpoint.rs",
    "src/daemon/signals.rs",
    "src/console.rs",
    "src/cli/run.rs",
];

/// Modules that do not use the plan, in whichever library: they perform, the plan decides.
pub const WITHOUT_THE_PLAN: &[&str] = &["sinks", "ringcx", "store", "mail"];
/// The plan's module, in whichever library.
pub const PLAN: &str = "plan";

// Known exceptions. These lists only shrink: a test also fails for an entry that is not needed.

/// Sibling modules that import each other, each with the reason.
pub const CYCLES: &[(&str, &str)] = &[
    (
        "ringcx_rotator::demo::checks: delivery <-> tokens",
        "each uses a helper of the other",
    ),
    (
        "rotator_core::plan: observations <-> retire",
        "`adopted` belongs to the account's state, `LARGEST_SKEW_SECONDS` to the plan",
    ),
    (
        "rotator_policy: load <-> validate",
        "defaults are declared where the policy is loaded, and `validate` needs one",
    ),
    (
        "rotator_policy::validate: account <-> template",
        "both check a file's mode and owner; those checks have no module of their own",
    ),
    (
        "rotator_simulator: answer <-> configs <-> record <-> world",
        "the types of records are declared in the modules that fill them",
    ),
];

/// Functions of more than 60 lines: file and name, and the number of lines that it may have.
pub const LONG_FUNCTIONS: &[(&str, usize)] = &[
    ("crates/core/src/account/fold.rs apply", 296),
    ("crates/core/src/incidents/conditions.rs late", 61),
    ("crates/core/src/incidents/state.rs fold", 92),
    ("crates/core/src/incidents/text.rs digest_body", 67),
    ("crates/core/src/incidents/text/runbook.rs steps", 110),
    ("crates/core/src/incidents/text/runbook.rs what", 77),
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
    ("crates/core/src/plan/deliver.rs fill_sinks", 100),
    ("crates/core/src/plan/mint.rs resolve_open_mint", 61),
    ("crates/core/src/plan/mint.rs rotate", 86),
    ("crates/core/src/plan/observations.rs note_unknown", 64),
    ("crates/core/src/plan/retire.rs check_sinks", 66),
    ("crates/policy/src/validate/template.rs template", 76),
    ("crates/policy/src/validate/unique.rs read_paths", 67),
    ("src/reconcile/log.rs event", 211),
    ("crates/simulator/src/api.rs perform", 131),
    ("crates/simulator/src/api.rs reply", 69),
    ("src/cli/simulate.rs run_until", 71),
    ("crates/core/src/testing/events.rs other_event", 72),
    ("crates/core/src/testing/events.rs token_event", 74),
];

/// Type names that are declared more than once, and the number of declarations.
pub const REPEATED_TYPES: &[&str] = &[
    "Guard 2", // with and without debug assertions
];
