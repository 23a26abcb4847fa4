//! The settings of the `[Service]` section, read as systemd reads them.

use super::quoting;

/// Key and value of each line, in the order in which systemd reads them.
#[derive(Clone, Debug, Default)]
pub struct ServiceSettings(Vec<(String, String)>);

impl ServiceSettings {
    /// Adds the settings of one more file.
    pub fn read(&mut self, text: &str) {
        let mut section = String::new();
        let mut lines = text.lines();
        while let Some(line) = lines.next() {
            let mut line = line.trim().to_owned();
            // Before the continuation: a backslash at the end of a comment continues nothing.
            if line.starts_with(['#', ';']) {
                continue;
            }
            while line.ends_with('\\') {
                line.pop();
                // A comment between the parts of a continued line is skipped.
                let Some(next) = lines
                    .by_ref()
                    .map(str::trim)
                    .find(|next| !next.starts_with(['#', ';']))
                else {
                    break;
                };
                line = format!("{} {next}", line.trim_end());
            }
            let name = line.strip_prefix('[');
            if let Some(name) = name.and_then(|rest| rest.strip_suffix(']')) {
                section = name.to_owned();
            // Other sections have keys of the same names with other meanings.
            } else if section == "Service"
                && let Some((key, value)) = line.split_once('=')
            {
                self.0
                    .push((key.trim().to_owned(), value.trim().to_owned()));
            }
        }
    }

    /// The last value of a key that can have only one; empty if it is not set.
    pub fn last(&self, key: &str) -> &str {
        let mut settings = self.0.iter().rev();
        let found = settings.find(|(known, _)| known == key);
        found.map_or("", |(_, value)| value)
    }

    /// All values of a key that can have several. An empty value clears the ones before it.
    pub fn lines(&self, key: &str) -> Vec<&str> {
        let mut lines = Vec::new();
        for (_, value) in self.0.iter().filter(|(known, _)| known == key) {
            if value.is_empty() {
                lines.clear();
            } else {
                lines.push(value.as_str());
            }
        }
        lines
    }

    /// The words in all values of a key.
    pub fn words(&self, key: &str) -> Vec<String> {
        let lines = self.lines(key).into_iter();
        lines.flat_map(quoting::split).collect()
    }

    /// The words of a key whose values are `source:destination:options`, each in its parts.
    pub fn binds(&self, key: &str) -> Vec<Vec<String>> {
        let lines = self.lines(key).into_iter();
        lines.flat_map(quoting::split_binds).collect()
    }

    /// Whether a boolean is true.
    pub fn is_on(&self, key: &str) -> bool {
        ["yes", "true", "on", "1"].contains(&self.last(key).to_ascii_lowercase().as_str())
    }
}
