//! A hub on this machine: a listing, files by commit, a store at another origin, and the faults that a network has.
//! One request a connection, written by hand, so that a cut falls on the very byte that a test names.

use std::collections::{BTreeMap, VecDeque};
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

#[derive(Debug, Clone)]
pub struct Seen {
    pub path: String,
    pub headers: BTreeMap<String, String>,
}

#[derive(Default)]
pub struct State {
    pub commit: String,
    pub files: BTreeMap<String, Vec<u8>>,
    /// Replies to downloads in order: bytes after which the connection is cut.
    pub cuts: VecDeque<usize>,
    /// Every reply has this status.
    pub refuse: Option<u16>,
    /// Names in the listing that no file has.
    pub odd_names: Vec<String>,
    /// Wrong bytes are sent for this file.
    pub spoil: Option<String>,
    /// Large files are sent on to this origin.
    pub store: Option<String>,
    pub seen: Vec<Seen>,
}

pub struct Stub {
    pub url: String,
    pub state: Arc<Mutex<State>>,
}

impl Stub {
    pub fn start(files: &[(&str, Vec<u8>)]) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        let files = files.iter().map(|(name, bytes)| ((*name).to_owned(), bytes.clone())).collect();
        let state = Arc::new(Mutex::new(State { commit: "c0ffee1".into(), files, ..State::default() }));
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let state = Arc::clone(&shared);
                std::thread::spawn(move || answer(stream, &state));
            }
        });
        Self { url, state }
    }

    pub fn set(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.lock().expect("unpoisoned"));
    }

    /// Requests whose path holds a word, as they came.
    pub fn seen(&self, word: &str) -> Vec<Seen> {
        let state = self.state.lock().expect("unpoisoned");
        state.seen.iter().filter(|s| s.path.contains(word)).cloned().collect()
    }

    pub fn requests(&self) -> usize {
        self.state.lock().expect("unpoisoned").seen.len()
    }
}

pub fn sha256(bytes: &[u8]) -> String {
    stratos::domain::Digest::of(bytes).as_str().to_owned()
}

fn answer(stream: TcpStream, state: &Mutex<State>) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let path = line.split(' ').nth(1)?.to_owned();
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        headers.insert(name.to_ascii_lowercase(), value.to_owned());
    }
    let mut state = state.lock().ok()?;
    let seen = Seen { path, headers };
    state.seen.push(seen.clone());
    reply(stream, &mut state, &seen)
}

fn reply(mut stream: TcpStream, state: &mut State, seen: &Seen) -> Option<()> {
    if let Some(status) = state.refuse {
        return send(&mut stream, status, "", b"no");
    }
    if seen.path.starts_with("/api/models/") {
        return send(&mut stream, 200, "", listing(state).to_string().as_bytes());
    }
    let name = seen.path.rsplit('/').next()?.split('?').next()?.to_owned();
    let Some(bytes) = state.files.get(&name).cloned() else { return send(&mut stream, 404, "", b"no such file") };
    let linked = format!("X-Linked-Etag: \"{}\"\r\nX-Linked-Size: {}\r\n", sha256(&bytes), bytes.len());
    let extra = if is_large(&name) { linked } else { String::new() };
    if let (Some(store), true) = (&state.store, is_large(&name)) {
        return send(&mut stream, 302, &format!("{extra}Location: {store}/store/{name}?signature=s3cret\r\n"), b"");
    }
    // As at a real store, the tag is not the file's checksum.
    let etag = format!("\"tag-{}\"", &sha256(&bytes)[..8]);
    let bytes = if state.spoil.as_ref() == Some(&name) { vec![b'!'; bytes.len()] } else { bytes };
    let range = seen.headers.get("range").filter(|_| seen.headers.get("if-range").is_none_or(|tag| *tag == etag));
    let from: usize = range.and_then(|r| r.strip_prefix("bytes=")?.trim_end_matches('-').parse().ok()).unwrap_or(0);
    let cut = state.cuts.pop_front().unwrap_or(usize::MAX).min(bytes.len() - from);
    let (first, all) = (from, bytes.len());
    let (status, range) = match from {
        0 => ("200 OK", String::new()),
        _ => ("206 Partial Content", format!("Content-Range: bytes {first}-{}/{all}\r\n", all - 1)),
    };
    let length = all - from;
    let head =
        format!("HTTP/1.1 {status}\r\n{extra}{range}ETag: {etag}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).ok()?;
    stream.write_all(&bytes[from..from + cut]).ok()
}

fn send(stream: &mut TcpStream, status: u16, extra: &str, body: &[u8]) -> Option<()> {
    let head = format!("HTTP/1.1 {status} X\r\n{extra}Content-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    stream.write_all(head.as_bytes()).ok()?;
    stream.write_all(body).ok()
}

fn is_large(name: &str) -> bool {
    ["safetensors", "gguf"].iter().any(|end| name.rsplit('.').next() == Some(end))
}

fn listing(state: &State) -> Value {
    let one = |(name, bytes): (&String, &Vec<u8>)| {
        let size = bytes.len();
        let mut file = json!({"rfilename": name, "size": size, "blobId": format!("blob-{}", &sha256(bytes)[..8])});
        if is_large(name) {
            file["lfs"] = json!({"sha256": sha256(bytes), "size": size, "pointerSize": 134});
        }
        file
    };
    let odd = state.odd_names.iter().map(|name| json!({"rfilename": name, "size": 1}));
    let files: Vec<Value> = state.files.iter().map(one).chain(odd).collect();
    json!({"id": "owner/tiny", "sha": state.commit, "siblings": files})
}
