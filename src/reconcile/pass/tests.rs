//! How a pass that goes round in circles is held back and told of. None does: the end is made up.

use std::io::Write as _;
use std::sync::Arc;

use chrono::TimeDelta;
use rotator_core::account::AccountState;
use rotator_core::incidents::{Condition, conditions};
use rotator_core::plan::evidence::Evidence;

use super::*;
use crate::clock::Clock;
use crate::reconcile::state::AccountConfig;
use crate::ringcx::http::HttpApi;
use crate::store::SqliteJournal;

struct Nobody;

impl Observer for Nobody {
    async fn conditions(&self, _: &str, _: Vec<Condition>) {}

    fn changed(&self, _: &str, _: &AccountState, _: &Evidence) {}

    fn progress(&self, _: &str) {}
}

const POLICY: &str = r#"
[ringcx]
base-url = "http://127.0.0.1:9"
[defaults]
retry = { initial = "30s", max = "1h" }
[[account]]
name = "ivr"
username = "ivr@example.com"
password = { env = "NONE" }
platform-id = "aws80"
[[account.sink]]
name = "file"
type = "file"
path = "/run/ivr/token"
"#;

#[tokio::test]
async fn a_pass_that_does_not_end_is_told_of_and_waits_longer_each_time_until_one_ends() {
    drop(rustls::crypto::ring::default_provider().install_default());
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config.toml");
    let mut file = std::fs::File::create(&path).unwrap();
    file.write_all(POLICY.as_bytes()).unwrap();
    let policy = rotator_policy::load(&path)
        .unwrap_or_else(|errors| panic!("{errors}"))
        .policy;
    let config = AccountConfig {
        account: policy.accounts[0].clone(),
        ringcx: policy.ringcx.clone(),
        alerts: policy.alerts.clone(),
    };
    let clock = Clock::manual(rotator_core::testing::start());
    let api = Arc::new(HttpApi::try_new(&policy.ringcx, clock.clone()).unwrap());
    let journal = SqliteJournal::open(&dir.path().join("state")).unwrap();
    let driver = Reconciler::open(config, api, journal, Nobody, clock.clone());
    let mut driver = driver.await.unwrap();

    let is_told = |driver: &Reconciler<_, _, _>| {
        let (account, now) = (&driver.config.account, clock.now());
        let found = conditions(account, &driver.config.alerts, &driver.state, now);
        found
            .iter()
            .any(|condition| condition.kind == IncidentKind::Stuck)
    };
    let mut waits = Vec::new();
    for _ in 0..3 {
        let mut report = PassReport {
            wake_at: clock.now() + TimeDelta::hours(1),
            end: PassOutcome::Circling,
        };
        driver.note_end(&mut report).await.unwrap();
        assert!(is_told(&driver));
        waits.push((report.wake_at - clock.now()).num_seconds());
    }
    // Each account draws its share of a wait.
    let bounds = [15..=30, 30..=60, 60..=120];
    assert!(
        bounds
            .iter()
            .zip(&waits)
            .all(|(bounds, wait)| bounds.contains(wait)),
        "{waits:?}"
    );
    let mut report = PassReport {
        wake_at: clock.now(),
        end: PassOutcome::AtRest,
    };
    driver.note_end(&mut report).await.unwrap();
    assert!(!is_told(&driver));
    assert_eq!(driver.state.consecutive_failures(), 0);
}
