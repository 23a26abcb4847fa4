//! Generated input: the seeds with pieces of each format put in and taken out, and bytes of no
//! form.

use proptest::prelude::*;

use super::{cases, corpus, mutated};
use crate::fuzz_properties::TARGETS;

/// What makes something else of JSON, HTTP and dates.
const WORDS: [&[u8]; 30] = [
    b"\"",
    b"\\",
    b"\\u0000",
    b"\\ud800",
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b"null",
    b"true",
    b"-1",
    b"1e999",
    b"18446744073709551616",
    b"\n",
    b"\r\n",
    b"\r\n\r\n",
    b"\0",
    b"\xff",
    b"\xef\xbb\xbf",
    b"<",
    b" ",
    b"%00",
    "é".as_bytes(),
    b"Content-Length: 99999999\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"HTTP/1.1",
    b"aws80:",
    b"eyJ",
];

/// What makes something else of a policy.
const OF_A_POLICY: [&[u8]; 18] = [
    b"\"",
    b"'''",
    b"\"\"\"",
    b"[",
    b"]]",
    b"{",
    b"}",
    b"=",
    b"\n",
    b"#",
    b"\\",
    "é".as_bytes(),
    b"\0",
    b"\xff",
    b"0 0 30 2 *",
    b"[account]\n",
    b"9999999999d",
    b"password",
];

/// What makes something else of an env-file.
const OF_AN_ENV_FILE: [&[u8]; 22] = [
    b"KEY=", b"export ", b"A=", b"a", b"'", b"\"", b"\\", b"#", b";", b" ", b"\n", b"\r\n", b"=",
    b"$(", b")", b"`", b"${", b"}", b"\\\n", b"+=", b"~", b"\t",
];

/// What makes something else of a template.
const OF_A_TEMPLATE: [&[u8]; 18] = [
    b"{{",
    b"}}",
    b"{%",
    b"%}",
    b"token",
    b"accounts",
    b" for x in ",
    b"endfor",
    b"range(9)",
    b"|upper",
    b"|tojson",
    b".crm",
    b"*9",
    b"\"",
    b"~",
    b"(",
    b"{#",
    b"%} {% raw %}",
];

fn words(target: &str) -> &'static [&'static [u8]] {
    match target {
        "policy" => &OF_A_POLICY,
        "env_file" => &OF_AN_ENV_FILE,
        "template" => &OF_A_TEMPLATE,
        _ => &WORDS,
    }
}

/// How often each is tried: those that are slow, less often.
fn tries(target: &str) -> u32 {
    match target {
        "request" => 100,
        "policy" => 150,
        _ => 1000,
    }
}

fn seeds(target: &str) -> Vec<Vec<u8>> {
    corpus(target)
        .into_iter()
        .map(|(_, bytes)| bytes)
        .filter(|bytes| bytes.len() < 16 * 1024)
        .collect()
}

#[test]
fn what_is_made_of_the_seeds_keeps_the_promises() {
    for (name, property) in TARGETS {
        proptest!(cases(tries(name)), |(bytes in mutated(seeds(name), words(name)))| property(&bytes));
    }
}

#[test]
fn a_policy_that_is_one_long_line_with_a_fault_at_each_word_is_told_of_in_short() {
    let keys: Vec<String> = (0..95_000).map(|number| format!("k{number}=1")).collect();
    let line = format!("daemon = {{ {} }}\n", keys.join(","));
    assert!(
        (800_000..1024 * 1024).contains(&line.len()),
        "{} bytes",
        line.len()
    );
    crate::fuzz_properties::policy::loading(line.as_bytes());
}

#[test]
fn bytes_of_no_form_keep_the_promises() {
    for (name, property) in TARGETS {
        let bytes = prop::collection::vec(any::<u8>(), 0..400);
        proptest!(cases(tries(name) / 4), |(bytes in bytes)| property(&bytes));
    }
}
