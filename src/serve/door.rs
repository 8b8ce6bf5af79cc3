//! The service from its first to its last breath: bound, ready, drained, gone.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use thiserror::Error;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::watch;

use super::accept::accept;
use super::metrics::Metrics;
use super::queue::{Phase, Queue};
use super::routes::{Shared, router};
use super::scores::{About, Opens, Trouble};
use super::token::{Access, TOKEN_VARIABLE};

#[derive(Debug, Error)]
pub enum ServeError {
    #[error("cannot listen on {address}: {source}. Choose another with --address, or end who listens there")]
    Bind { address: SocketAddr, source: std::io::Error },
    #[error("cannot start: {0}")]
    System(#[from] std::io::Error),
    #[error(
        "{TOKEN_VARIABLE} is not set. Set it to what clients must send as their bearer token, or allow everybody on this machine: --no-token"
    )]
    NoToken,
    #[error(
        "{TOKEN_VARIABLE} is too weak: it must have {shortest} characters at least, and no spaces. Make one: openssl rand -hex 24"
    )]
    WeakToken { shortest: usize },
    #[error(
        "--no-token is allowed only on this machine, and {address} is open to others. Set {TOKEN_VARIABLE}, or listen on 127.0.0.1"
    )]
    OpenToAll { address: SocketAddr },
    #[error("{}. {}", .0.what, .0.next)]
    Scorer(Trouble),
}

/// What may be asked, and how long things may take.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Requests that wait or are answered.
    pub queue: usize,
    /// Scores that are computed at once.
    pub batch: usize,
    /// Scores of one request.
    pub max_articles: usize,
    /// Bytes of a body.
    pub max_body: usize,
    pub connections: usize,
    /// For a request's head, and between two requests of a connection.
    pub head: Duration,
    pub body: Duration,
    /// From a request's beginning to its scores.
    pub answer: Duration,
}

/// A service that listens.
#[derive(Debug)]
pub struct Server {
    runtime: Runtime,
    shared: Arc<Shared>,
    address: SocketAddr,
    end: watch::Sender<bool>,
    accepting: tokio::task::JoinHandle<()>,
    worker: JoinHandle<()>,
}

impl Server {
    /// Listens at once, and waits until the scorer is open.
    pub fn start(address: SocketAddr, access: Access, limits: Limits, opens: Opens) -> Result<Self, ServeError> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let bound = runtime.block_on(TcpListener::bind(address));
        let listener = bound.map_err(|source| ServeError::Bind { address, source })?;
        let address = listener.local_addr()?;
        let (queue, worker) = Queue::open(limits.queue, limits.batch, opens, Arc::new(Metrics::default()))?;
        let mut phase = queue.phase.clone();
        let shared = Arc::new(Shared { queue, limits, access, connections: AtomicUsize::new(0) });
        let (end, ended) = watch::channel(false);
        let accepting = runtime.spawn(accept(listener, router(Arc::clone(&shared)), Arc::clone(&shared), ended));
        let opened = runtime.block_on(async {
            match phase.wait_for(|phase| *phase != Phase::Loading).await.as_deref() {
                Ok(Phase::Failed(trouble)) => Some(trouble.clone()),
                _ => None,
            }
        });
        match opened {
            Some(trouble) => Err(ServeError::Scorer(trouble)),
            None => Ok(Self { runtime, shared, address, end, accepting, worker }),
        }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Whose answers it gives now.
    pub fn about(&self) -> About {
        self.shared.queue.metrics.whose()
    }

    /// Serves until SIGTERM or SIGINT; then finishes what was taken, refuses what is new, and ends. A second signal ends it
    /// at once: `false`.
    pub fn run(self) -> Result<bool, ServeError> {
        let mut signals = self.runtime.block_on(async { Signals::new() })?;
        self.runtime.block_on(signals.next());
        self.begin_to_drain();
        let whole = self.runtime.block_on(async {
            tokio::select! {
                () = self.shared.queue.empty() => true,
                () = signals.next() => false,
            }
        });
        if !whole {
            self.runtime.shutdown_background();
            return Ok(false);
        }
        self.finish();
        Ok(true)
    }

    /// Refuses what is new from here on.
    pub fn begin_to_drain(&self) {
        self.shared.queue.draining.store(true, Ordering::SeqCst);
    }

    /// Finishes what was taken, and ends.
    pub fn drain(self) {
        self.begin_to_drain();
        self.runtime.block_on(self.shared.queue.empty());
        self.finish();
    }

    /// Nobody waits any more: what is still written is written, and connections are closed.
    fn finish(self) {
        let Self { runtime, shared, end, accepting, worker, .. } = self;
        end.send_replace(true);
        let patience = shared.limits.head + shared.limits.body;
        // Whoever does not take an answer is not waited for.
        let _ = runtime.block_on(async { tokio::time::timeout(patience, accepting).await });
        drop(shared);
        // The queue ends with the last who could put something into it, and its thread with it.
        runtime.shutdown_timeout(Duration::from_secs(1));
        let _ = worker.join();
    }
}

/// The signals that ask for an end.
struct Signals {
    #[cfg(unix)]
    term: tokio::signal::unix::Signal,
    #[cfg(unix)]
    int: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn new() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self { term: signal(SignalKind::terminate())?, int: signal(SignalKind::interrupt())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.term.recv() => {}
            _ = self.int.recv() => {}
        }
    }
}

#[cfg(not(unix))]
impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {})
    }

    async fn next(&mut self) {
        let _ = tokio::signal::ctrl_c().await;
    }
}
