//! The front end's side: an ordinary [`EngineHandle`] whose engine is in another process.
//!
//! Owns dialling, the handshake, and the thread that keeps the copy of the snapshot. Whether to start an engine is `spawn`'s.

use std::collections::HashMap;
use std::io::{self, Write as _};
use std::os::unix::net::UnixStream as Blocking;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::net::UnixStream;
use tokio::sync::{broadcast, mpsc, oneshot, watch};

use super::super::command::{Asked, Taken};
use super::super::snapshot::Snapshot;
use super::super::{EVENT_BACKLOG, EngineHandle};
use super::difference::apply;
use super::protocol::{Farewell, Frames, FromEngine, FromFrontEnd, Greeting, Hello, Wish, frame, settings};
use super::{RemoteError, place};
use crate::workspace::Workspace;

/// Longest wait for the handshake: an engine that trains on all cores answers within a second.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// Bytes read at once.
const PIECE: usize = 64 << 10;

/// What is known of the process behind a handle.
#[derive(Debug)]
pub struct Link {
    pub greeting: Greeting,
    /// The engine began with other settings than `stratos.toml` has now.
    pub outdated: bool,
    farewell: OnceLock<Farewell>,
}

impl Link {
    /// Why the engine is gone, once it is.
    pub fn farewell(&self) -> Farewell {
        let silent = || Farewell {
            why: format!(
                "the engine (process {}) is gone without a word: it was killed or it crashed; see .stratos/logs/engine.log",
                self.greeting.pid
            ),
            again: false,
        };
        self.farewell.get().cloned().unwrap_or_else(silent)
    }
}

/// A connection whose other end has greeted.
pub(super) struct Dialled {
    pub greeting: Greeting,
    path: PathBuf,
    stream: Blocking,
    frames: Frames,
}

/// Calls the engine; `None`: nobody listens, or it is just ending.
pub(super) fn dial(path: &Path) -> Result<Option<Dialled>, RemoteError> {
    let mut stream = match Blocking::connect(path) {
        Ok(stream) => stream,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => return Ok(None),
        Err(error) => return Err(RemoteError::socket("call", path, error)),
    };
    let failed = |error| RemoteError::socket("read", path, error);
    stream.set_read_timeout(Some(HANDSHAKE)).and_then(|()| stream.set_write_timeout(Some(HANDSHAKE))).map_err(failed)?;
    let mut frames = Frames::default();
    match frames.read::<Greeting>(&mut stream) {
        Ok(greeting) if greeting.stratos == "engine" => Ok(Some(Dialled { greeting, path: path.to_owned(), stream, frames })),
        Ok(other) => Err(RemoteError::Garbled { path: path.to_owned(), why: crate::domain::one_line(&other.stratos, 40) }),
        Err(error) if is_end(&error) => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(failed(error)),
        Err(error) => Err(RemoteError::Garbled { path: path.to_owned(), why: error.to_string() }),
    }
}

fn is_end(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe)
}

impl Dialled {
    fn hello(&mut self, wish: Wish) -> Result<(), RemoteError> {
        let said = frame(&Hello::new(wish)).and_then(|bytes| self.stream.write_all(&bytes));
        said.map_err(|e| RemoteError::socket("write to", &self.path, e))
    }

    /// Says a wish that ends the engine, and waits until its end of the line is closed. With `Err`: why it does not.
    pub fn wish(mut self, wish: Wish) -> Result<(), RemoteError> {
        self.hello(wish)?;
        // A checkpoint may take its time.
        self.stream.set_read_timeout(None).map_err(|e| RemoteError::socket("read", &self.path, e))?;
        loop {
            match self.frames.read::<FromEngine>(&mut self.stream) {
                Ok(FromEngine::Refused(why)) => return Err(RemoteError::Refused { pid: self.greeting.pid, why }),
                Ok(_) => {}
                Err(_) => return Ok(()),
            }
        }
    }

    /// Attaches; `None`: the engine ended meanwhile.
    pub fn attach(mut self, settings: &crate::domain::Digest) -> Result<Option<EngineHandle>, RemoteError> {
        self.hello(Wish::Attach)?;
        let mut snapshot = Snapshot::default();
        loop {
            match self.frames.read::<FromEngine>(&mut self.stream) {
                Ok(FromEngine::State(parts)) => {
                    apply(&mut snapshot, parts).map_err(|why| RemoteError::Garbled { path: self.path.clone(), why })?;
                    break;
                }
                Ok(FromEngine::Refused(why)) => return Err(RemoteError::Refused { pid: self.greeting.pid, why }),
                Ok(FromEngine::Farewell(_)) => return Ok(None),
                // What was said before this front end knew anything.
                Ok(FromEngine::News(_) | FromEngine::Taken { .. }) => {}
                Err(error) if is_end(&error) => return Ok(None),
                Err(error) => return Err(RemoteError::socket("read", &self.path, error)),
            }
        }
        let outdated = self.greeting.settings != *settings;
        let link = Arc::new(Link { greeting: self.greeting, outdated, farewell: OnceLock::new() });
        let (commands, asked) = mpsc::unbounded_channel();
        let (events, _) = broadcast::channel(EVENT_BACKLOG);
        let (publish, watched) = watch::channel(Arc::new(snapshot.clone()));
        let folder = std::env::current_dir().unwrap_or_default();
        let mut wire = Wire { frames: self.frames, snapshot, events: events.clone(), publish, waiting: HashMap::new(), folder };
        let (stream, mine) = (self.stream, link.clone());
        let work = move || {
            let farewell = wire.run(stream, asked, &mine);
            // Before the channels close: who sees them closed asks why.
            let _ = farewell.map(|words| mine.farewell.set(words));
        };
        let failed = |e| RemoteError::socket("listen to", &self.path, e);
        std::thread::Builder::new().name("engine-link".into()).spawn(work).map_err(failed)?;
        Ok(Some(EngineHandle { commands, events, snapshot: watched, link: Some(link) }))
    }
}

