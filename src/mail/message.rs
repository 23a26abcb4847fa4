//! A mail in the form in which it travels: nothing but ASCII, unless the server takes more.

use std::time::SystemTime;

use lettre::address::Address;
use lettre::message::header::{ContentType, HeaderName, HeaderValue, MIME_VERSION_1_0, References};
use lettre::message::{Mailbox, Message};
use url::Host;

use super::MailError;
use rotator_core::config::EmailPolicy;
use rotator_core::incidents::{Mail, one_line};

/// A mailbox of the policy, and how its address can be written.
#[derive(Clone, Debug)]
pub(super) struct PolicyMailbox {
    mailbox: Mailbox,
    /// In ASCII, where that can be: an international domain has such a form, a user's name has
    /// not.
    ascii: Option<Address>,
}

impl PolicyMailbox {
    /// Parses one of the policy's.
    pub fn parse(text: &str) -> Result<Self, MailError> {
        let mailbox: Mailbox = text.parse().map_err(|source| MailError::Address {
            address: text.to_owned(),
            source,
        })?;
        let ascii = in_ascii(&mailbox.email);
        Ok(Self { mailbox, ascii })
    }

    /// The address alone, as the policy writes it.
    pub fn address(&self) -> String {
        self.mailbox.email.to_string()
    }

    /// Whether only a server with SMTPUTF8 can take it.
    pub fn needs_utf8(&self) -> bool {
        self.ascii.is_none()
    }

    /// The address for a command. None if it cannot be written for this server.
    pub fn envelope(&self, utf8: bool) -> Option<String> {
        self.written(utf8).map(|mailbox| mailbox.email.to_string())
    }

    /// ASCII wherever possible: more servers take it.
    fn written(&self, utf8: bool) -> Option<Mailbox> {
        let email = match &self.ascii {
            Some(ascii) => ascii.clone(),
            None if utf8 => self.mailbox.email.clone(),
            None => return None,
        };
        Some(Mailbox::new(self.mailbox.name.clone(), email))
    }
}

/// Headers and body, with CRLF as line end. `utf8`: the server takes addresses beyond ASCII;
/// without it, a recipient that needs that is left out.
pub(super) fn formatted(
    policy: &EmailPolicy,
    from: &PolicyMailbox,
    to: &[PolicyMailbox],
    mail: &Mail,
    utf8: bool,
) -> Result<Vec<u8>, MailError> {
    let header = |name, value: &str| {
        HeaderValue::new(HeaderName::new_from_ascii_str(name), value.to_owned())
    };
    let unwritable = || MailError::NoUtf8 {
        host: super::host_and_port(policy),
        address: from.address(),
    };
    let mut message = Message::builder()
        .from(from.written(utf8).ok_or_else(unwritable)?)
        .date(SystemTime::from(mail.written_at))
        // The same at each try, so that a mail that came twice can be recognized.
        .message_id(Some(ascii_id(&mail.message_id)))
        .subject(one_line(&mail.subject, 200))
        // RFC 3834: keeps automatic replies, for example of a holiday, from answering.
        .raw_header(header("Auto-Submitted", "auto-generated"))
        // Without it the two headers below mean nothing (RFC 2045).
        .header(MIME_VERSION_1_0)
        .header(ContentType::TEXT_PLAIN);
    for mailbox in to.iter().filter_map(|to| to.written(utf8)) {
        message = message.to(mailbox);
    }
    if let Some(references) = &mail.references {
        message = message.header(References::from(ascii_id(references)));
    }
    if let Some(incident) = &mail.incident {
        let key = one_line(&incident.to_string(), 200);
        message = message.raw_header(header("X-RingCX-Rotator-Incident", &key));
    }
    Ok(message.body(mail.body.clone())?.formatted())
}

fn in_ascii(address: &Address) -> Option<Address> {
    if !address.user().is_ascii() {
        return None;
    }
    if address.domain().is_ascii() {
        return Some(address.clone());
    }
    Address::new(address.user(), ascii_domain(address.domain())?).ok()
}

fn ascii_domain(domain: &str) -> Option<String> {
    match Host::parse(domain) {
        Ok(Host::Domain(domain)) => Some(domain),
        Ok(Host::Ipv4(_) | Host::Ipv6(_)) | Err(_) => None,
    }
}

/// A Message-ID ends with the sender's domain, which may be an international one. The same ASCII
/// form each time, so that threads hold.
fn ascii_id(id: &str) -> String {
    if id.is_ascii() {
        return id.to_owned();
    }
    let inner = id.trim_matches(['<', '>']);
    let (left, domain) = inner.rsplit_once('@').unwrap_or((inner, "localhost"));
    let domain = ascii_domain(domain).unwrap_or_else(|| "localhost".to_owned());
    let left: String = left.chars().filter(char::is_ascii).collect();
    format!("<{left}@{domain}>")
}
