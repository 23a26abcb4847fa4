//! Made-up sources, to prove that the rules see what they have to see.

use super::check_list;
use super::layers::{Layers, is_allowed};
use super::names::{Arrow, arrows, cycles};
use super::sources::{Module, Part, Source, has_word};
use super::tables::{LAYERS, REFUSED};

/// Sources of a library named `sample`, by their path below `src/`.
fn samples(files: &[(&str, &str)]) -> Vec<Source> {
    let files = files.iter();
    let sources = files.map(|(path, text)| Source::new("sample", "src", path, (*text).to_owned()));
    sources.collect()
}

fn module(path: &str) -> Module {
    path.split("::").map(str::to_owned).collect()
}

/// With imports of all kinds, and what looks like one.
const IMPORTS: &str = r##"
    //! crate::daemon is only spoken of
    use crate::{plan::{self, Step}, event};
    use std::{fs::{self, File}, io};
    use super::super::driver::Access as Way;
    /* crate::cli /* nested */ crate::cli */
    const TEXT: &str = "crate::alert \" crate::alert";
    const RAW: &str = r#"crate::demo " crate::demo"#;
    fn quote<'a>(c: char) -> bool { c == '"' && crate::sink::is('\'') }
    #[cfg(test)]
    use crate::{simulate, cli};
    #[cfg(test)]
    mod tests { use crate::simulate::{Fault}; fn f() { {} } }
    #[cfg(test)]
    mod beside;
    #[derive(Parser)]
    struct After { #[arg(value_parser = crate::policy::parse)] it: Way }
    fn after() { my_crate::journal(); println!("{}", Some(crate::clock::now())); }
"##;

#[test]
fn what_is_to_be_seen_is_seen() {
    let roots = "alert cli clock daemon demo driver event journal plan policy simulate sink secret";
    let paths: Vec<String> = roots.split(' ').map(|root| format!("{root}.rs")).collect();
    let mut files = vec![("secret/find.rs", IMPORTS)];
    files.extend(paths.iter().map(|path| (path.as_str(), "")));
    let sources = samples(&files);
    let mut found: Vec<Module> = arrows(sources.iter())
        .into_iter()
        .map(|arrow| arrow.to)
        .collect();
    found.sort();
    found.dedup();
    let expected = ["clock", "driver", "event", "plan", "policy", "sink"];
    assert_eq!(
        found,
        expected.map(|root| module(&format!("sample::{root}")))
    );

    let source = &sources[0];
    assert_eq!(source.syntax.test_modules, ["beside"]);
    // Code stays on its line; comments and strings are not code.
    let is = source.lines_with(Part::Code, &["sink::is"]);
    assert!(
        is.len() == 1 && is[0].starts_with("src/secret/find.rs:9: fn quote"),
        "{is:?}"
    );
    let group = source.lines_with(Part::Code, &["std::fs"]);
    assert_eq!(group, ["src/secret/find.rs:4: std::fs::File"]);
    let unseen = [
        "crate::alert",
        "crate::demo",
        "crate::cli",
        "crate::daemon",
        "simulate",
    ];
    assert!(source.lines_with(Part::Code, &unseen).is_empty());
    assert_eq!(
        source.lines_with(Part::CodeWithTests, &["simulate"]).len(),
        2
    );
    assert!(has_word("let at = Utc::now();", "Utc::now") && !has_word("MyUtc::now()", "Utc::now"));
}

#[test]
fn the_layers_refuse_what_they_must() {
    for (from, to) in REFUSED {
        let arrow = Arrow {
            from: module(from),
            to: module(to),
            place: String::new(),
        };
        assert!(!is_allowed(&arrow), "{from} may import {to}");
    }
    let layers = Layers {
        uses: &[("core::secret", &[]), ("policy", &["cli"])],
        ..LAYERS[0]
    };
    for (from, to, may) in [
        ("cli", "core::secret", true),
        ("sinks::file", "core::secret::find", true),
        ("cli", "core::secrets", false),
        ("cli", "core", false),
        ("cli::check", "policy::value", true),
        ("client", "policy", false),
    ] {
        let from = module(&format!("{}::{from}", layers.library));
        assert_eq!(layers.may_use(&from, &module(to)), may, "{from:?} {to}");
    }
}

#[test]
fn types_and_functions_are_counted() {
    let sources = samples(&[(
        "a.rs",
        "/// One.
        pub struct One;
        enum Two { Three }
        trait Four { type Five; fn none(); fn six() {
        } }
        type Seven = One;
        impl Four for One { type Five = u8; fn none() {} }
        fn eight() {
            struct Nine;

        }
        #[cfg(test)]
        fn ten() {}",
    )]);
    let syntax = &sources[0].syntax;
    let types: Vec<&str> = syntax
        .types
        .iter()
        .map(|found| found.name.as_str())
        .collect();
    assert_eq!(types, ["One", "Two", "Four", "Seven", "Nine"]);
    let functions = syntax.functions.iter();
    let functions: Vec<_> = functions
        .map(|found| (found.name.as_str(), found.lines))
        .collect();
    assert_eq!(functions, [("six", 2), ("none", 1), ("eight", 4)]);
}

#[test]
fn a_cycle_is_found_through_re_exports_and_macros() {
    let check = |sources: &[Source], expected: &[&str]| {
        let found: Vec<String> = cycles(&arrows(sources.iter())).into_keys().collect();
        let texts: Vec<&str> = sources.iter().map(|source| &*source.text).collect();
        assert_eq!(found, expected, "{texts:?}");
    };
    let is_cycle = |one: &str, other: &str, expected: bool| {
        let below = [
            ("top/a.rs", one),
            ("top/b.rs", other),
            ("top/b/deep.rs", "pub struct Deep;"),
        ];
        let above = [
            ("top.rs", "pub use a::A; struct Top;"),
            ("c.rs", "pub struct C;"),
        ];
        let expected = if expected {
            &["sample::top: a <-> b"][..]
        } else {
            &[]
        };
        check(&samples(&[&below[..], &above].concat()), expected);
    };
    is_cycle("use super::b::B;", "use super::a::A;", true);
    is_cycle(
        "fn f() { super::b::f() }",
        "fn f() { vec![crate::top::a::A] }",
        true,
    );
    is_cycle(
        "use super::b::deep::Deep;",
        "use crate::top::A; // a re-export",
        true,
    );
    is_cycle(
        "use crate::top::{b as c}; fn f(_: c::X) {}",
        "use super::*; use super::a;",
        true,
    );
    // The path of a type looks like one of a module.
    is_cycle(
        "use super::Top; fn f() { Top::b() }",
        "use super::a;",
        false,
    );
    is_cycle(
        "use super::b; use super::Top;",
        "use super::Top; use crate::c::C;",
        false,
    );
    is_cycle(
        "use crate::c::C;",
        "mod inner { use super::super::a; } use self::deep::D;",
        false,
    );
    let three = samples(&[
        ("a.rs", "use crate::b::x::B;"),
        ("b.rs", ""),
        ("b/x.rs", "use crate::c;"),
        ("c.rs", "use crate::a;"),
        ("d.rs", "use crate::a;"),
    ]);
    check(&three, &["sample: a <-> b <-> c"]);
    let crates = [
        Source::new("one", "src", "lib.rs", "use two::thing::T;".to_owned()),
        Source::new("two", "src", "thing.rs", "fn f() { one::f() }".to_owned()),
    ];
    check(&crates, &["crates: one <-> two"]);
}

#[test]
#[should_panic(expected = "not allowed: \"b\"\n  no longer needed, remove it: \"c\"")]
fn a_list_of_exceptions_can_only_shrink() {
    let found = ["a", "b"].map(str::to_owned);
    check_list("as listed", &["a", "c"], &found.into());
}
