//! `completions` and `man`: made from the command line's own description.

use std::io::Write;
use std::path::Path;

use crate::console::Exit;

pub fn completions(shell: clap_complete::Shell) -> Exit {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut super::command(), "ringcx-rotator", &mut script);
    written(std::io::stdout().write_all(&script))
}

pub fn man(directory: Option<&Path>) -> Exit {
    let outcome = match directory {
        Some(directory) => clap_mangen::generate_to(super::command(), directory),
        None => clap_mangen::Man::new(super::command()).render(&mut std::io::stdout()),
    };
    written(outcome)
}

fn written(outcome: std::io::Result<()>) -> Exit {
    match outcome {
        Ok(()) => Exit::Done,
        // The reader of a pipe had enough.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Exit::Done,
        Err(error) => {
            eprintln!("error: {error}");
            Exit::Failing
        }
    }
}
