//! Server and client over a real socket, both in this process.

use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;

use super::client::dial;
use super::protocol::{Frames, FromEngine, Greeting, Hello, frame};
use super::*;
use crate::domain::{Phase, SystemClock};
use crate::engine::{Command, Consent, Engine, EngineHandle, Errand, Event};
use crate::workspace::{Config, Workspace};

/// An engine that listens, in a workspace of its own.
struct World {
    workspace: Arc<Workspace>,
    engine: Option<Engine>,
    server: Option<Server>,
    _dir: tempfile::TempDir,
}

impl World {
    fn of(kind: Kind) -> Self {
        let dir = tempfile::tempdir().expect("temp dir");
        Workspace::init(dir.path(), &Config::default()).expect("workspace");
        let workspace = Workspace::open(dir.path()).expect("opens");
        let (engine, handle) = Engine::start(workspace.clone(), Arc::new(SystemClock)).expect("starts");
        let server = Server::start(&workspace, handle, kind).expect("listens");
        Self { workspace, engine: Some(engine), server: Some(server), _dir: dir }
    }

    fn attach(&self) -> EngineHandle {
        attach(&self.workspace).expect("no error").expect("an engine")
    }

    fn socket(&self) -> PathBuf {
        place::socket(&self.workspace).expect("a place")
    }

    fn close(mut self, again: bool) {
        self.server.take().expect("listens").close(Farewell { why: "the test is over".into(), again });
        self.engine.take().expect("works").join();
    }
}

fn block<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime").block_on(future)
}

async fn until_done(handle: &EngineHandle, phase: Phase) {
    let done = |s: &Arc<crate::engine::Snapshot>| s.phases[phase.index()].state == crate::domain::PhaseState::Done;
    handle.snapshot().wait_for(done).await.expect("the engine lives");
}

#[test]
fn a_front_end_elsewhere_sees_asks_and_hears_as_one_here_does() {
    let world = World::of(Kind::Command);
    let handle = world.attach();
    assert_eq!(handle.link().expect("elsewhere").greeting.pid, std::process::id());
    block(async {
        let mut snapshot = handle.snapshot();
        snapshot.wait_for(|s| s.complete).await.expect("lives");
        let mut events = handle.events();
        let to = Phase::Articles;
        let taken = handle.ask(Command::Run { to, consent: Consent::default() }).await.expect("taken");
        assert_eq!(taken.refused, None);
        assert!(taken.said.contains(&Event::PhaseStarted { phase: Phase::Profiles }), "{taken:?}");
        assert!(snapshot.borrow().job.is_some(), "the state came before the answer");
        let mut heard = Vec::new();
        loop {
            let event = events.recv().await.expect("told");
            let end = matches!(event, Event::RunEnded { .. });
            heard.push(event);
            if end {
                break;
            }
        }
        assert_eq!(heard.last(), Some(&Event::RunEnded { complete: true }));
        until_done(&handle, to).await;
        assert!(snapshot.borrow().articles.total > 0 && !snapshot.borrow().profiles.is_empty());
    });
    drop(handle);
    world.close(false);
}

#[test]
fn two_front_ends_see_what_either_asks_for() {
    let world = World::of(Kind::Command);
    let (left, right) = (world.attach(), world.attach());
    assert!(left.send(Command::Run { to: Phase::Profiles, consent: Consent::default() }));
    block(async {
        until_done(&right, Phase::Profiles).await;
        until_done(&left, Phase::Profiles).await;
        let states = [left.snapshot().borrow().profiles.clone(), right.snapshot().borrow().profiles.clone()];
        assert_eq!(states[0], states[1]);
    });
    assert_eq!(look(&world.workspace).expect("no error").expect("there").clients, 2);
    drop((left, right));
    world.close(false);
}

#[test]
fn a_farewell_tells_why_and_whether_to_go_on() {
    let world = World::of(Kind::Command);
    let handle = world.attach();
    let (workspace, socket) = (world.workspace.clone(), world.socket());
    world.close(true);
    block(handle.ended());
    assert_eq!(handle.link().expect("elsewhere").farewell(), Farewell { why: "the test is over".into(), again: true });
    assert!(block(handle.ask(Command::Stop)).is_none() && !handle.send(Command::Stop));
    assert!(!socket.exists() && look(&workspace).expect("no error").is_none());
}

