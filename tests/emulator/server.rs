//! The socket: one thread, one runtime, connections that can be cut without a reply, and the order in which faults strike.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::thread::JoinHandle;
use std::time::Duration;

use axum::Router;
use axum::body::{Body as HttpBody, Bytes, to_bytes};
use axum::extract::connect_info::Connected;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::Response;
use axum::serve::{IncomingStream, Listener};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

use super::faults::{Fault, Op, Script, Seen};
use super::state::World;
use super::wire::{Answerer, Call, Reply, problem, scripted};
use super::{Options, Provider, Shared, anthropic, control, gemini, openai};

/// A server that stops when this is dropped.
pub struct Running {
    pub port: u16,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// A port that is taken and refuses every connection.
pub struct Kept {
    _socket: tokio::net::TcpSocket,
}

impl Kept {
    pub fn on(port: u16) -> Self {
        let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
        socket.set_reuseaddr(true).expect("connections of before may linger");
        socket.bind(([127, 0, 0, 1], port).into()).expect("the port that was ours");
        Self { _socket: socket }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic of the server has been printed by its own thread.
            let _ = thread.join();
        }
    }
}

pub fn run(options: &Options, script: Arc<Mutex<Script>>) -> (Arc<Shared>, Running) {
    let socket = bind(options.port);
    let port = socket.local_addr().expect("a bound socket has an address").port();
    let world = World::open(options.clone(), format!("http://127.0.0.1:{port}"));
    let shared = Arc::new(Shared { world: Mutex::new(world), script });
    let (stop, stopped) = oneshot::channel();
    let state = Arc::clone(&shared);
    let work = move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime can be made");
        runtime.block_on(async move {
            let listener = Doors(TcpListener::from_std(socket).expect("the socket is non-blocking"));
            let app = Router::new().fallback(handle).with_state(state);
            let serving = axum::serve(listener, app.into_make_service_with_connect_info::<Line>());
            tokio::select! {
                _ = serving => {}
                _ = stopped => {}
            }
        });
        // The runtime drops here, and every connection with it: what a crash looks like from outside.
    };
    let thread = std::thread::Builder::new().name("batch-emulator".into()).spawn(work).expect("a thread can be started");
    (shared, Running { port, stop: Some(stop), thread: Some(thread) })
}

/// Binds at once, so that the port is known before the thread runs. A port just given up may linger for a moment.
fn bind(port: u16) -> std::net::TcpListener {
    let socket = std::net::TcpListener::bind(("127.0.0.1", port)).expect("the emulator's port can be bound");
    socket.set_nonblocking(true).expect("a socket can be non-blocking");
    socket
}

/// Accepts connections that can be cut.
struct Doors(TcpListener);

impl Listener for Doors {
    type Io = Wire;
    type Addr = Line;

    async fn accept(&mut self) -> (Wire, Line) {
        let (stream, _) = Listener::accept(&mut self.0).await;
        let line = Line::default();
        (Wire { stream, line: line.clone() }, line)
    }

    fn local_addr(&self) -> std::io::Result<Line> {
        Ok(Line::default())
    }
}

/// One connection's switch: once cut, nothing more is written to it.
#[derive(Debug, Clone, Default)]
struct Line(Arc<AtomicBool>);

