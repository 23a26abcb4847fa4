//! `type = "template"`: a file made of a template and one or more accounts' tokens.
//!
//! A template is part of the policy: it is read when the policy is, parsed, and rendered with
//! made-up tokens, so that `check` reports an error in it and not the next rotation.

use std::path::{Path, PathBuf};

use rotator_core::config::{DEFAULT_MODE, SinkKind, TemplateSink};
use rotator_core::template::{LARGEST, Template, TemplateCheck};

use super::{SinkForm, SinkKindSpec, SinkPlace, SinkType, SinkWrites};
use crate::access::AccessSpec;
use crate::files;
use crate::issues::Issues;
use crate::source::{At, Span};
use crate::table::Table;
use crate::value;

pub(super) const TYPE: SinkType = SinkType {
    name: "template",
    form: SinkForm::File,
    keys: &["template", "inline", "accounts"],
    read: |table| Box::new(TemplateSpec::read(table)),
};

const HELP: &str = "there are token, account, generation, fingerprint, minted_at, and \
    accounts[\"NAME\"] of those that `accounts` lists; \
    filters are json, ini, properties, nginx, shell";

struct TemplateSpec {
    /// The sink's header: the place of issues about the sink as a whole.
    span: Span,
    path: Option<At<PathBuf>>,
    access: AccessSpec,
    template: Option<At<PathBuf>>,
    inline: Option<At<String>>,
    accounts: Option<At<Vec<String>>>,
}

impl TemplateSpec {
    fn read(table: &mut Table<'_>) -> Self {
        let span = table.span();
        match (table.has("template"), table.has("inline")) {
            (true, false) | (false, true) => {}
            (false, false) => {
                let help =
                    "add `template = \"/path/to/file.j2\"`, or `inline = \"…\"` with its text";
                table
                    .issues()
                    .error(span, "the sink has no template")
                    .help(help.to_owned());
            }
            (true, true) => {
                table
                    .issues()
                    .error(span, "`template` and `inline` exclude each other")
                    .help("keep the one that is meant".to_owned());
            }
        }
        Self {
            span,
            path: table.required("path", &value::FILE_PATH),
            access: AccessSpec::read(table),
            template: table.value("template", &value::PATH),
            inline: table.value("inline", &value::TEXT),
            accounts: table.list("accounts", &value::NAME),
        }
    }

    /// The template's text, and where it is named or written.
    fn source(&self, place: &SinkPlace<'_>, issues: &mut Issues) -> Option<At<String>> {
        let file = match (&self.template, &self.inline) {
            (Some(file), None) => file,
            // Where there is neither, `read` has recorded it.
            (None, inline) => return inline.clone(),
            // Recorded as an issue when the table was read.
            (Some(_), Some(_)) => return None,
        };
        let path = place.base.join(&file.value);
        match read_text(&path) {
            Ok(text) => Some(At {
                value: text,
                span: file.span,
            }),
            Err(why) => {
                let message = format!("the template {}: {why}", path.display());
                issues.error(file.span, message);
                None
            }
        }
    }

    /// Parses the template and renders it with made-up tokens.
    fn parse(
        &self,
        source: At<String>,
        accounts: &[String],
        place: &SinkPlace<'_>,
        issues: &mut Issues,
    ) -> Option<Template> {
        // The name is missing only in a policy that is refused.
        let account = place.account.unwrap_or("account");
        let tried = Template::try_new(source.value)
            .and_then(|template| Ok((template.try_out(account, accounts)?, template)));
        match tried {
            Ok((outcome, template)) => {
                self.check_tokens(&outcome, issues);
                Some(template)
            }
            Err(error) => {
                issues
                    .error(source.span, format!("the template, {error}"))
                    .help(HELP.to_owned());
                None
            }
        }
    }

    /// Refuses a template whose text lacks a token, or has it in another form: what is delivered
    /// and counted as proved would be of no use to its reader.
    fn check_tokens(&self, outcome: &TemplateCheck, issues: &mut Issues) {
        if outcome.lacks_own {
            let message = "the template does not write the account's own token as it is";
            issues.error(self.span, message).help(
                "write `{{ token }}` where it belongs, without a filter that changes it".to_owned(),
            );
        }
        for name in &outcome.lacks {
            let message = format!(
                "`accounts` lists {name}, whose token the template does not write as it is"
            );
            issues.error(self.span, message).help(format!(
                "write `{{{{ accounts[\"{name}\"].token }}}}`, or take {name} out of the list"
            ));
        }
    }
}

impl SinkKindSpec for TemplateSpec {
    fn resolve(&self, place: &SinkPlace<'_>, issues: &mut Issues) -> Option<SinkKind> {
        let accounts = At::or(&self.accounts, Vec::new());
        // Read and tried even if `path` is faulty, to report all that is wrong at once.
        let source = self.source(place, issues)?;
        let template = self.parse(source, &accounts, place, issues)?;
        Some(SinkKind::Template(TemplateSink {
            path: self.path.as_ref()?.value.clone(),
            // The file is the daemon's own, unlike an env-file, so it keeps no mode from before.
            access: self.access.resolve(Some(DEFAULT_MODE)),
            template,
            accounts,
        }))
    }

    fn check(&self, issues: &mut Issues) {
        self.access.check(issues);
    }

    fn writes(&self) -> Option<SinkWrites<'_>> {
        self.path.as_ref().map(SinkWrites::File)
    }

    fn input(&self) -> Option<(&At<PathBuf>, &'static str)> {
        self.template.as_ref().map(|path| (path, "a template"))
    }

    fn peers(&self) -> Option<&At<Vec<String>>> {
        self.accounts.as_ref()
    }
}

fn read_text(path: &Path) -> Result<String, String> {
    let bytes = files::read(path, LARGEST as u64).map_err(|error| error.to_string())?;
    String::from_utf8(bytes).map_err(|_| "not valid UTF-8".to_owned())
}
