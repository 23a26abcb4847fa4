//! Wakes accounts when they are due.
//!
//! The times are computed elsewhere and kept in the journal; the scheduler library only reports
//! when the earliest of them has come. It counts whole seconds and may report early, late or not at
//! all. So an account that is woken compares its times with the clock, and the waker itself looks
//! at the wall clock once a minute, because timers stop while a machine sleeps and a clock may be
//! set. A clock that is set back wakes every account: its next time was computed from a time that
//! no longer holds.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::Notify;
use tokio_cron_scheduler::{Job, JobScheduler, JobSchedulerError};
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;

/// The wall clock is read at least this often.
const LONGEST: Duration = Duration::from_secs(60);

/// A job that is this late will not run: the scheduler's channels can lose an activation.
const LATE: TimeDelta = TimeDelta::seconds(2);

/// Wakes each account at its time.
#[derive(Clone)]
pub struct Waker {
    due: Arc<Mutex<BTreeMap<String, Wakeup>>>,
    changed: Arc<Notify>,
}

struct Wakeup {
    at: DateTime<Utc>,
    wakeup: Arc<Notify>,
}

impl Waker {
    /// Starts the scheduler. It stops with `stop`.
    pub async fn start(clock: Clock, stop: CancellationToken) -> Result<Self, JobSchedulerError> {
        let scheduler = JobScheduler::new().await?;
        scheduler.start().await?;
        let waker = Self {
            due: Arc::default(),
            changed: Arc::default(),
        };
        // Read here and not in the task, before whose first turn the clock may be set back.
        let began = clock.now();
        tokio::spawn(waker.clone().run(scheduler, clock, began, stop));
        Ok(waker)
    }

    /// Notifies `wakeup` once at this time, instead of at any time that was set before.
    pub fn set(&self, account: &str, at: DateTime<Utc>, wakeup: &Arc<Notify>) {
        let due = Wakeup {
            at,
            wakeup: Arc::clone(wakeup),
        };
        self.lock().insert(account.to_owned(), due);
        // Stores a permit, so a change between two waits of `run` is not lost.
        self.changed.notify_one();
    }

    /// Wakes the account no more.
    pub fn forget(&self, account: &str) {
        self.lock().remove(account);
    }

    async fn run(
        self,
        mut scheduler: JobScheduler,
        clock: Clock,
        began: DateTime<Utc>,
        stop: CancellationToken,
    ) {
        let alarm = Arc::new(Notify::new());
        let (mut armed, mut last) = (None, began);
        loop {
            let now = clock.now();
            // To wake an account too often costs one pass without work. Had it to wait for the
            // clock to come back to where it was, nothing would be repaired meanwhile.
            let until = if now + LATE < last {
                DateTime::<Utc>::MAX_UTC
            } else {
                now
            };
            last = now;
            self.wake(until);
            let next = self.lock().values().map(|due| due.at).min();
            if next != armed.map(|(at, _)| at) {
                if let Some((_, job)) = armed.take() {
                    // A job that has just run is gone already.
                    let _gone = scheduler.remove(&job).await;
                }
                if let Some(at) = next {
                    armed = arm(&scheduler, &alarm, at, clock.now())
                        .await
                        .map(|job| (at, job));
                }
            }
            let late = next.map(|at| (at + LATE - clock.now()).to_std().unwrap_or_default());
            tokio::select! {
                () = alarm.notified() => armed = None,
                () = self.changed.notified() => {}
                () = tokio::time::sleep(late.unwrap_or(LONGEST).min(LONGEST)) => {
                    // The job should have run by now: it is given up, and the clock decides.
                    if let Some((_, job)) = armed.take() {
                        let _gone = scheduler.remove(&job).await;
                    }
                }
                () = stop.cancelled() => break,
            }
        }
        if let Err(error) = scheduler.shutdown().await {
            tracing::debug!(%error, "Scheduler did not stop cleanly");
        }
    }

    fn wake(&self, until: DateTime<Utc>) {
        self.lock().retain(|_, due| {
            // Woken once: the account sets its next time when its pass has ended.
            let is_due = due.at <= until;
            if is_due {
                due.wakeup.notify_one();
            }
            !is_due
        });
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Wakeup>> {
        self.due.lock().expect("no holder of this lock panics")
    }
}

async fn arm(
    scheduler: &JobScheduler,
    alarm: &Arc<Notify>,
    at: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Option<uuid::Uuid> {
    // The scheduler drops fractions of a second: round up, so that it is not early.
    let wait = (at - now + TimeDelta::milliseconds(999))
        .to_std()
        .unwrap_or_default();
    let alarm = Arc::clone(alarm);
    let job = Job::new_one_shot_async(wait, move |_, _| {
        let alarm = Arc::clone(&alarm);
        Box::pin(async move { alarm.notify_one() })
    });
    let added = match job {
        Ok(job) => scheduler.add(job).await,
        Err(error) => Err(error),
    };
    match added {
        Ok(job) => Some(job),
        Err(error) => {
            tracing::warn!(
                name: "scheduler-refused",
                %error,
                "Scheduler refused a wake-up, falling back to one a minute"
            );
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_account_is_woken_when_it_is_due_and_not_before() {
        let clock = Clock::system();
        let stop = CancellationToken::new();
        let waker = Waker::start(clock.clone(), stop.clone()).await.unwrap();
        let (soon, late) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let due = clock.now() + TimeDelta::milliseconds(700);
        waker.set("late", clock.now() + TimeDelta::hours(1), &late);
        waker.set("soon", due, &soon);
        tokio::time::timeout(Duration::from_secs(30), soon.notified())
            .await
            .expect("woken");
        assert!(clock.now() >= due);
        assert!(waker.lock().contains_key("late") && !waker.lock().contains_key("soon"));
        stop.cancel();
    }

    // fault: liveness at daemon/waker: no account is woken when the clock was set back
    #[tokio::test]
    async fn everyone_is_woken_when_the_clock_was_set_back() {
        let clock = Clock::manual("2026-03-02T00:00:00Z".parse().unwrap());
        let stop = CancellationToken::new();
        let waker = Waker::start(clock.clone(), stop.clone()).await.unwrap();
        let (wakeup, other) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        clock.set(TimeDelta::days(-1));
        waker.set("ivr", clock.now() + TimeDelta::hours(27), &wakeup);
        tokio::time::timeout(Duration::from_secs(30), wakeup.notified())
            .await
            .expect("woken");
        waker.set("ivr", clock.now() + TimeDelta::hours(3), &wakeup);
        waker.set("due", clock.now(), &other);
        tokio::time::timeout(Duration::from_secs(30), other.notified())
            .await
            .expect("woken");
        assert!(waker.lock().contains_key("ivr"), "it is woken once");
        stop.cancel();
    }
}
