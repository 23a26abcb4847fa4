//! STUB
use super::{Delivery, ReadBack, Sink, SinkError};
use crate::policy::FileSink;
/// STUB
pub struct File(FileSink);
impl File {
    /// STUB
    pub fn new(policy: FileSink) -> Self {
        Self(policy)
    }
}
impl Sink for File {
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
