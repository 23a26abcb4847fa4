//! Reads the marks of a source.

use std::fmt;

/// A test with marks.
pub struct MarkedTest {
    /// From the root, with slashes.
    pub path: String,
    pub name: String,
    /// Invariants that it proves without a fault that was put in.
    pub proves: Vec<String>,
    pub faults: Vec<Fault>,
}

/// What was once broken on purpose, so that the test failed.
pub struct Fault {
    /// The invariants that it broke.
    pub names: Vec<String>,
    pub place: Place,
    pub text: String,
}

/// A module without its crate, for example `plan/retire`, and an item in it or below it.
pub struct Place {
    module: String,
    item: Option<String>,
}

impl Place {
    /// `plan/retire check_age`
    pub fn parse(text: &str) -> Self {
        let (module, item) = match text.split_once(' ') {
            Some((module, item)) => (module, Some(item.to_owned())),
            None => (text, None),
        };
        Self {
            module: module.to_owned(),
            item,
        }
    }

    /// Whether a source of this module, tests left out, has the item.
    pub fn is_in(&self, sources: &[(String, String)]) -> bool {
        let is_of_module = |path: &str| {
            let Some((_, below)) = path.split_once("src/") else {
                return false;
            };
            let rest = below.strip_prefix(&self.module);
            rest.is_some_and(|rest| rest == ".rs" || rest.starts_with('/'))
                && !path.ends_with("tests.rs")
                && !path.contains("/tests/")
        };
        let mut texts = sources.iter().filter(|(path, _)| is_of_module(path));
        texts.any(|(_, text)| match &self.item {
            Some(item) => ["fn", "struct", "enum"].iter().any(|kind| {
                let declaration = format!("{kind} {item}");
                text.match_indices(&declaration).any(|(at, _)| {
                    let after = text[at + declaration.len()..].chars().next();
                    !after.is_some_and(|after| after.is_alphanumeric() || after == '_')
                })
            }),
            None => true,
        })
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.item {
            Some(item) => write!(f, "`{item}` (`{}`)", self.module),
            None => write!(f, "`{}`", self.module),
        }
    }
}

impl MarkedTest {
    /// The invariants that it would find broken.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let faulty = self.faults.iter().flat_map(|fault| &fault.names);
        self.proves.iter().chain(faulty).map(String::as_str)
    }
}

fn names(list: &str) -> Vec<String> {
    list.split(", ").map(str::to_owned).collect()
}

/// The marked tests of a source. An error is a mark that cannot be read or is beside no test.
pub fn read(path: &str, text: &str) -> Result<Vec<MarkedTest>, String> {
    let mut tests = Vec::new();
    let mut marks: Vec<String> = Vec::new();
    let mut is_test = false;
    for (number, line) in (1..).zip(text.lines().map(str::trim)) {
        let error = |what: &str| Err(format!("{path}:{number}: {what}"));
        if line.starts_with("// proves: ") || line.starts_with("// fault: ") {
            marks.push(line.to_owned());
            continue;
        }
        let Some(last) = marks.last_mut() else {
            continue;
        };
        if let Some(more) = line.strip_prefix("//   ") {
            last.push(' ');
            last.push_str(more);
        } else if line.starts_with("//") || line.is_empty() {
            return error("a mark stands just above the attributes of a test");
        } else if let Some(name) = name_of_function(line) {
            if !is_test {
                return error("a mark stands above a test");
            }
            let test = marked(path, name, &marks);
            tests.push(test.map_err(|why| format!("{path}:{number}: {why}"))?);
            marks.clear();
            is_test = false;
        } else {
            is_test |= line.starts_with("#[test]") || line.starts_with("#[tokio::test");
        }
    }
    if marks.is_empty() {
        Ok(tests)
    } else {
        Err(format!("{path}: a mark at the end stands above nothing"))
    }
}

fn name_of_function(line: &str) -> Option<&str> {
    let line = line.strip_prefix("async ").unwrap_or(line);
    line.strip_prefix("fn ")?.split(['(', '<']).next()
}

fn marked(path: &str, name: &str, marks: &[String]) -> Result<MarkedTest, String> {
    let mut test = MarkedTest {
        path: path.to_owned(),
        name: name.to_owned(),
        proves: Vec::new(),
        faults: Vec::new(),
    };
    for mark in marks {
        if let Some(list) = mark.strip_prefix("// proves: ") {
            test.proves.extend(names(list));
        } else if let Some((list, rest)) = mark
            .strip_prefix("// fault: ")
            .and_then(|rest| rest.split_once(" at "))
            && let Some((place, text)) = rest.split_once(": ")
        {
            test.faults.push(Fault {
                names: names(list),
                place: Place::parse(place),
                text: text.to_owned(),
            });
        } else {
            return Err(format!("cannot be read: {mark}"));
        }
    }
    Ok(test)
}

#[test]
fn marks_are_read_and_lost_ones_are_found() {
    let text = "
        // proves: order
        // fault: clock at plan/retire check_age: a guard that
        //   is gone
        #[expect(lint, reason = \"so\")]
        #[test]
        fn a_name() {}
    ";
    let tests = read("src/x.rs", text).unwrap();
    let [test] = &tests[..] else {
        panic!("{} tests", tests.len());
    };
    assert_eq!(test.name, "a_name");
    let names: Vec<&str> = test.names().collect();
    assert_eq!(names, ["order", "clock"]);
    let [fault] = &test.faults[..] else {
        panic!("{} faults", test.faults.len());
    };
    assert_eq!(fault.text, "a guard that is gone");
    assert_eq!(fault.place.to_string(), "`check_age` (`plan/retire`)");
    for lost in [
        "// proves: clock\n\n#[test]\nfn a() {}",
        "// proves: clock\nfn helper() {}",
        "// proves: clock\n// fault: clock: x\n#[test]\nfn a() {}",
        "// proves: clock",
    ] {
        assert!(read("src/x.rs", lost).is_err(), "{lost}");
    }
}
