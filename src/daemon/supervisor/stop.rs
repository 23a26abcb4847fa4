//! Ending the process without losing the result of a step.

use std::time::Duration;

use super::Supervisor;

/// The alert task gets this long to send what is due, even if `shutdown-grace` is longer.
const LONGEST_FLUSH: Duration = Duration::from_secs(10);

impl Supervisor {
    /// Resolves when no account has work to do because of another one's new token.
    pub async fn peers_at_rest(&self) {
        self.shared.peers.at_rest().await;
    }

    /// Ends all tasks within `grace`, the alert task after the accounts so that their last
    /// conditions reach it, and the journal after both.
    pub async fn close(&self, grace: Duration) {
        self.workers.lock().await.end_all(grace).await;
        self.alerts.shutdown(grace.min(LONGEST_FLUSH)).await;
        // Stops the waker: no account is left that it could wake.
        self.stop.cancel();
        // Only logged: whatever was answered is committed already.
        if let Err(error) = self.journal.close().await {
            tracing::error!(
                name: "journal-not-closed",
                %error,
                "Journal did not close cleanly"
            );
        }
    }
}
