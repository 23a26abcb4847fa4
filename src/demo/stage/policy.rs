//! The policy's text: what an operator would write, with seconds where there would be days.

use super::{APP, Actor, CONFIG, CONFIG_PLACE, DemoLogin, DemoStage, ENV_FILE, FILE, KEY, WEBHOOK};

/// The whole policy of this stage.
pub(super) fn text(stage: &DemoStage) -> String {
    let accounts = stage.actors.iter().map(account);
    std::iter::once(common(stage)).chain(accounts).collect()
}

/// All but the accounts.
fn common(stage: &DemoStage) -> String {
    let root = stage.root().display();
    let mail_port = stage.mailbox.address().port();
    format!(
        r#"[daemon]
state-dir = "{root}/state"
control-socket = "{root}/control.sock"

[log]
level = "debug"
format = "text"

[ringcx]
base-url = "{base_url}"
ringex-url = "{ringex_url}"
ca-file = "ca.pem"
requests-per-minute = 1200

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
        ringex_url = stage.ringcx.ringex_url(),
    )
}

/// One account with its sinks.
fn account(actor: &Actor) -> String {
    let (name, url) = (actor.name, actor.receiver.url());
    let login = login(actor);
    let mut text = format!(
        r#"
[[account]]
name = "{name}"
{login}
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
    );
    if actor.sinks.contains(&CONFIG) {
        let [account_id, config_id] = CONFIG_PLACE;
        text.push_str(&format!(
            r#"
[[account.sink]]
name = "{CONFIG}"
type = "ringcx-auth-config"
account-id = "{account_id}"
auth-config-id = "{config_id}"
"#
        ));
    }
    text
}

fn login(actor: &Actor) -> String {
    let (name, user) = (actor.name, &actor.user);
    match actor.way {
        DemoLogin::Password => format!(
            r#"username = "{user}"
password = {{ file = "secrets/{name}" }}
platform-id = "aws80"
"#
        ),
        DemoLogin::RingEx => format!(
            r#"login = "ringex"
client-id = "{APP}"
client-secret = {{ file = "secrets/{APP}" }}
jwt = {{ file = "secrets/{name}-jwt" }}
"#
        ),
    }
}
