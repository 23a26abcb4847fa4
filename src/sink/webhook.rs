//! STUB
use super::{Delivery, ReadBack, Sink, SinkError};
use crate::policy::WebhookSink;
/// STUB
pub struct Webhook(String, WebhookSink);
impl Webhook {
    /// STUB
    pub fn new(name: String, policy: WebhookSink) -> Self {
        Self(name, policy)
    }
}
impl Sink for Webhook {
    async fn preflight(&self) -> Result<(), SinkError> {
        Ok(())
    }
    async fn deliver(&self, _: &Delivery<'_>) -> Result<(), SinkError> {
        let _ = &self.0;
        Ok(())
    }
    async fn read_back(&self) -> ReadBack {
        ReadBack::Absent
    }
    async fn clean_up(&self) {}
}
