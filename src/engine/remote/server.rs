//! The engine's side: listens on the socket and serves each front end from an ordinary [`EngineHandle`].
//!
//! Owns the socket's life, the clients, and when an engine in the background has served its time. It runs on a thread of its
//! own, so that a slow front end costs the engine nothing.

use std::collections::HashMap;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener as Blocking;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::net::{UnixListener, UnixStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

use super::super::EngineHandle;
use super::super::command::{Command, Taken};
use super::super::snapshot::Snapshot;
use super::outbox::Outbox;
use super::protocol::{
    Farewell, Frames, FromEngine, FromFrontEnd, Greeting, Hello, Kind, PROTOCOL, Wish, build, frame, settings,
};
use super::{RemoteError, place};
use crate::domain::{Clock as _, SystemClock, one_line};
use crate::workspace::Workspace;

/// States at most so often: as often as a console draws.
const PACE: Duration = Duration::from_millis(33);
/// How long an engine stays that has nothing to do and nobody attached: an operator who closes the console and opens it
/// again finds it warm.
const GRACE: Duration = Duration::from_secs(2);
/// Until its first front end has come, on a machine that is busy.
const FIRST_GRACE: Duration = Duration::from_secs(15);
/// Who connects says what it wants within this time.
const HELLO: Duration = Duration::from_secs(10);
/// A front end that does not read gets this long to hear the farewell.
const PARTING: Duration = Duration::from_secs(2);
const PIECE: usize = 64 << 10;

/// A listening engine. Hold the workspace's lock as long as it lives.
pub struct Server {
    thread: JoinHandle<()>,
    close: mpsc::UnboundedSender<Farewell>,
}

impl Server {
    /// Listens. A socket that is there already is left from an engine that was killed: the lock says that none is alive.
    pub fn start(workspace: &Workspace, handle: EngineHandle, kind: Kind) -> Result<Self, RemoteError> {
        let path = place::socket(workspace)?;
        let listener = bind(&path)?;
        let greeting = Greeting {
            stratos: "engine".into(),
            protocol: PROTOCOL,
            version: env!("CARGO_PKG_VERSION").into(),
            build: build(),
            pid: std::process::id(),
            root: place::root(workspace).to_string_lossy().into_owned(),
            kind,
            settings: settings(workspace),
            started: SystemClock.now(),
            busy: None,
            clients: 0,
        };
        let io = |e| RemoteError::socket("listen on", &path, e);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(io)?;
        let door = {
            let _inside = runtime.enter();
            Door::new(UnixListener::from_std(listener).map_err(io)?, greeting, handle, path.clone()).map_err(io)?
        };
        let (close, closing) = mpsc::unbounded_channel();
        let work = move || runtime.block_on(door.serve(closing));
        let thread = std::thread::Builder::new().name("engine-door".into()).spawn(work).map_err(io)?;
        Ok(Self { thread, close })
    }

    /// Waits until there is no more reason to listen.
    pub fn wait(self) {
        // Its panic was reported by the hook.
        let _ = self.thread.join();
    }

    /// Says farewell to everybody and stops listening.
    pub fn close(self, farewell: Farewell) {
        let _ = self.close.send(farewell);
        self.wait();
    }
}

/// Made under another name and moved into place: the socket is never there with wider permissions or before it listens.
fn bind(path: &Path) -> Result<Blocking, RemoteError> {
    let io = |act| move |e| RemoteError::socket(act, path, e);
    if path.symlink_metadata().is_ok() {
        tracing::warn!("{} was left by an engine that was killed; it is replaced", path.display());
    }
    let mut fresh = path.as_os_str().to_owned();
    fresh.push(".new");
    let fresh = PathBuf::from(fresh);
    match std::fs::remove_file(&fresh) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(io("replace")(error)),
        _ => {}
    }
    let listener = Blocking::bind(&fresh).map_err(io("make"))?;
    std::fs::set_permissions(&fresh, std::fs::Permissions::from_mode(0o600)).map_err(io("protect"))?;
    listener.set_nonblocking(true).map_err(io("make"))?;
    std::fs::rename(&fresh, path).map_err(io("place"))?;
    Ok(listener)
}

/// What a client's task tells the door.
enum Knock {
    Joined(u64, u32),
    Left(u64),
    /// The asker's task waits for the farewell as clients do.
    End {
        by: String,
        again: bool,
    },
}

