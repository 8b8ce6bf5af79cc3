//! Connections: taken up to a number, with a limit on how long a request's head may take, and closed politely at the end.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};

use super::refusal::Refusal;
use super::routes::Shared;

/// The head of a request is never larger.
const LARGEST_HEAD: usize = 32 << 10;
/// After an error of the system, such as too many open files.
const BREATH: Duration = Duration::from_millis(50);

/// Takes connections until it is told to end, and comes back when all of them are closed.
pub async fn accept(listener: TcpListener, router: Router, shared: Arc<Shared>, mut end: watch::Receiver<bool>) {
    let room = shared.limits.connections;
    let places = Arc::new(Semaphore::new(room));
    loop {
        let taken = tokio::select! {
            taken = async {
                // Never closed.
                let place = Arc::clone(&places).acquire_owned().await;
                (listener.accept().await, place)
            } => taken,
            () = ended(&mut end) => break,
        };
        match taken {
            (Ok((stream, _)), place) => {
                let (router, shared, end) = (router.clone(), Arc::clone(&shared), end.clone());
                tokio::spawn(async move {
                    shared.connections.fetch_add(1, Ordering::SeqCst);
                    connection(stream, router, shared.limits.head, end).await;
                    shared.connections.fetch_sub(1, Ordering::SeqCst);
                    drop(place);
                });
            }
            (Err(_), _) => tokio::time::sleep(BREATH).await,
        }
    }
    drop(listener);
    drop(places.acquire_many(u32::try_from(room).unwrap_or(u32::MAX)).await);
}

/// When it is told to end, or nobody is left who could tell.
async fn ended(end: &mut watch::Receiver<bool>) {
    drop(end.wait_for(|ended| *ended).await);
}

async fn connection(stream: TcpStream, router: Router, head: Duration, mut end: watch::Receiver<bool>) {
    let Ok((stream, spare)) = twice(stream) else { return };
    let asked = Arc::new(AtomicBool::new(false));
    let io = TokioIo::new(Watched { stream, asked: Arc::clone(&asked) });
    let mut built = http1::Builder::new();
    // Whoever closes their side has gone: nothing is computed for them any more.
    built.timer(TokioTimer::new()).header_read_timeout(head).max_buf_size(LARGEST_HEAD).half_close(false);
    let serving = built.serve_connection(io, TowerToHyperService::new(router));
    tokio::pin!(serving);
    let served = tokio::select! {
        served = serving.as_mut() => served,
        () = ended(&mut end) => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    // A head that never came whole: hyper only closes, but whoever began to ask shall hear why.
    if served.is_err_and(|e| e.is_timeout()) && asked.load(Ordering::SeqCst) {
        say_slow(spare, head).await;
    }
}

/// The stream, and another handle of the same for the last word.
fn twice(stream: TcpStream) -> io::Result<(TcpStream, std::net::TcpStream)> {
    stream.set_nodelay(true)?;
    let stream = stream.into_std()?;
    let spare = stream.try_clone()?;
    Ok((TcpStream::from_std(stream)?, spare))
}

async fn say_slow(spare: std::net::TcpStream, head: Duration) {
    let body = Refusal::Slow { seconds: head.as_secs() }.body();
    let reply = format!(
        "HTTP/1.1 408 Request Timeout\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    // Whoever is so slow may be gone; then nobody misses the word.
    if let Ok(mut stream) = TcpStream::from_std(spare) {
        let _ = tokio::time::timeout(head, async {
            let _ = stream.write_all(reply.as_bytes()).await;
            let _ = stream.shutdown().await;
        })
        .await;
    }
}

/// A stream that remembers whether something was asked and not answered yet.
struct Watched {
    stream: TcpStream,
    asked: Arc<AtomicBool>,
}

impl AsyncRead for Watched {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buf);
        if buf.filled().len() > before {
            self.asked.store(true, Ordering::SeqCst);
        }
        polled
    }
}

impl AsyncWrite for Watched {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.asked.store(false, Ordering::SeqCst);
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