/// Attaches to the engine of this workspace, whoever it is; `None`: there is none.
pub fn attach(workspace: &Workspace) -> Result<Option<EngineHandle>, RemoteError> {
    match dial(&place::socket(workspace)?)? {
        Some(dialled) => dialled.attach(&settings(workspace)),
        None => Ok(None),
    }
}

/// What the engine of this workspace says of itself; `None`: there is none.
pub fn look(workspace: &Workspace) -> Result<Option<Greeting>, RemoteError> {
    Ok(dial(&place::socket(workspace)?)?.map(|mut dialled| {
        // It ends the call in order; if it is gone by now, nothing is lost.
        let _ = dialled.hello(Wish::Look);
        dialled.greeting
    }))
}

/// The link's own thread.
struct Wire {
    frames: Frames,
    snapshot: Snapshot,
    events: broadcast::Sender<super::super::Event>,
    publish: watch::Sender<Arc<Snapshot>>,
    /// Who waits for which command to be taken.
    waiting: HashMap<u64, oneshot::Sender<Taken>>,
    /// Where relative paths of the front end begin.
    folder: PathBuf,
}

impl Wire {
    /// Until either side leaves; says why if it was not the front end.
    fn run(&mut self, stream: Blocking, asked: mpsc::UnboundedReceiver<Asked>, link: &Link) -> Option<Farewell> {
        let runtime = match tokio::runtime::Builder::new_current_thread().enable_io().build() {
            Ok(runtime) => runtime,
            Err(error) => return Some(broken(&error, link)),
        };
        match runtime.block_on(self.talk(stream, asked)) {
            Ok(farewell) => farewell,
            Err(error) if is_end(&error) => None,
            Err(error) => Some(broken(&error, link)),
        }
    }

    async fn talk(&mut self, stream: Blocking, mut asked: mpsc::UnboundedReceiver<Asked>) -> io::Result<Option<Farewell>> {
        stream.set_nonblocking(true)?;
        let stream = UnixStream::from_std(stream)?;
        let (mut piece, mut out, mut leaving, mut next) = (vec![0; PIECE], Vec::new(), false, 0);
        // What came with the first state.
        if let Some(farewell) = self.listen()? {
            return Ok(Some(farewell));
        }
        loop {
            if leaving && out.is_empty() {
                return Ok(None);
            }
            tokio::select! {
                ready = stream.readable() => {
                    ready?;
                    match stream.try_read(&mut piece) {
                        Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                        Ok(read) => {
                            self.frames.push(&piece[..read]);
                            if let Some(farewell) = self.listen()? {
                                return Ok(Some(farewell));
                            }
                        }
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                        Err(error) => return Err(error),
                    }
                }
                command = asked.recv(), if !leaving => match command {
                    Some(command) => {
                        next += 1;
                        out.extend(self.order(next, command)?);
                    }
                    // Every handle is gone.
                    None => leaving = true,
                },
                ready = stream.writable(), if !out.is_empty() => {
                    ready?;
                    match stream.try_write(&out) {
                        Ok(written) => drop(out.drain(..written)),
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                        Err(error) => return Err(error),
                    }
                }
            }
        }
    }

    fn order(&mut self, number: u64, Asked { command, answer }: Asked) -> io::Result<Vec<u8>> {
        let id = answer.map(|answer| {
            self.waiting.insert(number, answer);
            number
        });
        frame(&FromFrontEnd { id, command: command.anchored(&self.folder) })
    }

    /// Takes in every whole frame; the farewell is the last.
    fn listen(&mut self) -> io::Result<Option<Farewell>> {
        while let Some(frame) = self.frames.take::<FromEngine>()? {
            match frame {
                FromEngine::State(parts) => {
                    apply(&mut self.snapshot, parts).map_err(io::Error::other)?;
                    self.publish.send_replace(Arc::new(self.snapshot.clone()));
                }
                FromEngine::News(events) => {
                    for event in events {
                        // Nobody listens to news: the snapshot has the facts.
                        let _ = self.events.send(event);
                    }
                }
                FromEngine::Taken { id, taken } => {
                    if let Some(answer) = self.waiting.remove(&id) {
                        let _ = answer.send(taken);
                    }
                }
                FromEngine::Refused(why) => return Ok(Some(Farewell { why, again: false })),
                FromEngine::Farewell(farewell) => return Ok(Some(farewell)),
            }
        }
        Ok(None)
    }
}

fn broken(error: &io::Error, link: &Link) -> Farewell {
    Farewell { why: format!("the line to the engine (process {}) broke: {error}", link.greeting.pid), again: false }
}