#[test]
fn a_line_that_closes_without_a_word_is_said_as_that() {
    let dir = tempfile::tempdir().expect("temp dir");
    Workspace::init(dir.path(), &Config::default()).expect("workspace");
    let workspace = Workspace::open(dir.path()).expect("opens");
    let listener = std::os::unix::net::UnixListener::bind(place::socket(&workspace).expect("a place")).expect("bound");
    let greeting = Greeting {
        stratos: "engine".into(),
        protocol: protocol::PROTOCOL,
        version: env!("CARGO_PKG_VERSION").into(),
        build: protocol::build(),
        pid: 4321,
        root: String::new(),
        kind: Kind::Background,
        settings: protocol::settings(&workspace),
        started: crate::domain::UnixMillis(0),
        busy: None,
        clients: 0,
    };
    let engine = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("called");
        stream.write_all(&frame(&greeting).expect("a frame")).expect("written");
        let hello: Hello = Frames::default().read(&mut stream).expect("a hello");
        assert_eq!(hello.wish, Wish::Attach);
        stream.write_all(&frame(&FromEngine::State(vec![Part::Complete(true)])).expect("a frame")).expect("written");
    });
    let handle = attach(&workspace).expect("no error").expect("an engine");
    assert!(handle.snapshot().borrow().complete);
    engine.join().expect("it went as it should");
    block(handle.ended());
    let farewell = handle.link().expect("elsewhere").farewell();
    assert!(farewell.why.contains("process 4321) is gone without a word") && !farewell.again, "{farewell:?}");
}

#[test]
fn only_its_user_can_open_the_socket_and_one_that_was_left_is_replaced() {
    let dir = tempfile::tempdir().expect("temp dir");
    Workspace::init(dir.path(), &Config::default()).expect("workspace");
    let workspace = Workspace::open(dir.path()).expect("opens");
    let socket = place::socket(&workspace).expect("a place");
    drop(std::os::unix::net::UnixListener::bind(&socket).expect("bound"));
    assert!(look(&workspace).expect("nobody is no error").is_none());
    let (engine, handle) = Engine::start(workspace.clone(), Arc::new(SystemClock)).expect("starts");
    let server = Server::start(&workspace, handle, Kind::Command).expect("listens");
    let mode = socket.metadata().expect("there").permissions().mode() & 0o777;
    assert_eq!((mode, look(&workspace).expect("no error").is_some()), (0o600, true));
    server.close(Farewell { why: String::new(), again: false });
    engine.join();
}

/// Says `bytes` to whoever listens and reads until the line closes.
fn say(socket: &Path, bytes: &[u8]) -> Vec<u8> {
    let mut stream = UnixStream::connect(socket).expect("called");
    stream.write_all(bytes).expect("written");
    stream.shutdown(std::net::Shutdown::Write).expect("shut");
    let mut said = Vec::new();
    // It may close before everything was said.
    let _ = stream.read_to_end(&mut said);
    said
}

#[test]
fn nonsense_and_other_builds_are_turned_away_and_the_engine_serves_on() {
    let world = World::of(Kind::Command);
    let socket = world.socket();
    for nonsense in [&b""[..], b"GET / HTTP/1.1\r\n\r\n", &[255; 64], &frame(&"no hello").expect("a frame")] {
        assert!(!say(&socket, nonsense).is_empty(), "everybody is greeted");
    }
    let later = Hello { protocol: 99, ..Hello::new(Wish::Attach) };
    let said = String::from_utf8_lossy(&say(&socket, &frame(&later).expect("a frame"))).into_owned();
    assert!(said.contains("refused") && said.contains("another build"), "{said}");
    let mut attached_nonsense = frame(&Hello::new(Wish::Attach)).expect("a frame");
    attached_nonsense.extend([9, 0, 0, 0]);
    attached_nonsense.extend(b"{\"id\":oh}");
    say(&socket, &attached_nonsense);
    block(async { world.attach().snapshot().wait_for(|s| s.complete).await.map(|_| ()).expect("lives") });
    world.close(false);
}

#[test]
fn a_commands_own_engine_gives_way_to_nobody() {
    let world = World::of(Kind::Command);
    let refused = dial(&world.socket()).expect("no error").expect("an engine").wish(Wish::GiveWay);
    assert!(matches!(refused, Err(RemoteError::Refused { .. })), "{refused:?}");
    world.close(false);
}

#[test]
fn relative_paths_are_those_of_the_front_end() {
    let import = |from: &str| Command::Errand { errand: Errand::ImportArticles { from: from.into(), limit: None } };
    let here = Path::new("/here");
    assert_eq!(import("news/today.jsonl").anchored(here), import("/here/news/today.jsonl"));
    for absolute in ["/there", "https://example.org/feed", "HTTP://example.org/"] {
        assert_eq!(import(absolute).anchored(here), import(absolute));
    }
}
