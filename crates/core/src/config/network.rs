//! How connections leave this machine: by a proxy or not.

use std::fmt;
use std::time::Duration;

use ipnet::IpNet;
use url::{Host, Url};

use crate::secret::SecretSource;

/// `[network]`, as it holds for one destination.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NetworkPolicy {
    /// Whose word counts for the proxy.
    pub proxy: ProxyChoice,
    /// What a proxy is told that asks who connects.
    pub login: Option<ProxyLogin>,
    /// Hosts that are reached without a proxy.
    pub no_proxy: Vec<NoProxy>,
}

impl NetworkPolicy {
    /// The sources of the proxy's login.
    pub fn secrets(&self) -> impl Iterator<Item = &SecretSource> {
        let login = self.login.iter();
        login.flat_map(|login| [&login.username, &login.password])
    }

    /// The same, to be replaced.
    pub fn secrets_mut(&mut self) -> Vec<&mut SecretSource> {
        let login = self.login.iter_mut();
        login
            .flat_map(|login| [&mut login.username, &mut login.password])
            .collect()
    }

    /// How long reading the proxy's login may take, where that is limited.
    pub fn longest_read(&self) -> Duration {
        let reads = self.secrets().map(SecretSource::longest_read);
        reads.fold(Duration::ZERO, Duration::saturating_add)
    }
}

/// Which proxy is used.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum ProxyChoice {
    /// What `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY` say.
    #[default]
    Environment,
    /// None, whatever the environment says.
    Never,
    /// This one, whatever the environment says.
    Through(ProxyAddress),
}

/// `proxy-username` and `proxy-password`, both read at each use.
#[derive(Clone, Debug, PartialEq)]
pub struct ProxyLogin {
    /// The user's name at the proxy.
    pub username: SecretSource,
    /// The user's password at the proxy.
    pub password: SecretSource,
}

/// The address of a proxy: http or https, host and port, and nothing else.
#[derive(Clone, PartialEq)]
pub struct ProxyAddress(Url);

/// Why a text is not the address of a proxy. Never repeats it: it may hold a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProxyAddressError {
    /// It cannot be read as an address.
    #[error("not the address of a proxy")]
    Form,
    /// A proxy of another kind, such as SOCKS.
    #[error("not an http or https proxy")]
    Scheme,
    /// What stands before an `@`.
    #[error("the proxy's address has a user or a password")]
    Login,
    /// More than host and port.
    #[error("the proxy's address has more than a host and a port")]
    More,
}

impl ProxyAddress {
    /// Reads `http://proxy.example.com:3128`, or the same without its scheme.
    pub fn parse(text: &str) -> Result<Self, ProxyAddressError> {
        let url = match text.contains("://") {
            true => Url::parse(text),
            false => Url::parse(&format!("http://{text}")),
        };
        Self::try_new(url.map_err(|_| ProxyAddressError::Form)?)
    }

    /// Takes an address that may be any.
    pub fn try_new(url: Url) -> Result<Self, ProxyAddressError> {
        if !["http", "https"].contains(&url.scheme()) {
            return Err(ProxyAddressError::Scheme);
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(ProxyAddressError::Login);
        }
        if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
            return Err(ProxyAddressError::More);
        }
        Ok(Self(url))
    }

    /// The address, which holds no secret.
    pub fn url(&self) -> &Url {
        &self.0
    }
}

impl fmt::Display for ProxyAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.origin().ascii_serialization())
    }
}

impl fmt::Debug for ProxyAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// One entry of `no-proxy` or of `NO_PROXY`.
#[derive(Clone, Debug, PartialEq)]
pub enum NoProxy {
    /// `*`: every host.
    All,
    /// `example.com`, `.example.com` or `*.example.com`: this name and all below it.
    Name {
        /// In lower case, without a dot at its ends.
        name: String,
        /// Only on this port.
        port: Option<u16>,
    },
    /// `10.0.0.0/8`, or one address. Names are not resolved: it fits only a host that is written as
    /// an address.
    Net {
        /// The addresses.
        net: IpNet,
        /// Only on this port.
        port: Option<u16>,
    },
}

impl NoProxy {
    /// `None` where the text is no host, network or `*`.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        if text == "*" {
            return Some(Self::All);
        }
        if let Some(net) = net(text) {
            return Some(Self::Net { net, port: None });
        }
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) => (host, Some(port.parse().ok()?)),
            None => (text, None),
        };
        if let Some(net) = net(host) {
            return Some(Self::Net { net, port });
        }
        let name = host.strip_prefix('*').unwrap_or(host);
        let name = name.strip_prefix('.').unwrap_or(name);
        match Host::parse(name).ok()? {
            Host::Domain(name) if !name.contains('*') => Some(Self::Name {
                name: name.trim_end_matches('.').to_owned(),
                port,
            }),
            Host::Domain(_) | Host::Ipv4(_) | Host::Ipv6(_) => None,
        }
    }

    /// Whether a proxy is left out for this address.
    pub fn fits(&self, url: &Url) -> bool {
        let on = |port: &Option<u16>| port.is_none() || *port == url.port_or_known_default();
        match (self, url.host()) {
            (Self::All, _) => true,
            (Self::Name { name, port }, Some(Host::Domain(host))) => {
                let host = host.trim_end_matches('.');
                let below = host.strip_suffix(name.as_str());
                on(port) && below.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
            }
            (Self::Net { net, port }, Some(host)) => on(port) && contains(net, &host),
            (Self::Name { .. }, _) | (Self::Net { .. }, None) => false,
        }
    }
}

