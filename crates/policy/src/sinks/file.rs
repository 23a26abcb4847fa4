//! `type = "file"`: a file with the token and nothing else.

use std::path::PathBuf;

use rotator_core::config::{DEFAULT_MODE, FileSink, SinkKind};

use super::{SinkForm, SinkKindSpec, SinkPlace, SinkType, SinkWrites};
use crate::access::AccessSpec;
use crate::issues::Issues;
use crate::source::At;
use crate::table::Table;
use crate::value;

pub(super) const TYPE: SinkType = SinkType {
    name: "file",
    form: SinkForm::File,
    keys: &["trailing-newline"],
    read: |table| Box::new(FileSpec::read(table)),
};

struct FileSpec {
    path: Option<At<PathBuf>>,
    access: AccessSpec,
    trailing_newline: Option<At<bool>>,
}

impl FileSpec {
    fn read(table: &mut Table<'_>) -> Self {
        Self {
            path: table.required("path", &value::FILE_PATH),
            access: AccessSpec::read(table),
            trailing_newline: table.flag("trailing-newline"),
        }
    }
}

impl SinkKindSpec for FileSpec {
    fn resolve(&self, _place: &SinkPlace<'_>, _issues: &mut Issues) -> Option<SinkKind> {
        let Self {
            path,
            access,
            trailing_newline,
        } = self;
        Some(SinkKind::File(FileSink {
            path: path.as_ref()?.value.clone(),
            // The file is the daemon's own, unlike an env-file, so it keeps no mode from before.
            access: access.resolve(Some(DEFAULT_MODE)),
            trailing_newline: At::or(trailing_newline, false),
        }))
    }

    fn check(&self, issues: &mut Issues) {
        self.access.check(issues);
    }

    fn writes(&self) -> Option<SinkWrites<'_>> {
        self.path.as_ref().map(SinkWrites::File)
    }
}
