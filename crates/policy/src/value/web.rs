//! Web addresses, hosts and headers. Any of them may hold a secret, so no error repeats what is
//! written.

use rotator_core::config::{NoProxy, ProxyAddress, ProxyAddressError, ProxyChoice};

use http::{HeaderName, HeaderValue};
use url::{Host, Url};

use super::{ValueError, ValueKind, kind};

/// The address of RingCX: `https`, or `http` on loopback; a path prefix but no query.
pub(crate) const BASE_URL: ValueKind<Url> = kind(
    "an address such as \"https://ringcx.ringcentral.com\"",
    |text| {
        let url = web_address(text)?;
        // Calls only add to its path, so a query would be sent with each of them.
        match url.query() {
            Some(_) => Err(ValueError::new("the address has a query")
                .help(Some("leave out what follows the ?".to_owned()))),
            None => without(url, &["voice", "api/auth"]),
        }
    },
);

/// The address of RingEX, by the same rules.
pub(crate) const RINGEX_URL: ValueKind<Url> = kind(
    "an address such as \"https://platform.ringcentral.com\"",
    |text| without((BASE_URL.parse)(text)?, &["restapi"]),
);

/// Refuses an address with the path of a call in it, as API documentation prints it: every call
/// would go to an address that does not exist.
fn without(url: Url, calls: &[&str]) -> Result<Url, ValueError> {
    let path = format!("{}/", url.path().to_ascii_lowercase());
    let call = calls
        .iter()
        .filter_map(|call| Some((path.find(&format!("/{call}/"))?, call)))
        .min();
    let Some((at, call)) = call else {
        return Ok(url);
    };
    let origin = url.origin().ascii_serialization();
    let help = format!("write `{origin}{}`", &url.path()[..at]);
    Err(ValueError::new(format!(
        "the address goes on to /{call}, which each call adds"
    ))
    .help(Some(help)))
}

/// `proxy = "…"`
pub(crate) const PROXY: ValueKind<ProxyChoice> = kind(
    "an address such as \"http://proxy.example.com:3128\", or \"none\"",
    |text| {
        if text == "none" {
            return Ok(ProxyChoice::Never);
        }
        let help = |error| match error {
            ProxyAddressError::Login => {
                "leave out what is before the @: name the sources of both as `proxy-username` and \
                 `proxy-password` in [network]"
            }
            ProxyAddressError::Form | ProxyAddressError::Scheme | ProxyAddressError::More => {
                "write `http://` or `https://`, its host and its port, or \"none\""
            }
        };
        ProxyAddress::parse(text)
            .map(ProxyChoice::Through)
            .map_err(|error| ValueError::new(error.to_string()).help(Some(help(error).to_owned())))
    },
);

/// An item of `no-proxy`.
pub(crate) const NO_PROXY: ValueKind<NoProxy> = kind(
    "a host, a domain or a network such as \"10.0.0.0/8\"",
    |text| {
        NoProxy::parse(text).ok_or_else(|| {
            ValueError::new("not a host, a domain or a network").help(Some(
                "write a name such as `crm.internal` (names below it are meant too), an address, \
                 or a network such as `10.0.0.0/8`; without `http://`"
                    .to_owned(),
            ))
        })
    },
);

/// The address of a webhook. It may have a query.
pub(crate) const WEBHOOK_URL: ValueKind<Url> = kind(
    "an address such as \"https://example.com/hook\"",
    web_address,
);

/// Headers that the daemon or its HTTP client sets. In lower case, as `HeaderName` gives them.
const OURS: [&str; 12] = [
    "content-type",
    "content-length",
    "content-encoding",
    "host",
    "user-agent",
    "connection",
    "keep-alive",
    "transfer-encoding",
    "te",
    "trailer",
    "upgrade",
    "expect",
];

fn web_address(text: &str) -> Result<Url, ValueError> {
    let refuse =
        |message: &str, help: &str| Err(ValueError::new(message).help(Some(help.to_owned())));
    let Ok(url) = Url::parse(text) else {
        return refuse(
            "not an address",
            "write all of it, such as `https://example.com`",
        );
    };
    let Some(host) = url.host() else {
        return refuse("the address has no host", "write `https://` and a host");
    };
    // A secret in the address would be shown wherever the address is.
    if !url.username().is_empty() || url.password().is_some() {
        return refuse(
            "the address has a user or a password",
            "leave out what is before the @",
        );
    }
    if url.fragment().is_some() {
        return refuse("the address has a fragment", "leave out what follows the #");
    }
    // A token over plain http could be read on the way; on loopback there is no way.
    match url.scheme() {
        "https" => Ok(url),
        "http" if is_loopback(&host.to_owned()) => Ok(url),
        "http" => refuse(
            "plain http to another machine",
            "use https:// (http:// is only for loopback)",
        ),
        _ => refuse("not a web address", "use https:// (or http:// on loopback)"),
    }
}

/// Whether the host is this machine, without asking a name server.
pub(crate) fn is_loopback(host: &Host) -> bool {
    match host {
        // `localhost.` is the same name, written as fully qualified.
        Host::Domain(name) => name.trim_end_matches('.').eq_ignore_ascii_case("localhost"),
        Host::Ipv4(address) => address.is_loopback(),
        Host::Ipv6(address) => address.is_loopback(),
    }
}

