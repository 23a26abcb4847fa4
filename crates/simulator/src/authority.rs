//! A private certificate authority for the stand-ins, made afresh each time and kept nowhere.
//!
//! One authority can serve them all, so that one `ca-file` in the policy covers RingCX, webhooks
//! and mail.

use std::fs::File;
use std::io::{self, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

/// The authority, with one certificate it gave for `localhost`, `127.0.0.1` and `::1`.
#[derive(Clone)]
pub struct Authority {
    pem: Arc<str>,
    server: Arc<ServerConfig>,
}

impl Authority {
    /// Makes a key, a root certificate and a server certificate.
    pub fn generate() -> Self {
        Self::naming(&[])
    }

    /// The same, with a server certificate that names these hosts as well. They must be valid names.
    pub fn naming(hosts: &[&str]) -> Self {
        Self::try_generate(hosts).expect("valid names and fresh keys make a valid chain")
    }

    fn try_generate(hosts: &[&str]) -> Result<Self, Box<dyn std::error::Error>> {
        let mut root = CertificateParams::new(Vec::new())?;
        root.distinguished_name
            .push(DnType::CommonName, "RingCX stand-in CA");
        // Clients that use OpenSSL, such as curl, refuse a root without these marks.
        root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        root.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let root_key = KeyPair::generate()?;
        let pem = root.self_signed(&root_key)?.pem();
        let issuer = Issuer::new(root, root_key);

        let hosts = hosts.iter().copied().chain(["localhost"]);
        let mut leaf = CertificateParams::new(hosts.map(str::to_owned).collect::<Vec<_>>())?;
        leaf.distinguished_name
            .push(DnType::CommonName, "localhost");
        // Clients connect by address, and rustls compares it with the IP names, not with the DNS
        // names.
        for address in [
            IpAddr::V4(Ipv4Addr::LOCALHOST),
            IpAddr::V6(Ipv6Addr::LOCALHOST),
        ] {
            leaf.subject_alt_names.push(SanType::IpAddress(address));
        }
        leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        leaf.use_authority_key_identifier_extension = true;
        let leaf_key = KeyPair::generate()?;
        let leaf = leaf.signed_by(&leaf_key, &issuer)?;

        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(leaf_key.serialize_der()));
        // Given explicitly: a test installs no process-wide provider.
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let server = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![leaf.der().clone()], key)?;
        Ok(Self {
            pem: pem.into(),
            server: Arc::new(server),
        })
    }

    /// The root certificate, to be trusted by a client.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// Writes the root certificate where a policy's `ca-file` can name it.
    pub fn write_pem(&self, path: &Path) -> io::Result<()> {
        File::create(path)?.write_all(self.pem.as_bytes())
    }

    pub(super) fn acceptor(&self) -> tokio_rustls::TlsAcceptor {
        tokio_rustls::TlsAcceptor::from(Arc::clone(&self.server))
    }
}
