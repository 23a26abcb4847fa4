//! `type = "webhook"`: a signed POST with the token.

use std::time::Duration;

use rotator_core::config::{
    NetworkPolicy, ProxyChoice, Receipt, SinkKind, WebhookSink, WebhookUrl,
};
use rotator_core::secret::SecretSource;
use url::Url;

use super::{SinkForm, SinkKindSpec, SinkPlace, SinkType, hidden, receipt};
use crate::issues::Issues;
use crate::source::At;
use crate::table::Table;
use crate::value;

pub(super) const TYPE: SinkType = SinkType {
    name: "webhook",
    form: SinkForm::Other,
    keys: &["url", "secret", "headers", "timeout", "receipt", "proxy"],
    read: |table| Box::new(WebhookSpec::read(table)),
};

const TIMEOUT: Duration = Duration::from_secs(10);

struct WebhookSpec {
    url: Option<At<Url>>,
    secret: Option<At<SecretSource>>,
    headers: Option<At<Vec<(String, String)>>>,
    timeout: Option<At<Duration>>,
    receipt: Option<At<Receipt>>,
    proxy: Option<At<ProxyChoice>>,
}

impl WebhookSpec {
    fn read(table: &mut Table<'_>) -> Self {
        Self {
            url: table.required("url", &value::WEBHOOK_URL),
            secret: table.required_secret("secret"),
            headers: table.pairs("headers", value::header_name, value::header_value),
            timeout: table.value("timeout", &value::TIME_SPAN),
            receipt: receipt(table),
            proxy: table.value("proxy", &value::PROXY),
        }
    }
}

impl SinkKindSpec for WebhookSpec {
    fn resolve(&self, place: &SinkPlace<'_>, _issues: &mut Issues) -> Option<SinkKind> {
        let Self {
            url,
            secret,
            headers,
            timeout,
            receipt,
            proxy,
        } = self;
        Some(SinkKind::Webhook(WebhookSink {
            url: WebhookUrl::new(url.as_ref()?.value.clone()),
            secret: place.base.secret(&secret.as_ref()?.value),
            headers: hidden(headers),
            timeout: At::or(timeout, TIMEOUT),
            receipt: At::or(receipt, Receipt::Status),
            network: Box::new(network(proxy.as_ref(), place.network)),
        }))
    }

    fn secret(&self) -> Option<&At<SecretSource>> {
        self.secret.as_ref()
    }
}

/// The sink's own proxy is for this sink whatever `no-proxy` says. The login of `[network]` is for
/// the proxy of `[network]`, and another one is not told it.
fn network(own: Option<&At<ProxyChoice>>, common: &NetworkPolicy) -> NetworkPolicy {
    let Some(At { value: proxy, .. }) = own else {
        return common.clone();
    };
    NetworkPolicy {
        proxy: proxy.clone(),
        login: common.login.clone().filter(|_| *proxy == common.proxy),
        no_proxy: Vec::new(),
    }
}
