//! Words of a unit file: quoting and specifiers, as systemd reads and writes them.
//!
//! Knows no settings.

/// The words of a value: parted by blanks, quotes and backslashes taken off, `%%` as `%`.
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

/// Without the doubling that keeps a percent sign from being a specifier.
pub fn unspecified(text: &str) -> String {
    text.replace("%%", "%")
}

/// As it must be written to be had back as one word.
pub fn quote(word: &str) -> String {
    let word = word.replace('%', "%%");
    let plain = |c: char| !c.is_whitespace() && !['"', '\'', '\\'].contains(&c);
    if word.chars().all(plain) && !word.is_empty() {
        return word;
    }
    format!("\"{}\"", word.replace('\\', "\\\\").replace('"', "\\\""))
}
