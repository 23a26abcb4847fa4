//! The `demo` command: sets up, runs and checks the whole story in under a minute.
//!
//! Everything stands on loopback and in one directory that is gone at the end. What is shown is the
//! real binary with a real policy, run as a child; only RingCX, the webhook's far end and the mail
//! server are stand-ins, and what they recorded is what everything is checked against. This file
//! knows the order of things; what happens is in `demo/story.rs`, what must be true afterwards in
//! `demo/checks.rs`.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use clap::Args;
use futures_util::StreamExt as _;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook_tokio::Signals;

use crate::clock::monotonic;
use crate::console::output::complain;
use crate::console::{Exit, Palette};

mod checks;
mod facts;
mod leaks;
mod narration;
mod process;
mod reader;
mod script;
mod stage;
mod story;
mod timeline;
mod watch;

use script::Verdict;
use stage::{DemoStage, StageError};
use story::{Ending, Story, StoryError};
use timeline::Timeline;

/// The story ends by then, whatever happens; the daemon then has three seconds more.
const LONGEST: Duration = Duration::from_secs(55);

/// Flags of `demo`.
#[derive(Args)]
pub struct DemoOptions {
    /// Keep the directory with the policy, the log, the journal and the tokens
    #[arg(long)]
    keep: bool,
}

/// What becomes of the directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Leftovers {
    Remove,
    Keep,
}

/// How the story ended.
enum StoryEnd {
    Played,
    Interrupted,
    TooSlow,
    Trouble(StoryError),
}

/// Plays the demo and says what was checked: done if all of it was as it should be.
pub fn demo(options: DemoOptions, palette: Palette) -> Exit {
    // First of all: in the child nothing of the demo may be started.
    if let Some(exit) = process::become_daemon_if_told() {
        return exit;
    }
    let leftovers = if options.keep {
        Leftovers::Keep
    } else {
        Leftovers::Remove
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime needs only what every process has");
    let exit = runtime.block_on(show(leftovers, palette));
    // A command that still runs on a thread of the runtime must not hold up the exit.
    runtime.shutdown_timeout(Duration::from_secs(1));
    exit
}

async fn show(leftovers: Leftovers, palette: Palette) -> Exit {
    let began = monotonic();
    // Before the directory is made: a signal from now on must not leave it behind.
    let signals = match Signals::new([SIGINT, SIGTERM, SIGHUP]) {
        Ok(signals) => signals,
        Err(error) => return failing(&format!("signals: {error}")),
    };
    let stage = match DemoStage::set(leftovers).await {
        Ok(stage) => stage,
        Err(error) => return failing(&chain(&error)),
    };
    // Kept, because the stage is dropped before the end is printed.
    let root = stage.root().to_owned();
    let mut timeline = Timeline::new(palette);
    script::opening(&mut timeline, &stage);
    let awaited = Arc::new(Mutex::new(String::new()));
    let passed = match Story::begin(&stage, &mut timeline, Arc::clone(&awaited)) {
        Ok(story) => {
            let (end, ending) = play(story, signals, began).await;
            let awaited = awaited
                .lock()
                .map(|awaited| awaited.clone())
                .unwrap_or_default();
            verdict(&stage, &mut timeline, end, ending, &awaited).await
        }
        Err(error) => Err(format!("the daemon cannot be started: {error}")),
    };
    // Closes the ports and removes the directory, so that the last check can see whether it is
    // gone.
    drop(stage);
    script::closing(&mut timeline, passed, &root, leftovers, began.elapsed())
}

/// Runs the story to its end or until it is cut short. When this returns neither the daemon nor a
/// reader is left; the stage still stands.
async fn play(mut story: Story<'_>, mut signals: Signals, began: Instant) -> (StoryEnd, Ending) {
    let end = tokio::select! {
        played = story.play() => played.map_or_else(StoryEnd::Trouble, |()| StoryEnd::Played),
        _ = signals.next() => StoryEnd::Interrupted,
        () = tokio::time::sleep(LONGEST.saturating_sub(began.elapsed())) => StoryEnd::TooSlow,
    };
    // However it ended, the daemon is stopped and its end is measured.
    (end, story.end().await)
}

/// Checks everything; where the story did not come to its end, says why.
async fn verdict(
    stage: &DemoStage,
    timeline: &mut Timeline,
    end: StoryEnd,
    ending: Ending,
    awaited: &str,
) -> Result<Verdict, String> {
    match end {
        // Only a story that was played to its end can be checked: half of one would fail for no
        // reason.
        StoryEnd::Played => {
            let facts = facts::gather(stage, ending, timeline.printed()).await;
            let facts =
                facts.map_err(|error| format!("what happened cannot be looked at: {error}"))?;
            Ok(script::verdict(timeline, &checks::all(&facts)))
        }
        StoryEnd::Interrupted => Err("interrupted; the daemon is stopped".to_owned()),
        // Stdout is closed, so the log could not be read either.
        StoryEnd::Trouble(trouble @ StoryError::Unheard) => Err(trouble.to_string()),
        StoryEnd::Trouble(trouble) => {
            script::last_log_lines(timeline, stage);
            Err(trouble.to_string())
        }
        StoryEnd::TooSlow => {
            script::last_log_lines(timeline, stage);
            Err(format!(
                "after {} s the demo still waited for {awaited}",
                LONGEST.as_secs()
            ))
        }
    }
}

fn failing(why: &str) -> Exit {
    complain(format!("error: {why}"));
    Exit::Failing
}

/// An error with its causes.
fn chain(error: &StageError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(deeper) = cause {
        text.push_str(&format!(": {deeper}"));
        cause = deeper.source();
    }
    text
}