struct Door {
    listener: UnixListener,
    greeting: Greeting,
    handle: EngineHandle,
    path: PathBuf,
    signals: mpsc::UnboundedReceiver<&'static str>,
    guests: Guests,
}

/// The front ends that are attached, by the number of their connection: which process each is. `None`: the door is closed, and
/// who comes now is told so instead of being let in to an engine that ends.
#[derive(Clone)]
struct Guests(Arc<Mutex<Option<HashMap<u64, u32>>>>);

impl Guests {
    fn open() -> Self {
        Self(Arc::new(Mutex::new(Some(HashMap::new()))))
    }

    fn held(&self) -> MutexGuard<'_, Option<HashMap<u64, u32>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self) -> usize {
        self.held().as_ref().map_or(0, HashMap::len)
    }

    /// False: the door is closed.
    fn enter(&self, number: u64, process: u32) -> bool {
        self.held().as_mut().map(|guests| guests.insert(number, process)).is_some()
    }

    /// True: it was inside.
    fn leave(&self, number: u64) -> bool {
        self.held().as_mut().is_some_and(|guests| guests.remove(&number).is_some())
    }

    /// Closes the door if nobody is inside.
    fn close_if_empty(&self) -> bool {
        let mut held = self.held();
        let empty = held.as_ref().is_none_or(HashMap::is_empty);
        if empty {
            *held = None;
        }
        empty
    }
}

/// The job in words, if one is live.
fn busy(snapshot: &Snapshot) -> Option<String> {
    let job = snapshot.job.as_ref().filter(|job| job.state.is_live())?;
    let far = match (job.done, job.total) {
        (0, 0) => String::new(),
        (done, 0) => format!(", {done} {}", job.unit),
        (done, total) => format!(", {done}/{total} {}", job.unit),
    };
    Some(format!("{} is {}{far}", job.phase.title(), job.state.label()))
}

impl Door {
    fn new(listener: UnixListener, greeting: Greeting, handle: EngineHandle, path: PathBuf) -> io::Result<Self> {
        let (tell, signals) = mpsc::unbounded_channel();
        // A headless command hears signals itself.
        if greeting.kind == Kind::Background {
            for (kind, name) in
                [(SignalKind::terminate(), "SIGTERM"), (SignalKind::interrupt(), "SIGINT"), (SignalKind::hangup(), "SIGHUP")]
            {
                let (mut signal, tell) = (signal(kind)?, tell.clone());
                tokio::spawn(async move {
                    while signal.recv().await.is_some() {
                        if tell.send(name).is_err() {
                            break;
                        }
                    }
                });
            }
        }
        Ok(Self { listener, greeting, handle, path, signals, guests: Guests::open() })
    }

    async fn serve(mut self, mut closing: mpsc::UnboundedReceiver<Farewell>) {
        let (bye, goodbye) = watch::channel(None);
        let (knock, mut knocks) = mpsc::unbounded_channel();
        let mut snapshot = self.handle.snapshot();
        let mut tasks = JoinSet::new();
        let (mut number, mut ending) = (0_u64, None::<Farewell>);
        let background = self.greeting.kind == Kind::Background;
        let mut leave_at = Instant::now() + FIRST_GRACE;
        let farewell = loop {
            let live = busy(&snapshot.borrow_and_update()).is_some();
            if !live && let Some(farewell) = ending.take() {
                break farewell;
            }
            let idle = background && !live && self.guests.count() == 0;
            tokio::select! {
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, _)) => {
                        number += 1;
                        let guests = self.guests.clone();
                        let mut greeting = self.greeting.clone();
                        greeting.busy = busy(&snapshot.borrow());
                        greeting.clients = self.guests.count();
                        let client = Client {
                            number, stream, handle: self.handle.clone(), knock: knock.clone(), goodbye: goodbye.clone(), guests,
                        };
                        tasks.spawn(client.serve(greeting));
                    }
                    Err(error) => {
                        tracing::warn!("nobody could be let in: {error}");
                        // Too many open files mends itself, or does not; either way not at once.
                        tokio::time::sleep(PACE).await;
                    }
                },
                Some(knock) = knocks.recv() => match knock {
                    Knock::Joined(number, process) => tracing::info!(number, process, "a front end attached"),
                    Knock::Left(number) => {
                        tracing::info!(number, "a front end left");
                        leave_at = Instant::now() + GRACE;
                    }
                    Knock::End { by, again } => ending = self.end(ending, &by, again),
                },
                Some(name) = self.signals.recv() => ending = self.end(ending, name, false),
                Some(farewell) = closing.recv() => break farewell,
                changed = snapshot.changed() => match changed {
                    Ok(()) => {
                        // A job that ends with nobody there leaves time to come back.
                        if live && busy(&snapshot.borrow()).is_none() {
                            leave_at = Instant::now() + GRACE;
                        }
                    }
                    // The engine's own thread is gone: front ends see the line close without a word.
                    Err(_) => return,
                },
                () = sleep_until(leave_at), if idle => {
                    if !self.guests.close_if_empty() {
                        continue;
                    }
                    tracing::info!("nobody is attached and nothing is to do: the engine ends");
                    break Farewell { why: "the engine ended: nobody was attached and it had nothing to do".into(), again: true };
                }
                Some(_) = tasks.join_next() => {}
            }
        };
        // First: who calls from now on finds nobody and may start the next engine.
        let _ = std::fs::remove_file(&self.path);
        drop(self.listener);
        bye.send_replace(Some(farewell));
        let all = async { while tasks.join_next().await.is_some() {} };
        // Who does not read is cut off.
        let _ = timeout(PARTING, all).await;
    }

    /// Asks the job to stop at its next checkpoint; the engine ends behind it.
    fn end(&self, ending: Option<Farewell>, by: &str, again: bool) -> Option<Farewell> {
        if ending.is_some() {
            return ending;
        }
        tracing::info!("{by}: the engine stops its job at the next checkpoint and ends");
        self.handle.send(Command::Stop);
        // A command's own engine ends with its command, and says so itself.
        let why = format!("the engine (process {}) was ended by {by}", self.greeting.pid);
        (self.greeting.kind == Kind::Background).then_some(Farewell { why, again })
    }
}

