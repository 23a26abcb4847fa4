//! TLS to the mail server: the system's trust, and the policy's `ca-file` beside it.

use std::io;
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::MailError;
use crate::outbound;
use crate::process::blocking;
use rotator_core::config::EmailPolicy;

/// Speaks TLS on this stream. `step` stands in the error: what the handshake is part of.
pub(super) async fn handshake<S: AsyncRead + AsyncWrite + Unpin>(
    policy: &EmailPolicy,
    step: &'static str,
    stream: S,
) -> Result<TlsStream<S>, MailError> {
    let failed = |why: String| MailError::Connection {
        host: super::host_and_port(policy),
        why: format!("{step}: {why}"),
    };
    let config = config(policy).await?;
    let name =
        ServerName::try_from(policy.host.clone()).map_err(|error| failed(error.to_string()))?;
    let greeted = TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await;
    greeted.map_err(|error| failed(in_words(&error)))
}

async fn config(policy: &EmailPolicy) -> Result<ClientConfig, MailError> {
    let host = super::host_and_port(policy);
    let ca_file = policy.ca_file.clone();
    // The system's certificates and the file are read at each use, so that new ones need no
    // restart.
    blocking(move || {
        outbound::read_anew(ca_file.as_deref()).map_err(|error| match ca_file {
            Some(path) if error.is_about_the_file() => MailError::CaFile {
                path,
                why: error.to_string(),
            },
            Some(_) | None => MailError::Connection {
                host,
                why: error.to_string(),
            },
        })
    })
    .await
}

fn in_words(error: &io::Error) -> String {
    let why = error.to_string();
    // The words of the TLS library do not tell an operator what to set.
    if why.contains("UnknownIssuer") {
        format!("{why}: not signed by an authority that this machine trusts; is `ca-file` set?")
    } else if why.contains("CaUsedAsEndEntity") {
        format!("certificate not trusted: {}", outbound::AUTHORITY_AS_SERVER)
    } else {
        why
    }
}
