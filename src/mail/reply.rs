//! A mail server's replies: three digits that decide, and text that may be any bytes.
//!
//! What a reply means is said by its code alone (RFC 5321, 4.2): text in another charset, text
//! without an end and a connection that breaks in the middle of the text do not make it another
//! reply.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt};

use rotator_core::incidents::one_line;

/// Bytes of one reply that are read. RFC 5321 promises 512 a line.
const LARGEST: usize = 1024 * 1024;
/// Bytes of a line that are kept; what is behind them is read and dropped.
const LONGEST_LINE: usize = 2 * 1024;
const MOST_LINES: usize = 64;
/// Characters of a reply that are shown.
const LONGEST_SAID: usize = 300;

/// One reply, of one line or more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SmtpReply {
    /// From 200 to 599.
    pub code: u16,
    /// The text behind the code, line by line, with `\u{fffd}` for what is not UTF-8.
    pub lines: Vec<String>,
}

impl SmtpReply {
    /// 2xx: done.
    pub fn is_positive(&self) -> bool {
        self.code / 100 == 2
    }

    /// 3xx: the server waits for what comes next.
    pub fn is_intermediate(&self) -> bool {
        self.code / 100 == 3
    }

    /// 5xx: the same will be refused again.
    pub fn is_final_refusal(&self) -> bool {
        self.code / 100 == 5
    }

    /// The reply on one line, cut: `550 5.1.1 nobody of that name`.
    pub fn said(&self) -> String {
        one_line(
            &format!("{} {}", self.code, self.lines.join(" ")),
            LONGEST_SAID,
        )
    }
}

/// Reads one reply after another, and keeps what came behind the last.
#[derive(Default)]
pub(super) struct ReplyReader {
    /// Read, and not looked at yet.
    unread: Vec<u8>,
    /// The line under way, without its end.
    line: Vec<u8>,
    lines: Vec<String>,
    code: Option<u16>,
    size: usize,
}

impl ReplyReader {
    /// The next reply. Can be cancelled: [`ReplyReader::partial`] then tells what had come.
    ///
    /// Errors: the connection broke before a code came, or what came is no reply.
    pub async fn read(&mut self, stream: &mut (impl AsyncRead + Unpin)) -> io::Result<SmtpReply> {
        loop {
            if let Some(reply) = self.take_line()? {
                return Ok(reply);
            }
            // A server that talks without end has said its code by now, or never will.
            if self.size > LARGEST {
                let endless = || io::Error::new(io::ErrorKind::InvalidData, "a reply without end");
                return self.partial().ok_or_else(endless);
            }
            match stream.read_buf(&mut self.unread).await {
                Ok(0) => {
                    let closed = || io::Error::from(io::ErrorKind::UnexpectedEof);
                    return self.partial().ok_or_else(closed);
                }
                Ok(_) => {}
                Err(error) => return self.partial().ok_or(error),
            }
        }
    }

    /// The reply as far as it came, where that is as far as its code.
    pub fn partial(&mut self) -> Option<SmtpReply> {
        let line = std::mem::take(&mut self.line);
        if let Some((code, _, text)) = parts(&line) {
            self.code = Some(code);
            self.lines.push(text);
        }
        self.finish()
    }

    /// Whether something came that nobody has asked for yet.
    pub fn has_unread(&self) -> bool {
        !self.unread.is_empty()
    }

    /// Takes whole lines in; a reply once its last line is there.
    fn take_line(&mut self) -> io::Result<Option<SmtpReply>> {
        while !self.unread.is_empty() {
            let end = self.unread.iter().position(|byte| *byte == b'\n');
            let taken: Vec<u8> = self
                .unread
                .drain(..end.map_or(self.unread.len(), |at| at + 1))
                .collect();
            self.size += taken.len();
            let room = LONGEST_LINE.saturating_sub(self.line.len());
            self.line.extend(taken.iter().take(room));
            if end.is_none() {
                return Ok(None);
            }
            let line = std::mem::take(&mut self.line);
            let Some((code, is_last, text)) = parts(&line) else {
                let message = "the server does not speak SMTP";
                return Err(io::Error::new(io::ErrorKind::InvalidData, message));
            };
            self.code = Some(code);
            if self.lines.len() < MOST_LINES {
                self.lines.push(text);
            }
            if is_last {
                return Ok(self.finish());
            }
        }
        Ok(None)
    }

    fn finish(&mut self) -> Option<SmtpReply> {
        self.size = 0;
        let lines = std::mem::take(&mut self.lines);
        self.code.take().map(|code| SmtpReply { code, lines })
    }
}

/// Code, whether it is the last line, and text of one line.
fn parts(line: &[u8]) -> Option<(u16, bool, String)> {
    let (code, rest) = line.split_at_checked(3)?;
    let digits = std::str::from_utf8(code).ok()?;
    let in_range = matches!(code[0], b'2'..=b'5') && code.iter().all(u8::is_ascii_digit);
    let code = digits.parse().ok().filter(|_| in_range)?;
    // Only a hyphen says that more lines follow; a code may also stand alone.
    let is_last = rest.first() != Some(&b'-');
    let text = rest.get(1..).unwrap_or_default();
    let text = String::from_utf8_lossy(text);
    Some((
        code,
        is_last,
        text.trim_end_matches(['\r', '\n']).to_owned(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(bytes: &[u8]) -> Vec<Result<SmtpReply, String>> {
        let mut stream = bytes;
        let mut reader = ReplyReader::default();
        let mut replies = Vec::new();
        // As many as there can be; the last is the end of the connection.
        for _ in 0..8 {
            let reply = reader.read(&mut stream).await;
            let is_end = reply.is_err();
            replies.push(reply.map_err(|error| error.to_string()));
            if is_end {
                break;
            }
        }
        replies
    }

    #[tokio::test]
    async fn the_code_decides_whatever_the_text_is() {
        let mut endless = b"250 ".to_vec();
        endless.resize(3 * LARGEST, b'x');
        for (bytes, code, text) in [
            (&b"250 ok\r\n"[..], 250, "ok"),
            (b"250\r\n", 250, ""),
            (b"250", 250, ""),
            (b"250 2.0.0 Accept\xe9\r\n", 250, "2.0.0 Accept\u{fffd}"),
            (b"250\xff\xfe\r\n", 250, "\u{fffd}"),
            (b"250-one\r\n250 two\r\n", 250, "one"),
            (b"250-one\r\n250-tw", 250, "one"),
            (b"550 no\n", 550, "no"),
            (b"250 taken, cut in the mid", 250, "taken, cut in the mid"),
        ] {
            let reply = read(bytes).await.swap_remove(0).unwrap();
            assert_eq!((reply.code, reply.lines[0].as_str()), (code, text));
        }
        let reply = read(&endless).await.swap_remove(0).unwrap();
        assert!(reply.code == 250 && reply.lines[0].len() <= LONGEST_LINE);
    }

    #[tokio::test]
    async fn what_is_no_reply_is_no_outcome() {
        for bytes in [
            &b""[..],
            b"25",
            b"HTTP/1.1 400 Bad Request\r\n",
            b"999 odd\r\n",
            b"\r\n",
            b"\xef\xbb\xbf250 ok\r\n",
        ] {
            let replies = read(bytes).await;
            assert!(replies[0].is_err(), "{bytes:?}: {replies:?}");
        }
        let replies = read(b"250 one\r\n550 two\r\n").await;
        let codes: Vec<_> = replies.iter().flatten().map(|reply| reply.code).collect();
        assert_eq!(
            codes,
            [250, 550],
            "one reply is not taken for two, nor two for one"
        );
    }
}
