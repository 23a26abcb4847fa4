//! Questions and answers on a terminal; passwords are not shown while they are typed.

use std::io::{self, BufRead, IsTerminal, Read, Write};

use rustix::termios::{
    LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr,
};
use secrecy::zeroize::Zeroizing;

use super::error::InitError;
use rotator_core::secret::Secret;

const CTRL_C: u8 = 0x03;
const CTRL_D: u8 = 0x04;
const CTRL_U: u8 = 0x15;
const BACKSPACE: [u8; 2] = [0x08, 0x7f];

/// The terminal of stdin and stderr.
pub struct Terminal(());

impl Terminal {
    /// `None` if stdin or stderr is not a terminal.
    pub fn if_there() -> Option<Self> {
        (io::stdin().is_terminal() && io::stderr().is_terminal()).then_some(Self(()))
    }

    /// Asks until there is an answer.
    pub fn ask_until_answered(&mut self, question: &str) -> Result<String, InitError> {
        loop {
            let answer = self.ask(question, "")?;
            if !answer.is_empty() {
                return Ok(answer);
            }
        }
    }

    /// Asks once; nothing typed means the default.
    pub fn ask(&mut self, question: &str, default: &str) -> Result<String, InitError> {
        if default.is_empty() {
            say(&format!("{question}: "));
        } else {
            say(&format!("{question} [{default}]: "));
        }
        let mut line = String::new();
        // Nothing read is Ctrl-D: going on would ask the same question forever.
        let read = io::stdin().lock().read_line(&mut line);
        if !read.is_ok_and(|length| length > 0) {
            return Err(InitError::Stopped);
        }
        let answer = line.trim();
        Ok(if answer.is_empty() {
            default.to_owned()
        } else {
            answer.to_owned()
        })
    }

    /// Asks a question that only `yes` confirms.
    pub fn agreed(&mut self, question: &str) -> Result<bool, InitError> {
        Ok(self.ask(question, "")?.eq_ignore_ascii_case("yes"))
    }

    /// Asks for a secret until something is typed.
    pub fn ask_hidden(&mut self, question: &str) -> Result<Secret, InitError> {
        loop {
            say(&format!("{question}: "));
            // If echo cannot be turned off, nothing is asked: the password would be on the screen.
            let hidden = Hidden::begin().map_err(|_| InitError::Stopped)?;
            let typed = type_hidden();
            // Before the result is used, so that the terminal is restored on an error too.
            drop(hidden);
            say("\n");
            let typed = typed?;
            if !typed.is_empty() {
                return Ok(Secret::new(typed.to_string()));
            }
        }
    }
}

fn say(text: &str) {
    let mut err = io::stderr().lock();
    // If the terminal is gone, reading from it fails next.
    let _gone = err.write_all(text.as_bytes()).and_then(|()| err.flush());
}

/// Reads a line byte by byte. Ctrl-C comes as a character and not as a signal, so that the terminal
/// is always restored.
fn type_hidden() -> Result<Zeroizing<String>, InitError> {
    // Erased when dropped, because it holds the secret.
    let mut typed = Zeroizing::new(Vec::new());
    let mut stdin = io::stdin().lock();
    loop {
        let mut byte = [0];
        if stdin.read_exact(&mut byte).is_err() {
            return Err(InitError::Stopped);
        }
        match byte[0] {
            b'\n' | b'\r' => break,
            CTRL_C | CTRL_D => return Err(InitError::Stopped),
            CTRL_U => typed.clear(),
            byte if BACKSPACE.contains(&byte) => rub_out(&mut typed),
            byte => typed.push(byte),
        }
    }
    match std::str::from_utf8(&typed) {
        Ok(text) => Ok(Zeroizing::new(text.to_owned())),
        Err(_) => Err(InitError::Secret {
            place: "password".to_owned(),
            why: "not valid UTF-8".to_owned(),
        }),
    }
}

/// Removes the last character, which may have several bytes.
fn rub_out(typed: &mut Vec<u8>) {
    while typed.pop().is_some_and(|byte| byte & 0xc0 == 0x80) {}
}

/// Turns echo off until dropped.
struct Hidden(Termios);

impl Hidden {
    fn begin() -> io::Result<Self> {
        let before = tcgetattr(io::stdin())?;
        let mut hidden = before.clone();
        // Without ISIG, Ctrl-C is a character; without ICANON, each one is read at once.
        hidden.local_modes -= LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG;
        // A read waits for one byte, however long that takes.
        hidden.special_codes[SpecialCodeIndex::VMIN] = 1;
        hidden.special_codes[SpecialCodeIndex::VTIME] = 0;
        tcsetattr(io::stdin(), OptionalActions::Now, &hidden)?;
        Ok(Self(before))
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        // Fails only if the terminal is gone.
        let _gone = tcsetattr(io::stdin(), OptionalActions::Now, &self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_character_of_many_bytes_is_rubbed_out_whole() {
        let mut typed = "aü".as_bytes().to_vec();
        rub_out(&mut typed);
        assert_eq!(typed, b"a");
        rub_out(&mut typed);
        rub_out(&mut typed);
        assert!(typed.is_empty());
    }
}
