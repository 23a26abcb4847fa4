//! Quoting and specifiers in the values of a unit file, as systemd reads and writes them.

/// Splits a value at whitespace into words, removing quotes and backslashes, and turns `%%` into
/// `%`.
pub fn split(value: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut chars = value.chars();
    while let Some(char) = chars.next() {
        match (char, quote) {
            ('\\', _) => word.get_or_insert_default().extend(chars.next()),
            ('"' | '\'', None) => {
                quote = Some(char);
                // An empty pair of quotes is an empty word, not no word.
                word.get_or_insert_default();
            }
            (_, Some(open)) if char == open => quote = None,
            (blank, None) if blank.is_whitespace() => words.extend(word.take()),
            (other, _) => word.get_or_insert_default().push(other),
        }
    }
    words.extend(word);
    words.iter().map(|word| unspecified(word)).collect()
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
