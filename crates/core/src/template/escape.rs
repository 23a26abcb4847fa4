//! How a value is written in one kind of file or another. Each filter refuses what its kind cannot
//! say, so that a value never becomes part of the file's own language.

use minijinja::{Environment, Error, ErrorKind, Value};

/// Adds `json`, `ini`, `properties`, `nginx` and `shell`.
pub(super) fn add_to(environment: &mut Environment<'_>) {
    environment.add_filter("json", |value: Value| text(&value).map(|text| json(&text)));
    environment.add_filter("ini", |value: Value| {
        text(&value).and_then(|text| ini(&text))
    });
    environment.add_filter("properties", |value: Value| {
        text(&value).map(|text| properties(&text))
    });
    environment.add_filter("nginx", |value: Value| {
        text(&value).and_then(|text| nginx(&text))
    });
    environment.add_filter("shell", |value: Value| {
        text(&value).and_then(|text| shell(&text))
    });
}

/// Texts and numbers have one way to be written; anything else is a mistake.
fn text(value: &Value) -> Result<String, Error> {
    match value.as_str() {
        Some(text) => Ok(text.to_owned()),
        // The kind of error says that the name is unknown, not that its value is of the wrong kind.
        None if value.is_undefined() => Err(ErrorKind::UndefinedError.into()),
        None if value.is_number() => Ok(value.to_string()),
        None => Err(refuse("only texts and numbers can be escaped")),
    }
}

fn refuse(why: &'static str) -> Error {
    Error::new(ErrorKind::InvalidOperation, why)
}

/// A JSON string, with its quotes.
fn json(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// A plain value of an INI file. Dialects differ in quoting and comments: what is the same in all
/// of them is let through, and nothing else.
fn ini(text: &str) -> Result<String, Error> {
    // Some dialect takes each of these for a quote, an escape, a comment or a reference.
    let odd = |c: char| c.is_control() || "\"'\\;#%$".contains(c);
    if text.is_empty() || text.trim() != text || text.contains(odd) {
        return Err(refuse(
            "this value cannot be written in every dialect of INI",
        ));
    }
    Ok(text.to_owned())
}

/// A value of a Java properties file.
fn properties(text: &str) -> String {
    let mut written = String::with_capacity(text.len());
    for (at, c) in text.char_indices() {
        match c {
            '\\' => written.push_str("\\\\"),
            // Blanks before a value are skipped, so the first is said to be one of it.
            ' ' if at == 0 => written.push_str("\\ "),
            c if c == ' ' || c.is_ascii_graphic() => written.push(c),
            c => {
                // `\uXXXX` is UTF-16: a character beyond U+FFFF takes two of them.
                let mut units = [0; 2];
                for unit in c.encode_utf16(&mut units) {
                    written.push_str(&format!("\\u{unit:04x}"));
                }
            }
        }
    }
    written
}

/// A quoted parameter of nginx. It has no way to write a dollar sign that begins no variable.
fn nginx(text: &str) -> Result<String, Error> {
    if text.contains(|c: char| c.is_control() || c == '$') {
        return Err(refuse(
            "nginx cannot be given this value: it holds a $ or a control character",
        ));
    }
    // The backslash first, or those that are added before quotes would be doubled.
    Ok(format!(
        "\"{}\"",
        text.replace('\\', "\\\\").replace('"', "\\\"")
    ))
}

/// A word of a shell.
fn shell(text: &str) -> Result<String, Error> {
    if text.contains('\0') {
        return Err(refuse("no shell can be given a NUL"));
    }
    // Within single quotes all is literal; a quote itself ends them, is escaped, and opens them
    // again.
    Ok(format!("'{}'", text.replace('\'', "'\\''")))
}
