//! The policy's text: what an operator would write, with seconds where there would be days.

use super::{ENV_FILE, FILE, KEY, Stage, WEBHOOK};

/// The whole policy of this stage.
pub(super) fn text(stage: &Stage) -> String {
    let root = stage.root().display();
    let mail_port = stage.mailbox.address().port();
    let mut text = format!(
        r#"[daemon]
state-dir = "{root}/state"
control-socket = "{root}/control.sock"

[log]
level = "debug"
format = "text"

[ringcx]
base-url = "{base_url}"
ca-file = "ca.pem"

[defaults]
schedule = {{ every = "5s", jitter = "0s" }}
retention = {{ max-age = "5s", overlap = "2s" }}
retry = {{ initial = "1s", max = "2s" }}
check-every = "2s"

[alerts.email]
from = "ringcx-rotator@example.com"
to = ["oncall@example.com"]
host = "127.0.0.1"
port = {mail_port}
username = "mailer"
password = {{ file = "secrets/smtp" }}
ca-file = "ca.pem"
"#,
        base_url = stage.ringcx.base_url(),
    );
    for actor in &stage.actors {
        let (name, user, url) = (actor.name, &actor.user, actor.receiver.url());
        text.push_str(&format!(
            r#"
[[account]]
name = "{name}"
username = "{user}"
password = {{ file = "secrets/{name}" }}
platform-id = "aws80"

[[account.sink]]
name = "{FILE}"
type = "file"
path = "{file}"

[[account.sink]]
name = "{ENV_FILE}"
type = "env-file"
path = "{env_file}"
key = "{KEY}"

[[account.sink]]
name = "{WEBHOOK}"
type = "webhook"
url = "{url}"
secret = {{ file = "secrets/{name}-{WEBHOOK}" }}
receipt = "fingerprint"
"#,
            file = actor.file.display(),
            env_file = actor.env_file.display(),
        ));
    }
    text
}