/// One connection.
struct Client {
    number: u64,
    stream: UnixStream,
    handle: EngineHandle,
    knock: mpsc::UnboundedSender<Knock>,
    goodbye: watch::Receiver<Option<Farewell>>,
    guests: Guests,
}

impl Client {
    async fn serve(mut self, greeting: Greeting) {
        let number = self.number;
        if let Err(error) = self.talk(&greeting).await
            && !matches!(error.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset)
        {
            tracing::warn!(number, "front end: {error}");
        }
        if self.guests.leave(number) {
            let _ = self.knock.send(Knock::Left(number));
        }
    }

    async fn talk(&mut self, greeting: &Greeting) -> io::Result<()> {
        self.write(&frame(greeting)?).await?;
        let mut frames = Frames::default();
        let said = timeout(HELLO, read::<Hello>(&self.stream, &mut frames)).await;
        let hello = match said {
            Ok(Ok(hello)) => hello,
            // A later version's wish.
            Ok(Err(error)) if error.kind() == io::ErrorKind::InvalidData => return self.refuse(&error.to_string()).await,
            Ok(Err(error)) => return Err(error),
            Err(_) => return Err(io::Error::new(io::ErrorKind::TimedOut, "said nothing")),
        };
        match hello.wish {
            Wish::Look => Ok(()),
            Wish::EndNow => {
                tracing::warn!("process {} ends the engine at once", hello.pid);
                // As a kill would: everything that counts is on disk, and the next run goes on from there.
                std::process::exit(130);
            }
            Wish::End => self.await_end(format!("'stratos engine stop' (process {})", hello.pid), false).await,
            Wish::GiveWay => {
                let live = busy(&self.handle.snapshot().borrow());
                match live {
                    Some(live) => self.refuse(&format!("it is not idle: {live}")).await,
                    None if greeting.kind == Kind::Command => self.refuse("a headless command holds it and ends it").await,
                    None => self.await_end(format!("process {}, which brings a new one", hello.pid), true).await,
                }
            }
            Wish::Attach if hello.protocol != PROTOCOL || hello.build != greeting.build => {
                self.refuse(&format!("this engine is {}; the front end is another build", greeting.program())).await
            }
            Wish::Attach => {
                if !self.guests.enter(self.number, hello.pid) {
                    let farewell = Farewell { why: "the engine is ending".into(), again: true };
                    return self.write(&frame(&FromEngine::Farewell(farewell))?).await;
                }
                let _ = self.knock.send(Knock::Joined(self.number, hello.pid));
                self.attached(frames).await
            }
        }
    }

    async fn refuse(&self, why: &str) -> io::Result<()> {
        self.write(&frame(&FromEngine::Refused(one_line(why, 300)))?).await
    }

