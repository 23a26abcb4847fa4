//! The keys `mode`, `owner` and `group` of a sink that writes a file.

use rotator_core::config::FileAccess;

use crate::issues::Issues;
use crate::source::At;
use crate::table::Table;
use crate::value;

/// `mode`, `owner` and `group`, as they were written.
pub(crate) struct AccessSpec {
    pub mode: Option<At<u32>>,
    pub owner: Option<At<String>>,
    pub group: Option<At<String>>,
}

impl AccessSpec {
    pub fn read(table: &mut Table<'_>) -> Self {
        Self {
            mode: table.value("mode", &value::MODE),
            owner: table.value("owner", &value::PRINCIPAL),
            group: table.value("group", &value::PRINCIPAL),
        }
    }

    /// `default_mode` is that of a file whose `mode` is not set; without one, the file keeps the
    /// mode that it has.
    pub fn resolve(&self, default_mode: Option<u32>) -> FileAccess {
        let Self { mode, owner, group } = self;
        let text = |at: &Option<At<String>>| at.as_ref().map(|at| at.value.clone());
        FileAccess {
            mode: mode.as_ref().map(|at| at.value).or(default_mode),
            owner: text(owner),
            group: text(group),
        }
    }

    /// Warns about a token that every user of this machine can read.
    pub fn check(&self, issues: &mut Issues) {
        let Some(At { value: mode, span }) = self.mode else {
            return;
        };
        // A group may be meant to read the token; everyone hardly is.
        if mode & 0o004 != 0 {
            // 0644 becomes 0640: readable for a group instead of for everyone.
            let narrower = (mode | 0o040) & 0o770;
            issues
                .warning(span, "everyone on this machine could read the token")
                .help(format!("use \"{narrower:04o}\" and set `group`"));
        }
    }
}
