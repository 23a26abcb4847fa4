//! Why a request failed, in a few words for an operator.
//!
//! reqwest's own error text carries the URL, and with it the login's password or a token: so it is
//! never shown. What is shown is the innermost cause, said in our words where it is a usual one,
//! and scrubbed where it is not.

use std::error::Error;
use std::io;

use rotator_core::config::ProxyAddress;
use rotator_core::secret::redact;
use rustls::{CertificateError, OtherError};

/// What hyper-util's errors of a tunnel begin with; their type is not part of reqwest's interface.
const TUNNEL: &str = "tunnel error: ";

/// Why no answer came, or no client could be made. What a proxy did is told as the proxy's.
pub fn of(error: &reqwest::Error, proxy: Option<&ProxyAddress>) -> String {
    let Some(proxy) = proxy.filter(|_| error.is_connect()) else {
        return directly(error);
    };
    if error.is_timeout() {
        return format!("timed out while connecting through the proxy {proxy}");
    }
    let texts = causes(error).into_iter().map(|cause| cause.to_string());
    let tunnel = texts
        .into_iter()
        .find_map(|text| Some(text.strip_prefix(TUNNEL)?.to_owned()));
    match tunnel.as_deref() {
        Some("proxy authorization required") => format!(
            "the proxy {proxy} wants a login, or another one (407): see proxy-username and \
             proxy-password"
        ),
        Some("unsuccessful") => {
            // The library keeps the status to itself; some answer 401 to a wrong login.
            format!(
                "the proxy {proxy} refused, or does not reach the host itself; if it wants a login: \
                 see proxy-username and proxy-password"
            )
        }
        Some("unexpected end of file") => format!("the proxy {proxy} closed the connection"),
        Some("failed to create underlying connection" | "io error establishing tunnel") => {
            format!("the proxy {proxy} cannot be reached: {}", directly(error))
        }
        Some(_) => format!("the proxy {proxy} gave an answer that makes no sense"),
        // Behind the proxy, that is of the host itself; but one that inspects TLS shows here too.
        None => format!("{} (through the proxy {proxy})", directly(error)),
    }
}

/// Whether the certificate was not trusted, which another set of authorities may change.
pub fn is_about_trust(error: &reqwest::Error) -> bool {
    causes(error)
        .iter()
        .filter_map(|cause| cause.downcast_ref::<rustls::Error>())
        .any(|error| matches!(error, rustls::Error::InvalidCertificate(_)))
}

fn directly(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        let during = if error.is_connect() {
            "while connecting"
        } else {
            "while waiting for an answer"
        };
        return format!("timed out {during}");
    }
    let causes = causes(error);
    // Before the I/O errors: a TLS error comes inside one, whose kind says less.
    if let Some(tls) = causes
        .iter()
        .find_map(|cause| cause.downcast_ref::<rustls::Error>())
    {
        return of_tls(tls);
    }
    if error.is_dns() {
        return "name does not resolve".to_owned();
    }
    let io = causes
        .iter()
        .rev()
        .find_map(|cause| cause.downcast_ref::<io::Error>());
    if let Some(why) = io.and_then(|io| of_io(io.kind())) {
        return why.to_owned();
    }
    match causes.last().map(|cause| cause.to_string()) {
        // hyper's words for it; its error type is not part of reqwest's interface.
        Some(text) if text == "connection closed before message completed" => {
            "connection closed before an answer".to_owned()
        }
        Some(text) => redact::line(&text, &[]),
        None => "the request could not be made".to_owned(),
    }
}

fn of_io(kind: io::ErrorKind) -> Option<&'static str> {
    Some(match kind {
        io::ErrorKind::ConnectionRefused => "connection refused",
        io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::BrokenPipe => "connection reset",
        io::ErrorKind::HostUnreachable => "no route to the host",
        io::ErrorKind::NetworkUnreachable | io::ErrorKind::NetworkDown => {
            "the network is unreachable"
        }
        io::ErrorKind::TimedOut => "timed out while connecting",
        io::ErrorKind::UnexpectedEof => "connection closed before an answer",
        _ => return None,
    })
}

fn of_tls(error: &rustls::Error) -> String {
    let rustls::Error::InvalidCertificate(why) = error else {
        return format!("TLS failed: {}", redact::line(&error.to_string(), &[]));
    };
    let why = match why {
        CertificateError::UnknownIssuer => "its issuer is unknown".to_owned(),
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "it has expired".to_owned()
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "it is not valid yet".to_owned()
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "it is for another name".to_owned()
        }
        CertificateError::BadSignature => "it is not signed by the issuer it names".to_owned(),
        CertificateError::Revoked => "it was revoked".to_owned(),
        CertificateError::Other(OtherError(why)) => return of_webpki(&why.to_string()),
        other => redact::line(&other.to_string(), &[]),
    };
    format!("certificate not trusted: {why}")
}

/// Where a server shows an authority's own certificate, which `openssl req -x509` makes unless told
/// otherwise.
pub const AUTHORITY_AS_SERVER: &str = "the server shows an authority's own certificate; make it \
    anew with `openssl req -x509 -addext basicConstraints=critical,CA:FALSE`, or have an authority \
    sign one for the server and name that authority's as ca-file";

/// What webpki says by the name of its error alone.
fn of_webpki(name: &str) -> String {
    let why = match name {
        "CaUsedAsEndEntity" => AUTHORITY_AS_SERVER,
        "UnsupportedCertVersion" => "it is of an old version of X.509; make it anew with version 3",
        other => &redact::line(other, &[]),
    };
    format!("certificate not trusted: {why}")
}

/// Every cause below the error itself, outermost first. `io::Error` hides what it wraps from
/// [`Error::source`], so that is asked for by its own name.
fn causes(error: &reqwest::Error) -> Vec<&(dyn Error + 'static)> {
    let mut causes = Vec::new();
    let mut next = error.source();
    while let Some(cause) = next {
        causes.push(cause);
        let wrapped = cause
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref);
        next = match wrapped {
            Some(wrapped) => Some(wrapped),
            None => cause.source(),
        };
    }
    causes
}
