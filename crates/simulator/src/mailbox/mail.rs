//! A mail as it came, and read as a person would read it.
//!
//! Decodes what plain-text mails use: folded and encoded headers, quoted-printable and base64
//! bodies. Knows nothing of attachments.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// A mail that was taken.
#[derive(Clone, Debug)]
pub struct ReceivedMail {
    /// The address of `MAIL FROM`, which may differ from the header `From`.
    pub from: String,
    /// The addresses of `RCPT TO` that were accepted.
    pub to: Vec<String>,
    /// Who had logged in.
    pub user: Option<String>,
    /// Whether it came under TLS.
    pub encrypted: bool,
    /// Headers and body as they were sent.
    pub data: String,
}

impl ReceivedMail {
    /// A header, unfolded and decoded.
    pub fn header(&self, name: &str) -> Option<String> {
        let (head, _) = self.parts();
        // A long header is folded over several lines, and a mail library folds where it likes.
        let unfolded = head.replace("\r\n ", " ").replace("\r\n\t", " ");
        let mut headers = unfolded
            .split("\r\n")
            .filter_map(|line| line.split_once(':'));
        let (_, value) = headers.find(|(key, _)| key.eq_ignore_ascii_case(name))?;
        Some(decoded_words(value.trim()))
    }

    /// The subject, decoded, or empty text if the mail has none.
    pub fn subject(&self) -> String {
        self.header("Subject").unwrap_or_default()
    }

    /// The text, decoded, with `\n` as line end.
    pub fn text(&self) -> String {
        let (_, body) = self.parts();
        let bytes = match self
            .header("Content-Transfer-Encoding")
            .map(|word| word.to_ascii_lowercase())
            .as_deref()
        {
            Some("quoted-printable") => {
                // A line that ends with `=` goes on in the next line.
                quoted_printable(&body.replace("=\r\n", ""), Underscore::Itself)
            }
            Some("base64") => STANDARD
                .decode(body.replace("\r\n", ""))
                .unwrap_or_default(),
            Some(_) | None => body.as_bytes().to_vec(),
        };
        String::from_utf8_lossy(&bytes).replace("\r\n", "\n")
    }

    fn parts(&self) -> (&str, &str) {
        self.data.split_once("\r\n\r\n").unwrap_or((&self.data, ""))
    }
}

/// What `_` means: a space in headers, itself in bodies.
#[derive(Clone, Copy)]
enum Underscore {
    Itself,
    Space,
}

fn quoted_printable(text: &str, underscore: Underscore) -> Vec<u8> {
    let mut rest = text.as_bytes();
    let mut decoded = Vec::with_capacity(rest.len());
    while let Some((&first, tail)) = rest.split_first() {
        let code = (first == b'=').then(|| tail.get(..2)).flatten();
        let code = code.and_then(|two| u8::from_str_radix(std::str::from_utf8(two).ok()?, 16).ok());
        decoded.push(match (code, first, underscore) {
            (Some(code), _, _) => code,
            (None, b'_', Underscore::Space) => b' ',
            (None, first, Underscore::Itself | Underscore::Space) => first,
        });
        // An `=` without two hex digits is kept as it is, as mail readers do.
        rest = if code.is_some() { &tail[2..] } else { tail };
    }
    decoded
}

/// Decodes `=?utf-8?b?…?=` and `=?utf-8?q?…?=`; the space between two of them is not part of the
/// text.
fn decoded_words(value: &str) -> String {
    let mut text = String::new();
    let mut after_encoded = false;
    for word in value.split(' ') {
        let decoded = decoded_word(word);
        // RFC 2047: the space between two encoded words only separates them.
        let one_word = after_encoded && decoded.is_some();
        if !text.is_empty() && !one_word {
            text.push(' ');
        }
        after_encoded = decoded.is_some();
        text.push_str(decoded.as_deref().unwrap_or(word));
    }
    text
}

fn decoded_word(word: &str) -> Option<String> {
    let inner = word.strip_prefix("=?")?.strip_suffix("?=")?;
    let mut parts = inner.splitn(3, '?');
    let (_charset, encoding, content) = (parts.next()?, parts.next()?, parts.next()?);
    let bytes = match encoding {
        "b" | "B" => STANDARD.decode(content).ok()?,
        "q" | "Q" => quoted_printable(content, Underscore::Space),
        _ => return None,
    };
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mail_reads_as_it_was_written() {
        let data = "Subject: [x] =?utf-8?b?Z3LDvMOf?= =?utf-8?q?e_da?=\r\n (FIRING)\r\n\
                    Content-Transfer-Encoding: quoted-printable\r\n\r\naws80:=E2=80=A6a0a9 =\r\nend=3D_\r\n";
        let mail = ReceivedMail {
            from: String::new(),
            to: Vec::new(),
            user: None,
            encrypted: false,
            data: data.to_owned(),
        };
        assert_eq!(mail.subject(), "[x] grüße da (FIRING)");
        assert_eq!(mail.text(), "aws80:…a0a9 end=_\n");
    }
}
