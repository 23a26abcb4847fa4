//! Whom the client trusts.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::AsyncWrite;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::*;
use crate::outbound::TrustError;

/// A certificate authority of our own, in a file.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    file: tempfile::NamedTempFile,
}

impl Authority {
    fn new() -> Self {
        Self::named("ours")
    }

    fn named(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let file = tempfile::NamedTempFile::new().unwrap();
        io::Write::write_all(&mut file.as_file(), issuer.pem().as_bytes()).unwrap();
        Self { issuer, file }
    }

    /// A server with a certificate for this name, whose every answer is an empty list.
    async fn server_for(&self, name: &str) -> String {
        self.server_that(name, |stream| Box::pin(serve(stream)))
            .await
    }

    async fn server_that(&self, name: &str, act: fn(TlsStream<TcpStream>) -> Act) -> String {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
        serve_with(certificate.der().clone(), key, act).await
    }

    fn trusted_by(&self, base_url: &str) -> RingcxPolicy {
        RingcxPolicy {
            ca_file: Some(self.file.path().to_owned()),
            ..policy(base_url)
        }
    }
}

async fn serve_with(
    certificate: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
    act: fn(TlsStream<TcpStream>) -> Act,
) -> String {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base_url = format!(
        "https://localhost:{}",
        listener.local_addr().unwrap().port()
    );
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move { act(acceptor.accept(stream).await?).await });
        }
    });
    base_url
}

async fn serve(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> io::Result<()> {
    read_request(&mut stream).await?;
    stream
        .write_all(response("200 OK", "", "[]").as_bytes())
        .await?;
    stream.shutdown().await
}

/// Lists under this policy, and tells why nothing was sent if it was not.
async fn listed(policy: &RingcxPolicy) -> Result<usize, String> {
    match list(&api(policy)).await {
        Ok(listing) => Ok(listing.tokens.len()),
        Err(ApiError::Unreachable { why, .. }) => Err(why),
        Err(other) => panic!("neither listed nor unreachable: {other:?}"),
    }
}

#[tokio::test]
async fn a_certificate_of_an_authority_in_the_ca_file_is_trusted() {
    let authority = Authority::new();
    let base_url = authority.server_for("localhost").await;
    assert_eq!(listed(&authority.trusted_by(&base_url)).await, Ok(0));
}

/// As `openssl req -x509` makes it: the server's own certificate, in the ca-file as well.
async fn self_signed(is_ca: IsCa) -> (String, tempfile::NamedTempFile) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    params.is_ca = is_ca;
    let certificate = params.self_signed(&key).unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    io::Write::write_all(&mut file.as_file(), certificate.pem().as_bytes()).unwrap();
    let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
    let base_url = serve_with(certificate.der().clone(), key, |stream| {
        Box::pin(serve(stream))
    })
    .await;
    (base_url, file)
}

#[tokio::test]
async fn a_servers_own_certificate_is_trusted_or_it_is_said_what_to_do() {
    let (base_url, file) = self_signed(IsCa::Ca(BasicConstraints::Unconstrained)).await;
    let policy = RingcxPolicy {
        ca_file: Some(file.path().to_owned()),
        ..policy(&base_url)
    };
    let why = listed(&policy).await.unwrap_err();
    assert!(why.contains(crate::outbound::AUTHORITY_AS_SERVER), "{why}");

    // What that says to do.
    let (base_url, file) = self_signed(IsCa::ExplicitNoCa).await;
    let policy = RingcxPolicy {
        ca_file: Some(file.path().to_owned()),
        ..super::policy(&base_url)
    };
    assert_eq!(listed(&policy).await, Ok(0));
}

/// The authority is renewed on disk while the client lives: the call that finds out fails, and the
/// one after it works.
#[tokio::test]
async fn a_ca_file_renewed_on_disk_is_read_when_a_certificate_is_not_trusted() {
    let (old, new) = (Authority::named("old"), Authority::named("new"));
    let base_url = new.server_for("localhost").await;
    let api = api(&old.trusted_by(&base_url));
    assert!(list(&api).await.is_err());
    put(old.file.path(), &new.issuer.pem());
    assert!(list(&api).await.is_err(), "what was read is in force");
    assert!(list(&api).await.is_ok());

    // One that cannot be read leaves in force what was read.
    put(old.file.path(), "oops");
    assert!(list(&api).await.is_ok());
    let elsewhere = Authority::named("other").server_for("localhost").await;
    let mut policy = old.trusted_by(&elsewhere);
    policy.ca_file = Some(new.file.path().to_owned());
    assert!(
        list(&try_api(&policy, DateTime::UNIX_EPOCH).unwrap())
            .await
            .is_err()
    );
}

