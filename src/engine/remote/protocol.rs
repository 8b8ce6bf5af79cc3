//! What crosses the socket: frames of JSON behind their length, the greeting and the hello, then orders one way and news the
//! other.
//!
//! Owns the forms. The greeting and the hello stay readable by every version: fields are only ever added, and unknown ones
//! are passed over. Everything after them may change with the protocol's number.

use std::io::{self, Read};
use std::time::UNIX_EPOCH;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::super::command::{Command, Taken};
use super::super::event::Event;
use super::difference::Part;
use crate::domain::{Digest, UnixMillis};
use crate::workspace::Workspace;

/// Changes with every change of a frame after the greeting and the hello.
pub const PROTOCOL: u32 = 1;

/// Longer frames are not ours: a whole snapshot is a few megabytes.
const MAX_FRAME: usize = 256 << 20;

/// Bytes of a frame's length, little end first.
const PREFIX: usize = 4;

/// What an engine process is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// In the background, for consoles; ends itself when idle.
    Background,
    /// A headless command's own; ends with it.
    Command,
}

/// The engine's first frame, to whoever connects.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Greeting {
    /// "engine": tells our socket from somebody else's.
    pub stratos: String,
    pub protocol: u32,
    pub version: String,
    /// Differs between builds of one version.
    pub build: String,
    pub pid: u32,
    pub root: String,
    pub kind: Kind,
    /// Of `stratos.toml` and the recipe, as they were read when the engine began.
    pub settings: Digest,
    pub started: UnixMillis,
    /// What its job is doing, in words; `None`: it is idle.
    #[serde(default)]
    pub busy: Option<String>,
    /// Front ends that are attached.
    #[serde(default)]
    pub clients: usize,
}

impl Greeting {
    /// Speaks exactly this program's language.
    pub fn same_build(&self) -> bool {
        self.protocol == PROTOCOL && self.version == env!("CARGO_PKG_VERSION") && self.build == build()
    }

    /// "0.1.0, build 3f2a…"
    pub fn program(&self) -> String {
        format!("{}, build {}", self.version, self.build)
    }
}

/// What a front end wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wish {
    Attach,
    /// Read the greeting only.
    Look,
    /// End: at the job's next checkpoint if there is one.
    End,
    /// End at once, as if it were killed.
    EndNow,
    /// End, if idle, so that another engine can take over; attached front ends go on with that one.
    GiveWay,
}

/// The front end's only frame of its own language; commands follow it if it attached.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Hello {
    pub protocol: u32,
    pub build: String,
    pub pid: u32,
    pub wish: Wish,
}

impl Hello {
    pub fn new(wish: Wish) -> Self {
        Self { protocol: PROTOCOL, build: build(), pid: std::process::id(), wish }
    }
}

/// Why an engine ends, as it tells its front ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Farewell {
    pub why: String,
    /// It ends only to make room: attach again, or start the next one.
    pub again: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FromEngine {
    /// What changed of the snapshot since the last such frame; the first one is the whole.
    State(Vec<Part>),
    News(Vec<Event>),
    /// The command with this number was taken, and the state before this frame shows it.
    Taken {
        id: u64,
        taken: Taken,
    },
    Refused(String),
    Farewell(Farewell),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FromFrontEnd {
    /// Numbers the commands whose sender waits for an answer.
    pub id: Option<u64>,
    pub command: Command,
}

/// This program, as it stands on disk: enough to tell two builds of one version apart without reading megabytes.
pub fn build() -> String {
    // A test plays two builds with one binary.
    if let Ok(other) = std::env::var("STRATOS_BUILD") {
        return other;
    }
    let file = super::spawn::program().and_then(|path| path.metadata().ok());
    let stamp =
        file.map(|f| (f.len(), f.modified().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok()).map(|d| d.as_nanos())));
    Digest::of_json(&stamp).short().to_owned()
}

/// What an engine reads once, when it begins.
pub fn settings(workspace: &Workspace) -> Digest {
    Digest::of_json(&(workspace.config.to_toml(), &workspace.recipe))
}

/// A frame's bytes, length first.
pub fn frame(content: &impl Serialize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; PREFIX];
    serde_json::to_writer(&mut bytes, content)?;
    let length = bytes.len() - PREFIX;
    if length > MAX_FRAME {
        return Err(io::Error::other(format!("a message of {length} bytes is too long")));
    }
    bytes[..PREFIX].copy_from_slice(&(length as u32).to_le_bytes());
    Ok(bytes)
}

/// Bytes that have come, until they are frames.
#[derive(Debug, Default)]
pub struct Frames {
    bytes: Vec<u8>,
    /// Where the next frame begins; what is before it was taken.
    from: usize,
}

