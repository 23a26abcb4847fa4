//! Which way a connection takes: directly, or by which proxy, and why.
//!
//! Decided by the address as it is written: no name is resolved for it. What this file does not
//! know: how a connection is made.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::HeaderValue;
use url::Url;

use crate::secret_source::{self, SecretError};
use rotator_core::config::{
    NetworkPolicy, NoProxy, ProxyAddress, ProxyAddressError, ProxyChoice, ProxyLogin, is_loopback,
};

/// The way to a host.
#[derive(Clone)]
pub enum OutboundRoute {
    /// Without a proxy, and whose word that is.
    Direct(&'static str),
    /// By this proxy.
    Proxy {
        /// Where it listens.
        address: ProxyAddress,
        /// Where it is named: `proxy`, or the name of a variable.
        named_by: &'static str,
        /// What it is told that asks who connects.
        login: RouteLogin,
    },
}

/// What a proxy is told that asks who connects.
#[derive(Clone)]
pub enum RouteLogin {
    /// Nothing.
    None,
    /// What the policy's sources hold at each use.
    Policy(ProxyLogin),
    /// What stands in the variable, as the header's value.
    Environment(HeaderValue),
}

/// The environment names a proxy that cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{variable}: {why}; correct it, or set `proxy` in [network]")]
pub struct RouteError {
    /// Name of the variable.
    variable: &'static str,
    /// What is wrong with it, without its value.
    why: ProxyAddressError,
}

impl OutboundRoute {
    /// The way to this address, as the environment is now.
    pub fn by_environment(url: &Url, network: &NetworkPolicy) -> Result<Self, RouteError> {
        Self::to(url, network, |name| std::env::var(name).ok())
    }

    /// The same for any environment. `environment` reads a variable.
    fn to(
        url: &Url,
        network: &NetworkPolicy,
        environment: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, RouteError> {
        if is_loopback(url) {
            return Ok(Self::Direct("it is on this machine"));
        }
        if network.no_proxy.iter().any(|entry| entry.fits(url)) {
            return Ok(Self::Direct("`no-proxy`"));
        }
        let address = match &network.proxy {
            ProxyChoice::Never => return Ok(Self::Direct("`proxy = \"none\"`")),
            ProxyChoice::Through(address) => address.clone(),
            ProxyChoice::Environment => return of_environment(url, network, environment),
        };
        let login = network.login.clone();
        Ok(Self::Proxy {
            address,
            named_by: "proxy",
            login: login.map_or(RouteLogin::None, RouteLogin::Policy),
        })
    }

    /// The proxy, if there is one.
    pub fn through(&self) -> Option<&ProxyAddress> {
        match self {
            Self::Direct(_) => None,
            Self::Proxy { address, .. } => Some(address),
        }
    }

    /// The value of `Proxy-Authorization`, its secrets just read.
    pub(super) async fn login(&self) -> Result<Option<HeaderValue>, SecretError> {
        let login = match self {
            Self::Direct(_) => return Ok(None),
            Self::Proxy { login, .. } => login,
        };
        match login {
            RouteLogin::None => Ok(None),
            RouteLogin::Environment(value) => Ok(Some(value.clone())),
            RouteLogin::Policy(login) => {
                let username = secret_source::read_async(&login.username).await?;
                let password = secret_source::read_async(&login.password).await?;
                Ok(Some(basic(username.expose(), password.expose())))
            }
        }
    }
}

impl fmt::Display for OutboundRoute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Direct(why) => write!(f, "directly ({why})"),
            Self::Proxy {
                address, named_by, ..
            } => write!(f, "through the proxy {address} (`{named_by}`)"),
        }
    }
}

fn of_environment(
    url: &Url,
    network: &NetworkPolicy,
    environment: impl Fn(&str) -> Option<String>,
) -> Result<OutboundRoute, RouteError> {
    // In lower case first, as curl has it; an empty variable is none.
    let get = |names: &[&'static str]| {
        names.iter().find_map(|name| {
            let text = environment(name)?;
            let text = text.trim();
            (!text.is_empty()).then(|| (*name, text.to_owned()))
        })
    };
    let named = match url.scheme() {
        "https" => get(&["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"]),
        _ => get(&["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"]),
    };
    let Some((variable, text)) = named else {
        return Ok(OutboundRoute::Direct("no proxy is set"));
    };
    if let Some((_, list)) = get(&["no_proxy", "NO_PROXY"]) {
        let entries = list.split([',', ' ', '\t']).filter_map(NoProxy::parse);
        if entries.into_iter().any(|entry| entry.fits(url)) {
            return Ok(OutboundRoute::Direct("`NO_PROXY`"));
        }
    }
    let (address, own) = split(&text).map_err(|why| RouteError { variable, why })?;
    Ok(OutboundRoute::Proxy {
        address,
        named_by: variable,
        login: match (&network.login, own) {
            (Some(login), _) => RouteLogin::Policy(login.clone()),
            (None, Some(own)) => RouteLogin::Environment(own),
            (None, None) => RouteLogin::None,
        },
    })
}