/// A host by name or address. The first part is how it is connected to, an IPv6 address without
/// brackets.
pub(crate) const HOST: ValueKind<(String, Host)> =
    kind("a host such as \"smtp.example.com\"", |text| {
        let refuse = || {
            ValueError::new("not a host").help(Some(
                "write its name or address alone, without scheme, user or port".to_owned(),
            ))
        };
        // Stricter than `Host::parse`, which decodes percent signs.
        let plain = |c: char| c.is_alphanumeric() || ".-:[]_".contains(c);
        if !text.chars().all(plain) {
            return Err(refuse());
        }
        // An IPv6 address may come with or without its brackets.
        let host = match text.parse() {
            Ok(address) => Ok(Host::Ipv6(address)),
            Err(_) => Host::parse(text),
        };
        let host = host.map_err(|_| refuse())?;
        let name = match &host {
            Host::Domain(name) => name.clone(),
            Host::Ipv4(address) => address.to_string(),
            Host::Ipv6(address) => address.to_string(),
        };
        Ok((name, host))
    });

/// The name of a header that a policy may add, in lower case.
pub(crate) fn header_name(text: &str) -> Result<String, ValueError> {
    let Ok(name) = HeaderName::try_from(text) else {
        return Err(ValueError::new("not the name of a header"));
    };
    // The `webhook-*` headers are part of the signed request.
    let ours = name.as_str().starts_with("webhook-") || OURS.contains(&name.as_str());
    if ours {
        let help = "content-type, webhook-* and the headers of the connection cannot be set \
            in the policy";
        return Err(ValueError::new("this header is set by the daemon").help(Some(help.to_owned())));
    }
    Ok(name.as_str().to_owned())
}

/// The value of a header that a policy may add.
pub(crate) fn header_value(text: &str) -> Result<String, ValueError> {
    let printable = text.bytes().all(|b| b == b' ' || b.is_ascii_graphic());
    // `HeaderValue` also takes bytes above 127, which servers read in different encodings.
    if printable && HeaderValue::try_from(text).is_ok() && text.trim() == text {
        return Ok(text.to_owned());
    }
    Err(ValueError::new("not the value of a header").help(Some(
        "it is one line of printable ASCII, without blanks around it".to_owned(),
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn http_is_for_loopback_only() {
        for good in [
            "https://ringcx.ringcentral.com",
            "http://localhost:8080",
            "http://127.0.0.1:1/prefix",
            "http://127.8.9.10",
            "http://[::1]:99",
        ] {
            assert!((BASE_URL.parse)(good).is_ok(), "{good}");
        }
        for bad in [
            "http://ringcx.ringcentral.com",
            "http://localhost.example.com",
            "http://10.0.0.1",
            "http://[::2]",
            "ftp://localhost",
            "ringcx.ringcentral.com",
            "https://",
            "file:///etc/passwd",
            "",
        ] {
            assert!((BASE_URL.parse)(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_address_with_more_than_an_address_is_refused_and_not_repeated() {
        for bad in [
            "https://u:canary@h",
            "https://canary@h",
            "https://h/?canary",
            "https://h/#canary",
            "http://h/canary",
        ] {
            let refusal = (BASE_URL.parse)(bad).unwrap_err();
            assert!(!format!("{refusal:?}").contains("canary"), "{refusal:?}");
        }
        assert!((WEBHOOK_URL.parse)("https://h/hook?key=1").is_ok());
        assert!((WEBHOOK_URL.parse)("https://u@h/hook").is_err());
    }

    #[test]
    fn a_host_is_a_name_or_an_address_alone() {
        for (text, name, loopback) in [
            ("smtp.example.com", "smtp.example.com", false),
            ("localhost", "localhost", true),
            ("127.0.0.1", "127.0.0.1", true),
            ("::1", "::1", true),
            ("[::1]", "::1", true),
        ] {
            let (got, host) = (HOST.parse)(text).unwrap();
            assert_eq!(
                (got.as_str(), is_loopback(&host)),
                (name, loopback),
                "{text}"
            );
        }
        for bad in ["", "smtp://h", "h:587", "u@h", "a b", "h/x"] {
            assert!((HOST.parse)(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn our_own_headers_are_not_the_policys_to_set() {
        assert_eq!(header_name("X-Tenant").unwrap(), "x-tenant");
        assert_eq!(header_name("Authorization").unwrap(), "authorization");
        for bad in [
            "Content-Type",
            "webhook-id",
            "WEBHOOK-SIGNATURE",
            "host",
            "",
            "a b",
            "a:",
            "ä",
        ] {
            assert!(header_name(bad).is_err(), "{bad}");
        }
        for (value, good) in [
            ("sales", true),
            ("a b", true),
            ("", true),
            ("a\r\nb: c", false),
            ("ä", false),
            (" a", false),
        ] {
            assert_eq!(header_value(value).is_ok(), good, "{value:?}");
        }
    }
}
