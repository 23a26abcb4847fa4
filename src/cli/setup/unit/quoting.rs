//! Quoting and specifiers in the values of a unit file, as systemd reads and writes them.

/// Splits a value at whitespace into words, removing quotes and backslashes, and turns `%%` into
/// `%`.
pub fn split(value: &str) -> Vec<String> {
    let words = split_parts(value, None).into_iter();
    words.map(|parts| parts.concat()).collect()
}

/// The same for `source:destination:options`, each word in its parts. A colon that belongs to a
/// path has a backslash before it, or stands in quotes.
pub fn split_binds(value: &str) -> Vec<Vec<String>> {
    split_parts(value, Some(':'))
}

fn split_parts(value: &str, separator: Option<char>) -> Vec<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<Vec<String>> = None;
    let mut quote = None;
    let mut chars = value.chars();
    while let Some(char) = chars.next() {
        match (char, quote) {
            ('\\', _) => last_part(&mut word).extend(chars.next()),
            ('"' | '\'', None) => {
                quote = Some(char);
                // An empty pair of quotes is an empty word, not no word.
                last_part(&mut word);
            }
            (_, Some(open)) if char == open => quote = None,
            (blank, None) if blank.is_whitespace() => words.extend(word.take()),
            (part, None) if Some(part) == separator => {
                last_part(&mut word);
                word.get_or_insert_default().push(String::new());
            }
            (other, _) => last_part(&mut word).push(other),
        }
    }
    words.extend(word);
    for part in words.iter_mut().flatten() {
        *part = unspecified(part);
    }
    words
}

fn last_part(word: &mut Option<Vec<String>>) -> &mut String {
    let parts = word.get_or_insert_default();
    if parts.is_empty() {
        parts.push(String::new());
    }
    parts.last_mut().expect("it has one now")
}

/// Turns `%%` into `%`: a single `%` would begin a specifier.
pub fn unspecified(text: &str) -> String {
    text.replace("%%", "%")
}

/// Quotes `word` so that systemd reads it as a single word.
pub fn quote(word: &str) -> String {
    let word = word.replace('%', "%%");
    let plain = |c: char| !c.is_whitespace() && !['"', '\'', '\\'].contains(&c);
    if word.chars().all(plain) && !word.is_empty() {
        return word;
    }
    format!("\"{}\"", word.replace('\\', "\\\\").replace('"', "\\\""))
}

/// The same for a path of `BindPaths=`, where a colon would begin the place that it appears at.
pub fn quote_bind(path: &str) -> String {
    let quoted = quote(path);
    if !path.contains(':') {
        return quoted;
    }
    // In quotes systemd takes a colon as it is, whatever its version.
    let bare = quoted.trim_matches('"');
    format!("\"{bare}\"")
}