/// A variable may hold a login before its `@`; percent-encoded, as in any address.
fn split(text: &str) -> Result<(ProxyAddress, Option<HeaderValue>), ProxyAddressError> {
    let text = match text.contains("://") {
        true => text.to_owned(),
        false => format!("http://{text}"),
    };
    let mut url = Url::parse(&text).map_err(|_| ProxyAddressError::Form)?;
    let login = (!url.username().is_empty() || url.password().is_some()).then(|| {
        let password = url.password().unwrap_or_default();
        basic(&decoded(url.username()), &decoded(password))
    });
    url.set_username("").map_err(|()| ProxyAddressError::Form)?;
    url.set_password(None)
        .map_err(|()| ProxyAddressError::Form)?;
    // Of a variable that is shared with other programs, what follows the port is of no concern.
    url.set_path("");
    Ok((ProxyAddress::try_new(url)?, login))
}

fn decoded(text: &str) -> String {
    let decoded = percent_encoding::percent_decode_str(text);
    decoded.decode_utf8_lossy().into_owned()
}

fn basic(username: &str, password: &str) -> HeaderValue {
    let pair = STANDARD.encode(format!("{username}:{password}"));
    let mut value =
        HeaderValue::from_str(&format!("Basic {pair}")).expect("base64 is visible ASCII");
    // Keeps it out of debug output of the headers.
    value.set_sensitive(true);
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The way to an address, and what is read of the environment.
    #[track_caller]
    fn goes(url: &str, network: &NetworkPolicy, environment: &[(&str, &str)], way: &str) {
        let read = |name: &str| {
            let found = environment.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        let route = OutboundRoute::to(&Url::parse(url).unwrap(), network, read);
        let shown = match route {
            Ok(route) => route.to_string(),
            Err(error) => error.to_string(),
        };
        assert_eq!(shown, way, "{url} {environment:?}");
    }

    const FAR: &str = "https://ringcx.example.com/prefix";

    #[test]
    fn the_environment_counts_in_either_case_where_the_policy_is_silent() {
        let network = NetworkPolicy::default();
        let by = |address: &str, name: &str| format!("through the proxy {address} (`{name}`)");
        goes(FAR, &network, &[], "directly (no proxy is set)");
        goes(
            FAR,
            &network,
            &[("HTTPS_PROXY", " ")],
            "directly (no proxy is set)",
        );
        for name in ["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"] {
            let way = by("http://p:3128", name);
            goes(FAR, &network, &[(name, "http://p:3128")], &way);
            goes(FAR, &network, &[(name, "p:3128/")], &way);
            goes(FAR, &network, &[(name, "http://u:canary@p:3128")], &way);
        }
        goes(
            FAR,
            &network,
            &[("HTTP_PROXY", "http://p:3128")],
            "directly (no proxy is set)",
        );
        let both = [("HTTPS_PROXY", "http://a:1"), ("https_proxy", "http://b:2")];
        goes(FAR, &network, &both, &by("http://b:2", "https_proxy"));
        let both = [("https_proxy", ""), ("HTTPS_PROXY", "http://a:1")];
        goes(FAR, &network, &both, &by("http://a:1", "HTTPS_PROXY"));
        for name in ["no_proxy", "NO_PROXY"] {
            for list in [
                "x, .example.com",
                "ringcx.example.com:443",
                "*",
                "a b example.com",
            ] {
                let set = [("HTTPS_PROXY", "http://p:3128"), (name, list)];
                goes(FAR, &network, &set, "directly (`NO_PROXY`)");
            }
        }
        let socks =
            "ALL_PROXY: not an http or https proxy; correct it, or set `proxy` in [network]";
        goes(
            FAR,
            &network,
            &[("ALL_PROXY", "socks5://u:canary@p:1080")],
            socks,
        );
    }

    #[test]
    fn the_policy_comes_before_the_environment() {
        let set = [("HTTPS_PROXY", "http://p:3128"), ("NO_PROXY", "*")];
        let mut network = NetworkPolicy {
            proxy: ProxyChoice::Through(ProxyAddress::parse("https://q:8443").unwrap()),
            ..NetworkPolicy::default()
        };
        goes(
            FAR,
            &network,
            &set,
            "through the proxy https://q:8443 (`proxy`)",
        );
        network.no_proxy = vec![NoProxy::parse("example.com").unwrap()];
        goes(FAR, &network, &set, "directly (`no-proxy`)");
        network.proxy = ProxyChoice::Environment;
        goes(FAR, &network, &set, "directly (`no-proxy`)");
        network.no_proxy.clear();
        network.proxy = ProxyChoice::Never;
        goes(FAR, &network, &set, "directly (`proxy = \"none\"`)");
    }

    #[test]
    fn what_is_on_this_machine_never_goes_by_a_proxy() {
        let network = NetworkPolicy {
            proxy: ProxyChoice::Through(ProxyAddress::parse("http://p:3128").unwrap()),
            ..NetworkPolicy::default()
        };
        for host in [
            "localhost",
            "LOCALHOST.",
            "127.0.0.1",
            "127.1.2.3:8443",
            "[::1]",
        ] {
            goes(
                &format!("https://{host}"),
                &network,
                &[],
                "directly (it is on this machine)",
            );
        }
        // A name that resolves to this machine is a name as any other.
        let way = "through the proxy http://p:3128 (`proxy`)";
        goes("https://localhost.localdomain", &network, &[], way);
    }

    #[test]
    fn a_login_of_the_environment_is_decoded_and_never_shown() {
        let (address, login) = split("http://me:can%40ary@p:3128").unwrap();
        assert_eq!(address.to_string(), "http://p:3128");
        let login = login.unwrap();
        assert_eq!(login, basic("me", "can@ary"));
        assert_eq!(format!("{login:?}"), "Sensitive");
    }
}
