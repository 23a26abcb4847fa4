//! The far end of a webhook: records what is delivered, checks its signature and answers as told.
//!
//! The signature is checked here afresh by the Standard Webhooks text and not with the sender's own
//! code, so that an error there cannot hide here.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, TimeDelta, Utc};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;
use tokio::sync::watch;

use super::ANY_PORT;
use super::authority::Authority;
use super::http::{self, Body, Handler, Reply, Request, Response};
use super::listener::{self, Background, Listener, StartError};
use crate::clock::SimClock;
use rotator_core::secret::Fingerprint;

/// A timestamp further away than this is taken for a replay.
const TOLERANCE: TimeDelta = TimeDelta::minutes(5);
/// More deliveries than this are not kept.
const MOST_DELIVERIES: usize = 10_000;

/// What a receiver is started with.
#[derive(Clone)]
pub struct ReceiverSetup {
    /// A loopback address; port 0 is any free one.
    pub listen: SocketAddr,
    /// HTTPS under this authority; `None` is plain HTTP.
    pub tls: Option<Authority>,
    /// The secret as the policy's source holds it: `whsec_` and base64, or raw text. `None` checks
    /// nothing.
    pub secret: Option<String>,
    /// For the timestamps of deliveries.
    pub clock: SimClock,
}

impl Default for ReceiverSetup {
    fn default() -> Self {
        Self {
            listen: ANY_PORT,
            tls: None,
            secret: None,
            clock: SimClock::system(),
        }
    }
}

/// How deliveries are answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Behavior {
    /// This status, without a body.
    Status(u16),
    /// This status, with a `Retry-After` of this number of seconds.
    Busy(u16, u32),
    /// 200 and the fingerprint of the token that came.
    Receipt,
    /// 200 and the fingerprint of another token.
    WrongReceipt,
    /// 200 and JSON without a fingerprint.
    EmptyReceipt,
    /// Taken in, but never answered.
    Hang,
    /// Taken in; then the connection ends.
    LostAnswer,
    /// The connection ends and nothing is taken in.
    CutBefore,
    /// Taken in, and answered by a receipt after this time.
    Slow(Duration),
    /// 200 and 64 MiB.
    Huge,
    /// 307 to the path `/elsewhere` of this receiver, where it would be recorded as any other.
    Redirect,
}

/// The result of checking a delivery's signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signature {
    /// Made with the secret, and fresh.
    Valid,
    /// Made with the secret, but more than five minutes from now.
    Stale,
    /// Missing, or made with another secret or for another text.
    Invalid,
    /// There is no secret to check it with.
    Unchecked,
}

/// A request as it arrived.
#[derive(Clone, Debug)]
pub struct ReceivedDelivery {
    /// When the request had been read.
    pub at: DateTime<Utc>,
    /// `POST` for a delivery of ours.
    pub method: String,
    /// Path and query as they were sent, such as `/hook`.
    pub target: String,
    /// Every header, in the order sent.
    pub headers: Vec<(String, String)>,
    /// The bytes of the body; the signature is made over exactly these.
    pub body: Vec<u8>,
    /// The result of checking its signature.
    pub signature: Signature,
    /// The status answered; `None` where there was no answer.
    pub status: Option<u16>,
}

impl ReceivedDelivery {
    /// The first header of this name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// The header `webhook-id`, which stays the same for each try of one delivery.
    pub fn id(&self) -> Option<&str> {
        self.header("webhook-id")
    }

    /// The body as JSON; null where it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    /// The token in the body.
    pub fn token(&self) -> Option<String> {
        self.json()["data"]["token"].as_str().map(str::to_owned)
    }
}

/// A running receiver. Dropping it closes its port; [`Receiver::stop`] also waits.
pub struct Receiver {
    inbox: Arc<Inbox>,
    listener: Listener,
    scheme: &'static str,
}

struct Inbox {
    clock: SimClock,
    state: Mutex<ReceiverState>,
    changed: watch::Sender<()>,
}

struct ReceiverState {
    deliveries: Vec<ReceivedDelivery>,
    /// The last one stands; those before it are used once each.
    manners: Vec<Behavior>,
    secret: Option<String>,
}

