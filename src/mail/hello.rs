//! The name by which this machine introduces itself to a mail server.
//!
//! Many servers refuse a short host name: RFC 5321, 4.1.1.1 asks for a fully qualified one, or for
//! an address in brackets.

use std::fs::File;
use std::io::Read as _;
use std::net::IpAddr;

use crate::process::blocking;

const LARGEST: u64 = 256 * 1024;

/// The fully qualified name of this machine, else the address that it connected from.
pub(super) async fn name(from: IpAddr) -> String {
    let known = blocking(|| {
        let uname = rustix::system::uname();
        qualified(&uname.nodename().to_string_lossy(), &read("/etc/hosts"))
    })
    .await;
    known.unwrap_or_else(|| literal(from))
}

/// What cannot be read is empty: there is always the address.
fn read(path: &str) -> String {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(LARGEST).read_to_end(&mut bytes));
    read.map_or_else(
        |_| String::new(),
        |_| String::from_utf8_lossy(&bytes).into_owned(),
    )
}

/// The host name where it is fully qualified, else the first such name beside it in `/etc/hosts`.
fn qualified(host: &str, hosts: &str) -> Option<String> {
    let host = host.trim().trim_end_matches('.');
    if is_qualified(host) {
        return Some(host.to_owned());
    }
    let names = hosts.lines().filter_map(|line| {
        let line = line.split('#').next().unwrap_or_default();
        let names: Vec<&str> = line.split_ascii_whitespace().skip(1).collect();
        let is_ours = names.iter().any(|name| name.eq_ignore_ascii_case(host));
        let name = names.into_iter().find(|name| is_qualified(name))?;
        is_ours.then(|| name.to_owned())
    });
    names.into_iter().next()
}

fn is_qualified(name: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let mut labels = name.rsplit('.');
    // A last label of digits is an address; `localhost.localdomain` names every machine.
    name.len() <= 253
        && name.contains('.')
        && !name.to_ascii_lowercase().starts_with("localhost")
        && labels
            .next()
            .is_some_and(|top| is_label(top) && !top.chars().all(|c| c.is_ascii_digit()))
        && labels.all(is_label)
}

/// RFC 5321, 4.1.3.
fn literal(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(address) => format!("[{address}]"),
        IpAddr::V6(address) => format!("[IPv6:{address}]"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_fully_qualified_name_is_used() {
        let hosts = "127.0.0.1 localhost localhost.localdomain\n\
                     127.0.1.1 rotator.example.com rotator # rotator.wrong.example\n";
        for (host, name) in [
            ("rotator.example.net\n", Some("rotator.example.net")),
            ("rotator\n", Some("rotator.example.com")),
            ("Rotator", Some("rotator.example.com")),
            ("other\n", None),
            ("localhost\n", None),
            ("localhost.localdomain\n", None),
            ("under_score.example.com\n", None),
            ("10.0.0.1", None),
            ("", None),
        ] {
            assert_eq!(qualified(host, hosts).as_deref(), name, "{host:?}");
        }
    }

    #[test]
    fn an_address_stands_in_brackets() {
        for (address, text) in [
            ("10.0.0.1", "[10.0.0.1]"),
            ("::1", "[IPv6:::1]"),
            ("::ffff:10.0.0.1", "[10.0.0.1]"),
        ] {
            assert_eq!(literal(address.parse().unwrap()), text);
        }
    }
}
