//! `type = "env-file"`: one variable in a file of variables, which may be another program's.

use std::path::PathBuf;

use rotator_core::config::{EnvFileSink, SinkKind};

use super::{SinkForm, SinkKindSpec, SinkPlace, SinkType, SinkWrites};
use crate::access::AccessSpec;
use crate::issues::Issues;
use crate::source::At;
use crate::table::Table;
use crate::value;

pub(super) const TYPE: SinkType = SinkType {
    name: "env-file",
    form: SinkForm::File,
    keys: &["key"],
    read: |table| Box::new(EnvFileSpec::read(table)),
};

struct EnvFileSpec {
    path: Option<At<PathBuf>>,
    key: Option<At<String>>,
    access: AccessSpec,
}

impl EnvFileSpec {
    fn read(table: &mut Table<'_>) -> Self {
        Self {
            path: table.required("path", &value::FILE_PATH),
            key: table.required("key", &value::VARIABLE),
            access: AccessSpec::read(table),
        }
    }
}

impl SinkKindSpec for EnvFileSpec {
    fn resolve(&self, _place: &SinkPlace<'_>, _issues: &mut Issues) -> Option<SinkKind> {
        let Self { path, key, access } = self;
        Some(SinkKind::EnvFile(EnvFileSink {
            path: path.as_ref()?.value.clone(),
            key: key.as_ref()?.value.clone(),
            // The file may exist with a mode of its own, which is kept.
            access: access.resolve(None),
        }))
    }

    fn check(&self, issues: &mut Issues) {
        self.access.check(issues);
    }

    fn writes(&self) -> Option<SinkWrites<'_>> {
        let Self { path, key, access } = self;
        Some(SinkWrites::Variable {
            path: path.as_ref()?,
            name: key.as_ref(),
            access,
        })
    }
}
