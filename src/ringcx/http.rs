//! STUB until the client is merged
use super::*;
use crate::clock::Clock;
use crate::policy::RingcxPolicy;
/// STUB
pub struct HttpApi;
/// STUB
#[derive(Debug, thiserror::Error)]
#[error("stub")]
pub struct HttpSetupError;
impl HttpApi {
    /// STUB
    pub fn try_new(_: &RingcxPolicy, _: Clock) -> Result<Self, HttpSetupError> {
        Ok(Self)
    }
}
impl TokenApi for HttpApi {
    async fn login(&self, _: Credentials<'_>) -> Result<Login, ApiError> {
        unreachable!()
    }
    async fn refresh(&self, _: &Secret) -> Result<Login, ApiError> {
        unreachable!()
    }
    async fn mint(&self, _: &Secret) -> Result<Token, ApiError> {
        unreachable!()
    }
    async fn list(&self, _: Auth<'_>) -> Result<Listing, ApiError> {
        unreachable!()
    }
    async fn delete(&self, _: Auth<'_>, _: &Token) -> Result<Deletion, ApiError> {
        unreachable!()
    }
    async fn accounts(&self, _: Auth<'_>) -> Result<Vec<VisibleAccount>, ApiError> {
        unreachable!()
    }
}
