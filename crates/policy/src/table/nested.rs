//! Tables within a table, and names and values of the operator's choice.

use toml::Spanned;
use toml::de::DeValue;

use super::{Names, Table};
use crate::source::{At, Span};
use crate::value::ValueError;

type CheckText = fn(&str) -> Result<String, ValueError>;

impl Table<'_> {
    /// A table within this one; its default where it is absent or not a table.
    pub fn table<T: Default>(
        &mut self,
        key: &'static str,
        place: &'static str,
        read: impl FnOnce(&mut Table<'_>) -> T,
    ) -> T {
        self.optional_table(key, place, read).unwrap_or_default()
    }

    /// A table within this one.
    pub fn optional_table<T>(
        &mut self,
        key: &'static str,
        place: &'static str,
        read: impl FnOnce(&mut Table<'_>) -> T,
    ) -> Option<T> {
        let value = self.take(key)?;
        let span = self.at(value);
        let Some(entries) = value.get_ref().as_table() else {
            let help = match value.get_ref().as_array() {
                Some(_) => format!("there is only one: write {place} with single brackets"),
                None => format!("write it as a table: `{key} = {{ … }}`"),
            };
            self.wrong_type(key, value, "a table").help(help);
            return None;
        };
        let names = Names::Shown;
        Some(Table::read(self.reading, place, span, entries, names, read))
    }

    /// Every `[[key]]` table, in the order of the file.
    pub fn tables<T>(
        &mut self,
        key: &'static str,
        place: &'static str,
        read: impl Fn(&mut Table<'_>) -> T,
    ) -> Vec<T> {
        let Some(value) = self.take(key) else {
            return Vec::new();
        };
        let help = format!("there can be several: write {place} with double brackets");
        let Some(items) = value.get_ref().as_array() else {
            self.wrong_type(key, value, "a list of tables").help(help);
            return Vec::new();
        };
        let mut values = Vec::with_capacity(items.len());
        for item in items.iter() {
            let span = self.at(item);
            let Some(entries) = item.get_ref().as_table() else {
                self.wrong_type(key, item, "a table").help(help.clone());
                continue;
            };
            let names = Names::Shown;
            values.push(Table::read(
                self.reading,
                place,
                span,
                entries,
                names,
                &read,
            ));
        }
        values
    }

    /// Names and values of the operator's choice. All of them may be secret, so no message repeats
    /// one.
    pub fn pairs(
        &mut self,
        key: &'static str,
        check_name: CheckText,
        check_content: CheckText,
    ) -> Option<At<Vec<(String, String)>>> {
        // No value is marked as plain, so excerpts show none of them.
        let value = self.take(key)?;
        let span = self.at(value);
        let Some(entries) = value.get_ref().as_table() else {
            let help = format!("write `{key} = {{ \"Name\" = \"value\" }}`");
            self.wrong_type(key, value, "a table").help(help);
            return None;
        };
        let mut pairs: Vec<(String, String)> = Vec::new();
        for (name, content) in entries {
            let name_span = Span::new(span.file, name.span());
            let name = check_name(name.get_ref())
                .map_err(|refusal| self.refuse(key, name_span, refusal))
                .ok();
            let content = self.content(key, content, check_content);
            if let (Some(name), Some(content)) = (name, content) {
                // TOML allows `X-A` beside `x-a`, which are one header.
                if pairs.iter().any(|(other, _)| *other == name) {
                    let message = format!("`{key}` has the same name twice");
                    self.issues().error(name_span, message);
                }
                pairs.push((name, content));
            }
        }
        Some(At { value: pairs, span })
    }

    fn content(
        &mut self,
        key: &str,
        value: &Spanned<DeValue<'_>>,
        check: CheckText,
    ) -> Option<String> {
        let Some(text) = value.get_ref().as_str() else {
            self.wrong_type(key, value, "a string");
            return None;
        };
        let span = self.at(value);
        check(text)
            .map_err(|refusal| self.refuse(key, span, refusal))
            .ok()
    }
}
