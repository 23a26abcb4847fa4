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
            // Files that the policy names are read by one module.
            ("rotator_policy::files", &[]),
            ("rotator_simulator", &["cli::commands::simulate", "demo"]),
        ],
        floors: &[
            &["fuzz_properties"], // compiled for tests and for fuzzing only
            &["main"],
            &["cli"],
            &["demo"],
            &["daemon"],
            &["reconcile"],
            &["ringcx", "sinks", "store", "mail"],
            &["outbound"],
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
            &["journal", "secret", "span", "spread", "time"],
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
            &["fuzz_properties"], // compiled for tests and for fuzzing only
            &["load"],
            &["check"],
            &["resolve"],
            &["parse"],
            &["sinks"],
            &["access"],
            &["table"],
            &["issues", "value"],
            &["source"],
            &[
                "base_dir",
                "defaults",
                "diagnostic",
                "did_you_mean",
                "files",
            ],
        ],
        sideways: &[],
        forbidden: &[],
        known: &[("load", "check"), ("resolve", "parse"), ("parse", "sinks")],
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
            &["simulator"],
            &["api"],
            &["admin"],
            &["configs"],
            &["answer", "record"],
            &["world"],
            &["mailbox", "receiver"],
            &["records", "ringex", "http"],
            &[
                "settings",
                "fault",
                "rate_limit",
                "listener",
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
    ("rotator_policy::parse", "rotator_policy::resolve"),
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
/// The only files that end the process: on a second signal, after a panic, and where a test wants a
/// crash.
pub const EXITS: &[&str] = &[
    "src/failpoint.rs",
    "src/daemon/signals.rs",
    "src/cli/commands/run.rs",
];

/// Modules that do not use the plan, in whichever library: they perform, the plan decides.
pub const WITHOUT_THE_PLAN: &[&str] = &["sinks", "ringcx", "store", "mail"];
/// The plan's module, in whichever library.
pub const PLAN: &str = "plan";

// Known exceptions. These lists only shrink: a test also fails for an entry that is not needed.

/// Sibling modules that import each other, each with the reason.
pub const CYCLES: &[(&str, &str)] = &[];

/// Functions of more than 60 lines: file and name, and the number of lines that it may have.
pub const LONG_FUNCTIONS: &[(&str, usize)] = &[("src/fuzz_properties/env_file.rs systemd", 88)];

/// Type names that are declared more than once, and the number of declarations.
pub const REPEATED_TYPES: &[&str] = &[
    "Guard 2", // with and without debug assertions
];