impl Frames {
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.drain(..self.from);
        self.from = 0;
        self.bytes.extend_from_slice(bytes);
    }

    /// The next whole frame, if it is there.
    pub fn take<T: DeserializeOwned>(&mut self) -> io::Result<Option<T>> {
        let rest = &self.bytes[self.from..];
        let Some((length, rest)) = rest.split_first_chunk::<PREFIX>() else { return Ok(None) };
        let length = u32::from_le_bytes(*length) as usize;
        if length > MAX_FRAME {
            return Err(io::Error::other(format!("a frame of {length} bytes")));
        }
        let Some(content) = rest.get(..length) else { return Ok(None) };
        self.from += PREFIX + length;
        Ok(Some(serde_json::from_slice(content)?))
    }

    /// Reads until a frame is there; the end of the stream is an error.
    pub fn read<T: DeserializeOwned>(&mut self, stream: &mut impl Read) -> io::Result<T> {
        let mut piece = vec![0; 64 << 10];
        loop {
            if let Some(frame) = self.take()? {
                return Ok(frame);
            }
            match stream.read(&mut piece)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                read => self.push(&piece[..read]),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::Phase;
    use crate::engine::{Consent, Level};

    fn greeting() -> Greeting {
        Greeting {
            stratos: "engine".into(),
            protocol: PROTOCOL,
            version: "0.1.0".into(),
            build: "b".into(),
            pid: 7,
            root: "/ws".into(),
            kind: Kind::Background,
            settings: Digest::of("s"),
            started: UnixMillis(1),
            busy: None,
            clients: 0,
        }
    }

    #[test]
    fn a_greeting_of_a_later_version_is_still_read() {
        let mut later = serde_json::to_value(greeting()).expect("json");
        later["protocol"] = 99.into();
        later["something_new"] = serde_json::json!({"deep": [1, 2]});
        let read: Greeting = serde_json::from_value(later).expect("readable");
        assert_eq!((read.protocol, read.same_build()), (99, false));
        let mut earlier = serde_json::to_value(greeting()).expect("json");
        earlier.as_object_mut().expect("object").retain(|key, _| key != "busy" && key != "clients");
        assert_eq!(serde_json::from_value::<Greeting>(earlier).expect("readable"), greeting());
    }

    #[test]
    fn a_frame_longer_than_any_of_ours_is_refused_before_it_is_read() {
        let mut frames = Frames::default();
        frames.push(&u32::MAX.to_le_bytes());
        assert!(frames.take::<Hello>().is_err());
    }

    #[test]
    fn a_loss_that_is_no_number_arrives_as_one() {
        let step = Event::EvalLoss { step: 3, loss: f64::NAN };
        let mut frames = Frames::default();
        frames.push(&frame(&FromEngine::News(vec![step])).expect("frame"));
        let Some(FromEngine::News(news)) = frames.take().expect("readable") else { unreachable!("news") };
        assert!(matches!(news[..], [Event::EvalLoss { step: 3, loss }] if loss.is_nan()));
    }

    fn frames() -> Vec<FromEngine> {
        let log = |text: &str| Event::Log { level: Level::Warn, text: text.into() };
        vec![
            FromEngine::News(vec![log("höher\n\u{1b}[31m"), Event::RunEnded { complete: true }]),
            FromEngine::Taken { id: 4, taken: Taken { refused: Some("busy".into()), said: vec![log("")] } },
            FromEngine::Refused("no".into()),
            FromEngine::Farewell(Farewell { why: "idle".into(), again: true }),
            FromEngine::State(vec![Part::Complete(true), Part::Job(None), Part::Approval(None)]),
        ]
    }

    proptest! {
        #[test]
        fn frames_arrive_whole_however_the_stream_cuts_them(cuts in proptest::collection::vec(1_usize..40, 1..200)) {
            let sent = frames();
            let bytes: Vec<u8> = sent.iter().flat_map(|f| frame(f).expect("frame")).collect();
            let (mut inbox, mut got, mut rest) = (Frames::default(), Vec::new(), &bytes[..]);
            for cut in cuts.iter().cycle() {
                if rest.is_empty() {
                    break;
                }
                let (piece, after) = rest.split_at((*cut).min(rest.len()));
                inbox.push(piece);
                rest = after;
                while let Some(frame) = inbox.take::<FromEngine>().expect("readable") {
                    got.push(frame);
                }
            }
            prop_assert_eq!(got, sent);
        }

        #[test]
        fn any_bytes_are_a_frame_an_error_or_not_enough(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let mut inbox = Frames::default();
            inbox.push(&bytes);
            while let Ok(Some(_)) = inbox.take::<FromFrontEnd>() {}
        }
    }

    #[test]
    fn commands_arrive_as_they_were_sent() {
        let sent = FromFrontEnd { id: Some(1), command: Command::Run { to: Phase::Train, consent: Consent::yes(None) } };
        let mut inbox = Frames::default();
        inbox.push(&frame(&sent).expect("frame"));
        assert_eq!(inbox.take::<FromFrontEnd>().expect("readable"), Some(sent));
    }
}