/// A network, or one address, with or without brackets.
fn net(text: &str) -> Option<IpNet> {
    let bare = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'))
        .unwrap_or(text);
    if let Ok(net) = bare.parse() {
        return Some(net);
    }
    let bracketed = format!("[{bare}]");
    let address = Host::parse(if bare.contains(':') { &bracketed } else { bare });
    match address.ok()? {
        Host::Ipv4(address) => Some(IpNet::V4(address.into())),
        Host::Ipv6(address) => Some(IpNet::V6(address.into())),
        Host::Domain(_) => None,
    }
}

/// An IPv4 address that is written as an IPv6 one is the IPv4 address.
fn contains(net: &IpNet, host: &Host<&str>) -> bool {
    match (net, host) {
        (IpNet::V4(net), Host::Ipv4(host)) => net.contains(host),
        (IpNet::V6(net), Host::Ipv6(host)) => net.contains(host),
        (IpNet::V4(net), Host::Ipv6(host)) => {
            let mapped = host.to_ipv4_mapped();
            mapped.is_some_and(|host| net.contains(&host))
        }
        (IpNet::V6(_), Host::Ipv4(_)) | (_, Host::Domain(_)) => false,
    }
}

/// Whether this address is on this machine as it is written: `localhost`, or a loopback address.
/// No name server is asked.
pub fn is_loopback(url: &Url) -> bool {
    match url.host() {
        // `localhost.` is the same name, written as fully qualified.
        Some(Host::Domain(name)) => name.trim_end_matches('.') == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => {
            let mapped = address.to_ipv4_mapped();
            address.is_loopback() || mapped.is_some_and(|address| address.is_loopback())
        }
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    #[test]
    fn a_proxy_is_an_http_address_and_nothing_else() {
        for (text, shown) in [
            (
                "http://proxy.example.com:3128",
                "http://proxy.example.com:3128",
            ),
            ("https://proxy.example.com/", "https://proxy.example.com"),
            ("proxy.example.com:3128", "http://proxy.example.com:3128"),
            ("10.0.0.1:8080", "http://10.0.0.1:8080"),
            ("http://[fd00::1]:3128", "http://[fd00::1]:3128"),
        ] {
            assert_eq!(ProxyAddress::parse(text).unwrap().to_string(), shown);
        }
        for (text, error) in [
            ("", ProxyAddressError::Form),
            ("http://", ProxyAddressError::Form),
            ("a b", ProxyAddressError::Form),
            ("socks5://proxy:1080", ProxyAddressError::Scheme),
            ("http://u:canary@proxy:3128", ProxyAddressError::Login),
            ("u@proxy:3128", ProxyAddressError::Login),
            ("http://proxy:3128/path", ProxyAddressError::More),
            ("http://proxy:3128?q", ProxyAddressError::More),
        ] {
            assert_eq!(ProxyAddress::parse(text), Err(error), "{text}");
            assert!(!error.to_string().contains("canary"));
        }
    }

    #[test]
    fn a_host_needs_no_proxy_by_name_suffix_address_or_network() {
        for (entry, fits, not) in [
            (
                "example.com",
                &["https://example.com", "https://a.b.EXAMPLE.com./x"][..],
                &["https://notexample.com", "https://example.com.org"][..],
            ),
            (
                ".example.com",
                &["https://example.com", "https://a.example.com"],
                &[],
            ),
            (
                "*.Example.com",
                &["https://a.example.com"],
                &["https://example.org"],
            ),
            (
                "crm.internal:8443",
                &["https://crm.internal:8443"],
                &["https://crm.internal"],
            ),
            (
                "example.com:443",
                &["https://example.com"],
                &["https://example.com:444"],
            ),
            (
                "10.0.0.0/8",
                &["https://10.1.2.3"],
                &["https://11.0.0.1", "https://ten.example"],
            ),
            ("10.1.2.3", &["https://10.1.2.3:9"], &["https://10.1.2.4"]),
            ("10.1.2.3:9", &["https://10.1.2.3:9"], &["https://10.1.2.3"]),
            ("fd00::/8", &["https://[fd00::1]"], &["https://[fe00::1]"]),
            (
                "[fd00::1]:443",
                &["https://[fd00::1]"],
                &["https://[fd00::1]:444"],
            ),
            ("10.0.0.0/8", &["https://[::ffff:10.0.0.1]"], &[]),
            ("*", &["https://example.com", "https://10.0.0.1"], &[]),
        ] {
            let parsed = NoProxy::parse(entry).expect(entry);
            for address in fits {
                assert!(parsed.fits(&url(address)), "{entry} {address}");
            }
            for address in not {
                assert!(!parsed.fits(&url(address)), "{entry} {address}");
            }
        }
        for bad in ["", "a b", "http://x", "10.0.0.0/33", "x:y", "a.*.b", "*.*"] {
            assert_eq!(NoProxy::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn this_machine_is_known_by_how_it_is_written() {
        for address in [
            "https://localhost:1",
            "https://LOCALHOST.",
            "https://127.9.9.9",
            "https://[::1]",
            "https://[::ffff:127.0.0.1]",
        ] {
            assert!(is_loopback(&url(address)), "{address}");
        }
        for address in [
            "https://localhost.example.com",
            "https://10.0.0.1",
            "https://mylocalhost",
        ] {
            assert!(!is_loopback(&url(address)), "{address}");
        }
    }
}