impl Receiver {
    /// Starts it; deliveries are answered with a receipt until told otherwise.
    pub async fn start(setup: ReceiverSetup) -> Result<Self, StartError> {
        let socket = listener::bind(setup.listen).await?;
        let state = ReceiverState {
            deliveries: Vec::new(),
            manners: vec![Behavior::Receipt],
            secret: setup.secret,
        };
        let inbox = Arc::new(Inbox {
            clock: setup.clock,
            state: Mutex::new(state),
            changed: watch::Sender::new(()),
        });
        let (served, tls) = (Arc::clone(&inbox), setup.tls.clone());
        let listener = Listener::spawn(socket, Background::new(), move |stream| {
            http::serve(Arc::clone(&served), tls.clone(), stream)
        });
        Ok(Self {
            inbox,
            listener,
            scheme: if setup.tls.is_some() { "https" } else { "http" },
        })
    }

    /// The address and port of the receiver.
    pub fn address(&self) -> SocketAddr {
        self.listener.address()
    }

    /// For a sink's `url`; every other path is as good.
    pub fn url(&self) -> String {
        format!("{}://{}/hook", self.scheme, self.address())
    }

    /// Answers all that comes from now on in this manner.
    pub fn answer(&self, manner: Behavior) {
        self.inbox.lock().manners = vec![manner];
    }

    /// Answers the next deliveries in these manners, one each, then as before.
    pub fn answer_next(&self, manners: impl IntoIterator<Item = Behavior>) {
        let mut state = self.inbox.lock();
        // Before the last one, which stands: it is never empty, so this cannot underflow.
        let standing = state.manners.len() - 1;
        state.manners.splice(standing..standing, manners);
    }

    /// Checks signatures with another secret from now on.
    pub fn set_secret(&self, secret: Option<String>) {
        self.inbox.lock().secret = secret;
    }

    /// All that came, oldest first.
    pub fn deliveries(&self) -> Vec<ReceivedDelivery> {
        self.inbox.lock().deliveries.clone()
    }

    /// The token of the last delivery that was answered with a success.
    pub fn held_token(&self) -> Option<String> {
        let state = self.inbox.lock();
        let taken =
            |delivery: &&ReceivedDelivery| delivery.status.is_some_and(|status| status < 300);
        state
            .deliveries
            .iter()
            .rev()
            .find(taken)
            .and_then(ReceivedDelivery::token)
    }

    /// The tokens that the receiver may be using: the last one answered with a success, and each
    /// that came since.
    pub fn may_hold(&self) -> Vec<String> {
        let state = self.inbox.lock();
        let taken =
            |delivery: &ReceivedDelivery| delivery.status.is_some_and(|status| status < 300);
        // Without a success every token that came may be in use, so all of them count.
        let last = state.deliveries.iter().rposition(taken).unwrap_or_default();
        state.deliveries[last..]
            .iter()
            .filter_map(ReceivedDelivery::token)
            .collect()
    }

    /// Waits until the closure returns true for the deliveries, for example until one is `Valid`.
    pub async fn until(&self, mut as_asked: impl FnMut(&[ReceivedDelivery]) -> bool) {
        let mut changes = self.inbox.changed.subscribe();
        // An error means there is nothing left to wait for; the inbox we hold keeps it from
        // happening.
        let _ = changes
            .wait_for(|()| as_asked(&self.inbox.lock().deliveries))
            .await;
    }

    /// Closes the port and every connection. The deliveries stay.
    pub async fn stop(&self) {
        self.listener.stop().await;
    }
}

impl Inbox {
    fn lock(&self) -> MutexGuard<'_, ReceiverState> {
        self.state
            .lock()
            .expect("nothing panics while it holds the inbox")
    }
}

