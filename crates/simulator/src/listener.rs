//! Accepting connections on loopback, and stopping so that nothing of it is left.
//!
//! Knows no protocol: each server here gives it what to do with one connection.

use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Loopback, any free port.
pub const ANY_PORT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// More connections than this wait in the system's queue.
const MOST_CONNECTIONS: usize = 512;

/// After an accept that failed, so that a lack of file handles does not become a busy loop.
const PAUSE: Duration = Duration::from_millis(20);

/// Why a stand-in could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Choose a loopback address: what is simulated here must not be reachable from outside.
    #[error("{got} is not a loopback address: a stand-in listens on 127.0.0.1 or ::1 only")]
    NotLoopback {
        /// The address asked for.
        got: SocketAddr,
    },
    /// Choose another port, or free this one.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address asked for.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
}

/// An open port with its connections. Dropping it closes them; [`Listener::stop`] also waits.
pub(super) struct Listener {
    address: SocketAddr,
    stop: CancellationToken,
    tasks: TaskTracker,
}

/// Work that goes on beside the connections and ends with the listener.
#[derive(Clone)]
pub(super) struct Background {
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Background {
    pub(super) fn new() -> Self {
        Self {
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
        }
    }

    pub(super) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        let stop = self.stop.clone();
        self.tasks
            .spawn(async move { stop.run_until_cancelled(work).await });
    }
}

/// Opens a port on loopback; port 0 is any free one.
pub(super) async fn bind(address: SocketAddr) -> Result<TcpListener, StartError> {
    // Before anything listens: answers hold secrets in clear, and `/_simulate/` wants no password.
    if !address.ip().is_loopback() {
        return Err(StartError::NotLoopback { got: address });
    }
    TcpListener::bind(address)
        .await
        .map_err(|source| StartError::Listen { address, source })
}

impl Listener {
    /// Serves each connection in a task of its own until stopped.
    pub(super) fn spawn<F, Fut>(socket: TcpListener, background: Background, serve: F) -> Self
    where
        F: Fn(TcpStream) -> Fut + Send + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        // Asked of the socket, because port 0 was replaced by a real one at the bind.
        let address = socket.local_addr().expect("a bound socket has an address");
        let Background { stop, tasks } = background.clone();
        let accepting = async move {
            // The place is taken before the accept: a flood of connections stays in the system's
            // queue and uses up neither tasks nor file handles here.
            let places = Arc::new(Semaphore::new(MOST_CONNECTIONS));
            loop {
                let place = Arc::clone(&places)
                    .acquire_owned()
                    .await
                    .expect("nobody closes it");
                match socket.accept().await {
                    Ok((stream, _)) => {
                        // Answers are small; waiting to fill a packet would only add 40 ms to each.
                        // Where that cannot be set they are slower, not wrong.
                        let _ = stream.set_nodelay(true);
                        let work = serve(stream);
                        background.spawn(async move {
                            work.await;
                            drop(place);
                        });
                    }
                    // Out of file handles, or the client is gone again: others may still be served.
                    Err(_) => tokio::time::sleep(PAUSE).await,
                }
            }
        };
        let stopped = stop.clone();
        tasks.spawn(async move { stopped.run_until_cancelled(accepting).await });
        Self {
            address,
            stop,
            tasks,
        }
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Closes the port and every connection, and waits until nothing runs any more.
    pub(super) async fn stop(&self) {
        self.stop.cancel();
        // A tracker that is still open never counts as empty, and the wait would not end.
        self.tasks.close();
        self.tasks.wait().await;
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}
