//! TLS to the mail server: the system's trust, and the policy's `ca-file` beside it.

use std::io;
use std::path::Path;
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls_platform_verifier::Verifier;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::MailError;
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
        let extra = ca_file.as_deref().map_or(Ok(Vec::new()), certificates)?;
        let unusable = |error: rustls::Error| MailError::Connection {
            host: host.clone(),
            why: error.to_string(),
        };
        let provider = CryptoProvider::get_default().cloned();
        let provider =
            provider.unwrap_or_else(|| Arc::new(rustls::crypto::ring::default_provider()));
        let verifier = Verifier::new_with_extra_roots(extra, Arc::clone(&provider));
        let verifier = verifier.map_err(unusable)?;
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(unusable)?;
        Ok(builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_no_client_auth())
    })
    .await
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, MailError> {
    let unusable = |why: &str| MailError::CaFile {
        path: path.to_owned(),
        why: why.to_owned(),
    };
    let pem = std::fs::read(path).map_err(|error| unusable(&error.to_string()))?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let found = found.map_err(|_| unusable("holds a certificate that is cut or changed"))?;
    // A file without one parses as an empty list: the handshake would fail, without a hint at it.
    if found.is_empty() {
        return Err(unusable("holds no certificate in PEM form"));
    }
    for der in &found {
        rustls::RootCertStore::empty()
            .add(der.clone())
            .map_err(|_| unusable("holds something that is no X.509 certificate"))?;
    }
    Ok(found)
}

fn in_words(error: &io::Error) -> String {
    let why = error.to_string();
    // The words of the TLS library do not tell an operator what to set.
    if why.contains("UnknownIssuer") {
        format!("{why}: not signed by an authority that this machine trusts; is `ca-file` set?")
    } else if why.contains("CaUsedAsEndEntity") {
        format!(
            "{why}: `ca-file` is the server's own certificate, which may also sign others; make \
             one for the server that an authority signs"
        )
    } else {
        why
    }
}