impl Line {
    fn cut(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    fn is_cut(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

impl Connected<IncomingStream<'_, Doors>> for Line {
    fn connect_info(stream: IncomingStream<'_, Doors>) -> Self {
        stream.remote_addr().clone()
    }
}

struct Wire {
    stream: TcpStream,
    line: Line,
}

fn reset<T>() -> Poll<std::io::Result<T>> {
    Poll::Ready(Err(std::io::ErrorKind::ConnectionReset.into()))
}

impl AsyncRead for Wire {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        if self.line.is_cut() {
            return reset();
        }
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// What `OpenAI` allows for a file is 200 MB, Anthropic for a body 256 MB; beyond this nothing is read.
const MOST_BYTES: usize = 300 << 20;

async fn handle(State(shared): State<Arc<Shared>>, ConnectInfo(line): ConnectInfo<Line>, request: Request) -> Response<HttpBody> {
    let (parts, body) = request.into_parts();
    let query = parts.uri.query().map(pairs).unwrap_or_default();
    let mut call =
        Call { method: parts.method, path: parts.uri.path().to_owned(), query, headers: parts.headers, body: Bytes::new() };
    let by_hand = call.path.starts_with("/_emulator");
    if !by_hand {
        let host = call.header("host").unwrap_or_default().to_owned();
        let seen = Seen { method: call.method.to_string(), path: call.path.clone(), host, keys: call.keys() };
        call.settle_version();
        let mut script = shared.script();
        script.seen.push(seen);
        if script.take(call.op(), |f| matches!(f, Fault::ServerDown { .. })).is_some() {
            return send(Reply::cut(), &line);
        }
    }
    let Ok(bytes) = to_bytes(body, MOST_BYTES).await else { return send(Reply::html(413), &line) };
    call.body = bytes;
    if by_hand {
        return send(control::answer(&call, &shared), &line);
    }
    let (reply, late) = {
        let (mut world, mut script) = (shared.world(), shared.script());
        let reply = answer(&call, &mut world, &mut script);
        (reply, script.take(call.op(), |f| matches!(f, Fault::DelayMs(_))))
    };
    if let Some(Fault::DelayMs(ms)) = late {
        tokio::time::sleep(Duration::from_millis(ms)).await;
    }
    send(reply, &line)
}

/// Faults that strike any call, then the key, then the dialect; around a create, the faults of lost replies.
fn answer(call: &Call, world: &mut World, script: &mut Script) -> Reply {
    let Some(provider) = call.provider() else { return Reply::html(404) };
    let op = call.op();
    match script.take(op, |f| matches!(f, Fault::Redirect { .. } | Fault::Status { .. })) {
        Some(Fault::Redirect { to }) => return Reply { status: 307, ..Reply::default() }.with("location", to),
        Some(Fault::Status { code, body, retry_after, .. }) => {
            return named(scripted(provider, code, &body, retry_after), provider, world);
        }
        _ => {}
    }
    if world.options.key.as_deref().is_some_and(|key| call.key() != Some(key)) {
        return named(refused(provider, call), provider, world);
    }
    if op == Op::Look && script.take(op, |f| matches!(f, Fault::NotFoundAfterCreate { .. })).is_some() {
        return named(problem(provider, 404, "Not found"), provider, world);
    }
    let dialect: Answerer = match provider {
        Provider::Anthropic => anthropic::answer,
        Provider::OpenAi => openai::answer,
        Provider::Gemini => gemini::answer,
    };
    let makes = matches!(op, Op::Create | Op::Sync);
    let lost = |f: &Fault| matches!(f, Fault::CommitThenDrop | Fault::DropBeforeCommit | Fault::CommitThen502Html);
    let lost = if makes { script.take(op, lost) } else { None };
    if lost == Some(Fault::DropBeforeCommit) {
        return Reply::cut();
    }
    let reply = dialect(call, world, script);
    match lost {
        Some(Fault::CommitThenDrop) => Reply::cut(),
        Some(Fault::CommitThen502Html) => Reply::html(502),
        _ => named(reply, provider, world),
    }
}

/// A wrong key, or none. Gemini says 400 to a wrong one and 403 to none.
fn refused(provider: Provider, call: &Call) -> Reply {
    match (provider, call.key()) {
        (Provider::Anthropic, None) => problem(provider, 401, "x-api-key header is required"),
        (Provider::Anthropic, _) => problem(provider, 401, "invalid x-api-key"),
        (Provider::OpenAi, None) => problem(provider, 401, "You didn't provide an API key."),
        (Provider::OpenAi, _) => problem(provider, 401, "Incorrect API key provided."),
        (Provider::Gemini, None) => problem(provider, 403, "Method doesn't allow unregistered callers. Please use API Key."),
        (Provider::Gemini, _) => gemini::invalid_key(),
    }
}

/// Gives a reply its request id, in the header and, for Anthropic's errors, in the body.
fn named(mut reply: Reply, provider: Provider, world: &mut World) -> Reply {
    let id = world.request_id();
    let header = match provider {
        Provider::Anthropic => "request-id",
        Provider::OpenAi => "x-request-id",
        Provider::Gemini => return reply,
    };
    if provider == Provider::Anthropic && reply.status >= 400 {
        let body = String::from_utf8_lossy(&reply.body).replace("\"request_id\":null", &format!("\"request_id\":\"{id}\""));
        reply.body = body.into_bytes();
    }
    reply.with(header, id)
}

fn send(reply: Reply, line: &Line) -> Response<HttpBody> {
    if reply.cut {
        line.cut();
        return Response::new(HttpBody::empty());
    }
    let mut response = Response::builder().status(reply.status);
    for (name, value) in &reply.headers {
        response = response.header(name, value);
    }
    let body = match reply.claimed {
        None => HttpBody::from(reply.body),
        // A stream has no length of its own, so the claimed one stands, and the connection closes when the stream is dry.
        Some(length) => {
            response = response.header("content-length", length);
            HttpBody::from_stream(futures_util::stream::iter([Ok::<_, Infallible>(Bytes::from(reply.body))]))
        }
    };
    response.body(body).expect("a reply's parts are valid HTTP")
}

fn pairs(query: &str) -> Vec<(String, String)> {
    let pair = |part: &str| {
        let (key, value) = part.split_once('=').unwrap_or((part, ""));
        (decoded(key), decoded(value))
    };
    query.split('&').filter(|p| !p.is_empty()).map(pair).collect()
}

fn decoded(text: &str) -> String {
    let mut out = Vec::new();
    let mut bytes = text.bytes();
    while let Some(b) = bytes.next() {
        let hex = |c: Option<u8>| c.and_then(|c| char::from(c).to_digit(16));
        match b {
            b'+' => out.push(b' '),
            b'%' => {
                let (high, low) = (hex(bytes.next()), hex(bytes.next()));
                out.push(high.zip(low).map_or(b'?', |(h, l)| (h * 16 + l) as u8));
            }
            _ => out.push(b),
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}