#[tokio::test]
async fn a_certificate_of_any_other_authority_is_not_trusted() {
    let authority = Authority::new();
    let base_url = authority.server_for("localhost").await;
    let unknown = "certificate not trusted: its issuer is unknown";
    assert_eq!(
        listed(&Authority::named("another").trusted_by(&base_url)).await,
        Err(unknown.to_owned())
    );
    let of_the_same_name = "certificate not trusted: it is not signed by the issuer it names";
    assert_eq!(
        listed(&Authority::new().trusted_by(&base_url)).await,
        Err(of_the_same_name.to_owned())
    );
}

/// An answer without a length ends with the connection, and TLS tells an end from a cut.
// proves: no-blind-mint
#[tokio::test]
async fn an_answer_of_no_length_that_tls_does_not_end_was_cut() {
    let authority = Authority::new();
    let base_url = authority
        .server_that("localhost", |mut stream| {
            Box::pin(async move {
                read_request(&mut stream).await?;
                let piece = format!("HTTP/1.1 200 OK\r\n\r\n{}", &ONE[..20]);
                stream.write_all(piece.as_bytes()).await?;
                stream.flush().await
            })
        })
        .await;
    let api = api(&authority.trusted_by(&base_url));
    let error = mint(&api).await.err().unwrap();
    assert!(matches!(error, ApiError::NoAnswer { .. }), "{error:?}");
}

#[tokio::test]
async fn a_certificate_for_another_name_is_not_trusted() {
    let authority = Authority::new();
    let base_url = authority.server_for("example.com").await;
    let why = "certificate not trusted: it is for another name";
    assert_eq!(
        listed(&authority.trusted_by(&base_url)).await,
        Err(why.to_owned())
    );
}

#[tokio::test]
async fn a_server_that_does_not_speak_tls_is_unreachable() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base_url = format!(
        "https://localhost:{}",
        listener.local_addr().unwrap().port()
    );
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
            let _ = stream.read_to_end(&mut Vec::new()).await;
        }
    });
    let why = listed(&Authority::new().trusted_by(&base_url))
        .await
        .unwrap_err();
    assert!(why.starts_with("TLS failed: "), "{why}");
}

#[test]
fn a_ca_file_that_is_missing_or_holds_no_certificate_is_told_by_name() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let missing = file.path().with_extension("missing");
    let try_with = |path: &Path| {
        let policy = RingcxPolicy {
            ca_file: Some(path.to_owned()),
            ..policy("https://localhost")
        };
        try_api(&policy, DateTime::UNIX_EPOCH).err().unwrap()
    };
    assert!(
        matches!(try_with(&missing), OutboundError::Trust(TrustError::CaFile { path, .. }) if path == missing)
    );
    assert!(
        matches!(try_with(file.path()), OutboundError::Trust(TrustError::CaFileContent { path, .. }) if path == file.path())
    );
    for garbage in [
        "hello",
        "0\u{2}",
        "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
        "-----BEGIN CERTIFICATE-----\n!!!\n-----END CERTIFICATE-----\n",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    ] {
        let file = tempfile::NamedTempFile::new().unwrap();
        io::Write::write_all(&mut file.as_file(), garbage.as_bytes()).unwrap();
        let error = try_with(file.path());
        assert!(
            matches!(
                error,
                OutboundError::Trust(TrustError::CaFileContent { .. })
            ),
            "{garbage}: {error}"
        );
    }
}

const WITHOUT_STORE: &str = "RINGCX_ROTATOR_TEST_WITHOUT_STORE";

/// The store is found through the environment, which no test may change: so the test runs once
/// more, in a process of its own.
#[tokio::test]
async fn without_a_system_store_loopback_and_a_ca_file_still_work() {
    if std::env::var_os(WITHOUT_STORE).is_none() {
        let name =
            "ringcx::http::tests::tls::without_a_system_store_loopback_and_a_ca_file_still_work";
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", name, "--nocapture"])
            .env(WITHOUT_STORE, "1")
            .env("SSL_CERT_FILE", "/nonexistent/file")
            .env("SSL_CERT_DIR", "/nonexistent/dir")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&child.stdout);
        assert!(
            child.status.success() && said.contains("1 passed"),
            "{said}"
        );
        return;
    }
    let error = try_api(&policy("https://localhost"), DateTime::UNIX_EPOCH)
        .err()
        .unwrap();
    assert!(
        matches!(error, OutboundError::Trust(TrustError::Tls { .. })),
        "{error:?}"
    );
    assert!(error.to_string().contains("No CA certificates"), "{error}");

    let server = Server::answering(response("200 OK", "", "[]")).await;
    assert!(list(&server.api()).await.is_ok());

    let authority = Authority::new();
    let base_url = authority.server_for("localhost").await;
    assert_eq!(listed(&authority.trusted_by(&base_url)).await, Ok(0));
}
