//! STUB
use super::{Delivery, ReadBack, Sink, SinkError};
use crate::policy::EnvFileSink;
/// STUB
pub struct EnvFile(EnvFileSink);
impl EnvFile {
    /// STUB
    pub fn new(policy: EnvFileSink) -> Self {
        Self(policy)
    }
}
impl Sink for EnvFile {
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
