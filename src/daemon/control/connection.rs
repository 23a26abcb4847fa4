//! Connections to the control socket: each has one request, and bounded memory and time.
//!
//! Everyone who may connect is an operator, but a suspended command or a faulty script must cost
//! the daemon little: one of a fixed number of connections, a head of bounded length, and no wait
//! without a limit except for the requested work. This module does not know the requests.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::UnixListener;
use tokio::sync::{Notify, Semaphore};
use tokio::time::sleep;

/// More connections than this wait in the system's queue.
const MOST_CONNECTIONS: usize = 64;

/// Request line and headers together, in bytes: room for a thousand account names.
const LARGEST_HEAD: usize = 128 * 1024;

/// Limit for receiving a request's head, for its body, and for the client to read the answer.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// Wait after an accept that failed: at once it would fail again.
const PAUSE: Duration = Duration::from_secs(1);

/// Serves every connection in a task of its own, until dropped.
pub(super) async fn accept(listener: UnixListener, routes: Router) {
    let places = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    loop {
        // Before the connection is accepted: beyond the limit it waits in the system and costs
        // nothing.
        let place = Arc::clone(&places)
            .acquire_owned()
            .await
            .expect("the semaphore is never closed");
        match listener.accept().await {
            Ok((stream, _)) => {
                let routes = routes.clone();
                tokio::spawn(async move {
                    converse(stream, routes).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(
                    name: "connection-not-taken",
                    %error,
                    "Control socket cannot take a connection"
                );
                sleep(PAUSE).await;
            }
        }
    }
}

/// One request and its answer. A request that is not HTTP has none.
pub(crate) async fn converse<S>(stream: S, routes: Router)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let answered = Notify::new();
    let routes = TowerToHyperService::new(routes);
    let service = service_fn(|request| {
        let answer = routes.call(request);
        async {
            let answer = answer.await;
            answered.notify_one();
            answer
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .max_buf_size(LARGEST_HEAD)
        // A connection that stays open between requests would occupy a place.
        .keep_alive(false)
        // `nc` ends its side once it has sent its request, and waits for the answer.
        .half_close(true)
        .serve_connection(TokioIo::new(stream), service);
    // Without this limit, a client that does not read its answer keeps its place for ever.
    let unread = async {
        answered.notified().await;
        sleep(PATIENCE).await;
    };
    tokio::select! {
        // Whatever went wrong with it, the client is gone.
        _ended = connection => {}
        () = unread => {}
    }
}