    /// The line stays open until the engine ends; that is the answer.
    async fn await_end(&mut self, by: String, again: bool) -> io::Result<()> {
        let _ = self.knock.send(Knock::End { by, again });
        let _ = self.goodbye.wait_for(Option::is_some).await;
        Ok(())
    }

    async fn write(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            self.stream.writable().await?;
            match self.stream.try_write(bytes) {
                Ok(written) => bytes = &bytes[written..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Orders in, news and states out, until either side leaves.
    async fn attached(&self, mut frames: Frames) -> io::Result<()> {
        let (answer, mut answers) = mpsc::unbounded_channel();
        let mut events = self.handle.events();
        let mut snapshot = self.handle.snapshot();
        let mut outbox = Outbox::new();
        outbox.show(snapshot.borrow_and_update().clone());
        let (mut out, mut at, mut piece) = (Vec::new(), 0, vec![0; PIECE]);
        let mut due = Instant::now();
        let mut parting = false;
        let mut goodbye = self.goodbye.clone();
        self.take_orders(&mut frames, &answer)?;
        loop {
            if at == out.len() {
                out.clear();
                at = 0;
                let now = Instant::now();
                match outbox.next(now >= due) {
                    Some(content) => {
                        if matches!(content, FromEngine::State(_)) {
                            due = now + PACE;
                        }
                        out = frame(&content)?;
                    }
                    None if parting => return Ok(()),
                    None => {}
                }
            }
            tokio::select! {
                ready = self.stream.writable(), if at < out.len() => {
                    ready?;
                    match self.stream.try_write(&out[at..]) {
                        Ok(written) => at += written,
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                        Err(error) => return Err(error),
                    }
                }
                ready = self.stream.readable() => {
                    ready?;
                    match self.stream.try_read(&mut piece) {
                        Ok(0) => return Ok(()),
                        Ok(read) => {
                            frames.push(&piece[..read]);
                            self.take_orders(&mut frames, &answer)?;
                        }
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                        Err(error) => return Err(error),
                    }
                }
                event = events.recv() => hear(&mut outbox, event),
                changed = snapshot.changed() => {
                    if changed.is_err() {
                        return Ok(());
                    }
                    outbox.show(snapshot.borrow_and_update().clone());
                }
                Some((id, taken)) = answers.recv() => {
                    // What was said before the answer goes before it.
                    while let Ok(event) = events.try_recv() {
                        outbox.hear(event);
                    }
                    outbox.show(snapshot.borrow_and_update().clone());
                    outbox.answer(id, taken);
                }
                () = sleep_until(due), if at == out.len() && outbox.is_behind() => {}
                said = goodbye.wait_for(Option::is_some), if !parting => {
                    parting = true;
                    if let Some(farewell) = said.ok().and_then(|said| said.clone()) {
                        while let Ok(event) = events.try_recv() {
                            outbox.hear(event);
                        }
                        outbox.show(snapshot.borrow_and_update().clone());
                        outbox.part(farewell);
                    }
                }
            }
        }
    }

    /// Passes whole orders on, in their order.
    fn take_orders(&self, frames: &mut Frames, answer: &mpsc::UnboundedSender<(u64, Taken)>) -> io::Result<()> {
        while let Some(FromFrontEnd { id, command }) = frames.take()? {
            let Some(id) = id else {
                self.handle.send(command);
                continue;
            };
            let Some(taken) = self.handle.order(command) else { continue };
            let answer = answer.clone();
            tokio::spawn(async move {
                if let Ok(taken) = taken.await {
                    let _ = answer.send((id, taken));
                }
            });
        }
        Ok(())
    }
}

fn hear(outbox: &mut Outbox, event: Result<super::super::Event, tokio::sync::broadcast::error::RecvError>) {
    use tokio::sync::broadcast::error::RecvError;
    match event {
        Ok(event) => outbox.hear(event),
        Err(RecvError::Lagged(missed)) => outbox.missed(missed),
        // The snapshot's channel closes as well, and ends the loop.
        Err(RecvError::Closed) => {}
    }
}

async fn read<T: serde::de::DeserializeOwned>(stream: &UnixStream, frames: &mut Frames) -> io::Result<T> {
    let mut piece = [0; 4096];
    loop {
        if let Some(frame) = frames.take()? {
            return Ok(frame);
        }
        stream.readable().await?;
        match stream.try_read(&mut piece) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(read) => frames.push(&piece[..read]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}
