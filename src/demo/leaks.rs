//! Looks for every secret of the story in everything that was written: log, journal, policy, mails,
//! what the commands printed, what the demo itself said.
//!
//! The same search is made where the secrets belong, and must find them there: a search that finds
//! nothing anywhere proves nothing. What it does not know: secrets in another form than their own.

use std::io;
use std::path::Path;

use super::stage::DemoStage;
use rotator_simulator::PLANTED_SECRETS;

/// The result of the search.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeakReport {
    /// Number of secrets that were looked for.
    pub secrets: usize,
    /// Number of files, mails and texts that were searched.
    pub places: usize,
    /// Where one was found that should not be there; the place, never the secret.
    pub found: Vec<String>,
    /// How many secrets there are in the secrets' own files, and how many the search found.
    pub control: (usize, usize),
}

/// Looks everywhere but where secrets belong.
pub fn search(stage: &DemoStage, rows: &[String], printed: &str) -> io::Result<LeakReport> {
    let tokens = stage
        .ringcx
        .record()
        .tokens()
        .into_iter()
        .map(|token| token.token);
    let planted = PLANTED_SECRETS.iter().map(|text| (*text).to_owned());
    let secrets = tokens
        .chain(stage.ringcx.ringex_tokens())
        .chain(stage.secrets.iter().cloned());
    let secrets: Vec<String> = secrets.chain(planted).collect();

    let mut files = Vec::new();
    read_all(stage.root(), &mut files)?;
    let secret_files = stage.root().join("secrets");
    let sinks = stage
        .actors
        .iter()
        .flat_map(|actor| [actor.file.clone(), actor.env_file.clone()]);
    let sinks: Vec<_> = sinks.collect();
    let belongs =
        |path: &Path| path.starts_with(&secret_files) || sinks.iter().any(|sink| sink == path);
    // Both parts are searched by the same code: the first is the control.
    let (kept, open): (Vec<_>, Vec<_>) = files.into_iter().partition(|(path, _)| belongs(path));

    let mut places: Vec<(String, Vec<u8>)> = open
        .into_iter()
        .map(|(path, bytes)| (path.display().to_string(), bytes))
        .collect();
    for mail in stage.mailbox.mails() {
        // As sent and decoded: an encoded body would hide a secret from the search.
        let text = format!("{}\n{}\n{}", mail.data, mail.subject(), mail.text());
        places.push((format!("the mail {:?}", mail.subject()), text.into_bytes()));
    }
    places.push((
        "the journal's rows".to_owned(),
        rows.join("\n").into_bytes(),
    ));
    places.push(("what was printed".to_owned(), printed.as_bytes().to_vec()));

    let holds = |bytes: &[u8]| {
        secrets
            .iter()
            .any(|secret| contains(bytes, secret.as_bytes()))
    };
    Ok(LeakReport {
        secrets: secrets.len(),
        places: places.len(),
        found: places
            .iter()
            .filter(|(_, bytes)| holds(bytes))
            .map(|(name, _)| name.clone())
            .collect(),
        control: (
            kept.len(),
            kept.iter().filter(|(_, bytes)| holds(bytes)).count(),
        ),
    })
}

fn contains(bytes: &[u8], wanted: &[u8]) -> bool {
    bytes.windows(wanted.len()).any(|window| window == wanted)
}

fn read_all(directory: &Path, files: &mut Vec<(std::path::PathBuf, Vec<u8>)>) -> io::Result<()> {
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        let (kind, path) = (entry.file_type()?, entry.path());
        if kind.is_dir() {
            read_all(&path, files)?;
        // Sockets cannot be read, and opening one would fail.
        } else if kind.is_file() {
            let bytes = std::fs::read(&path)?;
            files.push((path, bytes));
        }
    }
    Ok(())
}