impl Handler for Inbox {
    async fn handle(&self, request: Request) -> Reply {
        let now = self.clock.now();
        let reply = {
            let mut state = self.lock();
            let manner = if state.manners.len() > 1 {
                state.manners.remove(0)
            } else {
                state.manners[0]
            };
            let token = token_in(&request.body);
            // Returns before the delivery is recorded: for the receiver it has never come.
            let Some(reply) = reply(manner, token.as_deref()) else {
                return Reply::Cut;
            };
            let status = match &reply {
                Reply::Answer(response) | Reply::Half(response) | Reply::Slow(_, response) => {
                    Some(response.status)
                }
                Reply::Cut | Reply::Silence => None,
            };
            // Checked when it arrives, with the secret of that moment, which a test may change
            // later.
            let signature = check_signature(state.secret.as_deref(), &request, now);
            // Still answered when it is not kept: the sender must not notice the limit.
            if state.deliveries.len() < MOST_DELIVERIES {
                state.deliveries.push(ReceivedDelivery {
                    at: now,
                    target: request.target(),
                    method: request.method,
                    headers: request.headers,
                    body: request.body,
                    signature,
                    status,
                });
            }
            reply
        };
        self.changed.send_replace(());
        reply
    }
}

fn token_in(body: &[u8]) -> Option<String> {
    let json: Value = serde_json::from_slice(body).ok()?;
    json["data"]["token"].as_str().map(str::to_owned)
}

/// `None`: as if the delivery had never come.
fn reply(manner: Behavior, token: Option<&str>) -> Option<Reply> {
    let receipt = |text: &str| {
        let fingerprint = Fingerprint::of(text.as_bytes());
        Response::json(200, &json!({ "fingerprint": fingerprint }))
    };
    let status = |status| Response {
        status,
        headers: Vec::new(),
        body: Body::Bytes(Vec::new()),
    };
    Some(match manner {
        Behavior::Status(code) => Reply::Answer(status(code)),
        Behavior::Busy(code, seconds) => {
            Reply::Answer(status(code).with("Retry-After", seconds.to_string()))
        }
        Behavior::Receipt => Reply::Answer(receipt(token.unwrap_or_default())),
        Behavior::WrongReceipt => Reply::Answer(receipt("another token")),
        Behavior::EmptyReceipt => Reply::Answer(Response::json(200, &json!({}))),
        Behavior::Hang => Reply::Silence,
        // The same reply as `CutBefore` on the wire; the difference is that this one is recorded.
        Behavior::LostAnswer => Reply::Cut,
        Behavior::CutBefore => return None,
        Behavior::Slow(wait) => Reply::Slow(wait, receipt(token.unwrap_or_default())),
        Behavior::Huge => Reply::Answer(Response {
            status: 200,
            headers: Vec::new(),
            body: Body::Huge,
        }),
        Behavior::Redirect => Reply::Answer(status(307).with("Location", "/elsewhere")),
    })
}

fn check_signature(secret: Option<&str>, request: &Request, now: DateTime<Utc>) -> Signature {
    let Some(secret) = secret else {
        return Signature::Unchecked;
    };
    let headers =
        ["webhook-id", "webhook-timestamp", "webhook-signature"].map(|name| request.header(name));
    let [Some(id), Some(timestamp), Some(signatures)] = headers else {
        return Signature::Invalid;
    };
    let key = match secret
        .strip_prefix("whsec_")
        .map(|text| STANDARD.decode(text))
    {
        Some(Ok(key)) => key,
        // A secret that is not base64 is a mistake of the test, and no signature can be right.
        Some(Err(_)) => return Signature::Invalid,
        None => secret.as_bytes().to_vec(),
    };
    let made_with_key = |signature: &str| {
        let Some(Ok(tag)) = signature
            .strip_prefix("v1,")
            .map(|text| STANDARD.decode(text))
        else {
            return false;
        };
        let mut mac = Hmac::<Sha256>::new_from_slice(&key).expect("HMAC takes keys of any length");
        mac.update(format!("{id}.{timestamp}.").as_bytes());
        mac.update(&request.body);
        // Over the bytes as they came: parsing and writing the JSON again could change them.
        mac.verify_slice(&tag).is_ok()
    };
    let sent_at = timestamp
        .parse()
        .ok()
        .and_then(|seconds| DateTime::from_timestamp(seconds, 0));
    match sent_at {
        // One signature for each key while a key is changed: one that fits is enough.
        Some(at) if signatures.split(' ').any(made_with_key) => {
            if (now - at).abs() <= TOLERANCE {
                Signature::Valid
            } else {
                Signature::Stale
            }
        }
        Some(_) | None => Signature::Invalid,
    }
}
