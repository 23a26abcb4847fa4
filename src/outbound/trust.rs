//! Whom a TLS connection trusts: the authorities of the system, and those of a `ca-file`.
//!
//! Read once and kept for all connections, and read again when told to. What cannot be read leaves
//! in force what was read before.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rustls::ClientConfig;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls_platform_verifier::Verifier;

use rotator_policy::files::{self, FileError};

/// Bytes of a ca-file: a file with every authority there is has a quarter of it.
const LARGEST: u64 = 1024 * 1024;

/// Why it is not known whom to trust.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// `ca-file` cannot be read.
    #[error("cannot read the ca-file {}: {source}", path.display())]
    CaFile {
        /// As in the policy.
        path: PathBuf,
        /// Why not.
        source: FileError,
    },
    /// `ca-file` holds no certificate, or one that cannot be read.
    #[error("the ca-file {} {why}", path.display())]
    CaFileContent {
        /// As in the policy.
        path: PathBuf,
        /// What is wrong with it, and what to do.
        why: &'static str,
    },
    /// The program installed no rustls provider: a fault of ours.
    #[error("no TLS provider is installed")]
    NoProvider,
    /// TLS cannot be set up: as a rule the system has no trusted certificates.
    #[error("cannot set up TLS: {why}; is the package ca-certificates installed?")]
    Tls {
        /// What rustls reports.
        why: String,
    },
}

impl TrustError {
    /// Whether the `ca-file` is to blame.
    pub fn is_about_the_file(&self) -> bool {
        match self {
            Self::CaFile { .. } | Self::CaFileContent { .. } => true,
            Self::NoProvider | Self::Tls { .. } => false,
        }
    }
}

/// What was read last, for each `ca-file`.
#[derive(Default)]
struct Trusted {
    generation: u64,
    configs: BTreeMap<Option<PathBuf>, ClientConfig>,
}

static TRUSTED: Mutex<Trusted> = Mutex::new(Trusted {
    generation: 0,
    configs: BTreeMap::new(),
});

/// Counts up when something was read again.
pub(super) fn generation() -> u64 {
    trusted().generation
}

/// What to connect with, and the generation that it is of. Reads what was not read yet.
pub(super) fn config(ca_file: Option<&Path>) -> Result<(u64, ClientConfig), TrustError> {
    let key = ca_file.map(Path::to_owned);
    let known = {
        let trusted = trusted();
        let config = trusted.configs.get(&key).cloned();
        config.map(|config| (trusted.generation, config))
    };
    if let Some(known) = known {
        return Ok(known);
    }
    // Not under the lock: a file can take its time.
    let config = read_anew(ca_file)?;
    let mut trusted = trusted();
    trusted.configs.insert(key, config.clone());
    Ok((trusted.generation, config))
}

/// Reads the system's authorities and this `ca-file` again, for every connection from now on. An
/// error changes nothing.
pub fn read_again(ca_file: Option<&Path>) -> Result<(), TrustError> {
    let config = read_anew(ca_file)?;
    let mut trusted = trusted();
    trusted.generation += 1;
    // What is read of other files is read again at their next use.
    trusted.configs.clear();
    trusted.configs.insert(ca_file.map(Path::to_owned), config);
    Ok(())
}

/// The certificates in a PEM file.
fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TrustError> {
    let pem = files::read(path, LARGEST).map_err(|source| TrustError::CaFile {
        path: path.to_owned(),
        source,
    })?;
    let unusable = |why| TrustError::CaFileContent {
        path: path.to_owned(),
        why,
    };
    let mut roots = Vec::new();
    for der in CertificateDer::pem_slice_iter(&pem) {
        let der = der.map_err(|_| unusable("has a certificate that is damaged"))?;
        rustls::RootCertStore::empty()
            .add(der.clone())
            .map_err(|_| unusable("has a certificate that is damaged"))?;
        roots.push(der);
    }
    if roots.is_empty() {
        return Err(unusable(what_instead(&pem)));
    }
    Ok(roots)
}

/// What a file without a certificate in PEM form is.
fn what_instead(bytes: &[u8]) -> &'static str {
    let has = |text: &[u8]| bytes.windows(text.len()).any(|window| window == text);
    if bytes.trim_ascii().is_empty() {
        "is empty"
    // The first bytes of a DER sequence of more than 255 bytes.
    } else if bytes.starts_with(&[0x30, 0x82]) {
        "is not in PEM form but in DER: convert it with `openssl x509 -inform der`"
    } else if has(b"PRIVATE KEY-----") {
        "is not a list of PEM certificates but holds a private key: name the authority's certificate"
    } else {
        "is not a list of PEM certificates: they begin with -----BEGIN CERTIFICATE-----"
    }
}

/// Reads the system's authorities and this `ca-file`, for one connection.
pub fn read_anew(ca_file: Option<&Path>) -> Result<ClientConfig, TrustError> {
    let provider = CryptoProvider::get_default().ok_or(TrustError::NoProvider)?;
    let extra = match ca_file {
        Some(path) => certificates(path)?,
        None => Vec::new(),
    };
    let tls = |error: rustls::Error| TrustError::Tls {
        why: error.to_string(),
    };
    let verifier = Verifier::new_with_extra_roots(extra, Arc::clone(provider)).map_err(tls)?;
    let config = ClientConfig::builder_with_provider(Arc::clone(provider))
        .with_safe_default_protocol_versions()
        .map_err(tls)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    Ok(config)
}

fn trusted() -> std::sync::MutexGuard<'static, Trusted> {
    TRUSTED.lock().unwrap_or_else(PoisonError::into_inner)
}
