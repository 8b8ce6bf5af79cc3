//! A stub of Ollama's API as the server of 0.12.6 was seen to behave: blobs proved by digest, models made of them, listed, shown, copied,
//! deleted, asked. It keeps everything in memory, reads prompts with a student's own tokenizer and writes one answer; a GGUF
//! needs no tensors here. Its peer check (`.ci/peers/ollama_check.py`) runs Ollama's own Python client against it, and against
//! a real server.

#![allow(dead_code, reason = "each test binary uses its own part of this stub")]

mod answers;
mod gguf;
mod store;

use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{Method, Response, StatusCode};
use serde_json::{Value, json};
use stratos::student::{ChatTemplate, Codec, Student, StudentTokenizer, template};
use tokio::sync::oneshot;

use store::{Refusal, Store, checked, digest_of};

pub const ANSWER: &str = "<think>\nweak\n</think>\nSCORE: 7.5 | REASON: it fits.";

/// How it misbehaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Fault {
    #[default]
    None,
    /// The disk is full: blobs are refused.
    FullDisk,
    /// Making a model ends with an error in the stream.
    CreateFails,
    /// The stream of a create ends before it says success.
    CreateCut,
    /// Whoever asks for the list gets other digests.
    OtherDigests,
    /// It reads other tokens.
    OtherTokens,
    /// Where a prompt has these words, it writes one token again and again, until it is stopped.
    Loops(&'static str),
    /// An answer as long as it may be lacks its last token (0.11.9 to 0.15.4, in families of Ollama's own engine).
    OneShort,
    /// It says nothing.
    Silent,
    Garbage,
    HugeBody,
}

pub struct Stub {
    pub url: String,
    world: Arc<World>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

struct World {
    store: Mutex<Store>,
    fault: Fault,
    codec: Codec,
    /// Writes the answers, the likeliest token each time; without it every answer is [`ANSWER`].
    student: Option<Student>,
    seen: Mutex<Vec<(String, Value)>>,
}

impl World {
    /// The first version that does not drop tokens, unless it is told to.
    fn version(&self) -> &'static str {
        if self.fault == Fault::OneShort { "0.12.6" } else { "0.15.5" }
    }
}

/// What the stub reads prompts with.
pub fn codec() -> Codec {
    let learn = "SCORE: 0.5 | REASON: the reader of news, the article of the row. system user assistant ".repeat(8);
    let tokenizer = StudentTokenizer::train([learn.as_str()], 340).expect("a tokenizer");
    Codec { tokenizer, template: ChatTemplate::new(template::CHATML).expect("a template") }
}

impl Stub {
    pub fn start(fault: Fault) -> Self {
        Self::on(0, fault)
    }

    /// One that answers by a student of its own, whatever weights it is given.
    pub fn of(student: Student, fault: Fault) -> Self {
        Self::begin(0, fault, student.codec.clone(), Some(student))
    }

    /// One that reads as a student does, and answers [`ANSWER`] to everything.
    pub fn reading(codec: Codec) -> Self {
        Self::begin(0, Fault::None, codec, None)
    }

    pub fn on(port: u16, fault: Fault) -> Self {
        Self::begin(port, fault, codec(), None)
    }

    fn begin(port: u16, fault: Fault, codec: Codec, student: Option<Student>) -> Self {
        let socket = TcpListener::bind(("127.0.0.1", port)).expect("a free port");
        socket.set_nonblocking(true).expect("non-blocking");
        let url = format!("http://{}", socket.local_addr().expect("bound"));
        let (stop, stopped) = oneshot::channel();
        let world = Arc::new(World { store: Mutex::default(), fault, codec, student, seen: Mutex::default() });
        let state = Arc::clone(&world);
        let work = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async move {
                let listener = tokio::net::TcpListener::from_std(socket).expect("non-blocking");
                let app = Router::new().fallback(handle).with_state(state);
                tokio::select! {
                    _ = async { axum::serve(listener, app).await } => {}
                    _ = stopped => {}
                }
            });
        };
        Self { url, world, stop: Some(stop), thread: Some(std::thread::spawn(work)) }
    }

    /// Methods and paths in the order they were asked, blobs by their prefix.
    pub fn asked(&self) -> Vec<String> {
        self.world.seen.lock().expect("no panic").iter().map(|(what, _)| what.clone()).collect()
    }

    /// What was posted to a path.
    pub fn posted(&self, path: &str) -> Vec<Value> {
        let wanted = format!("POST {path}");
        let seen = self.world.seen.lock().expect("no panic");
        seen.iter().filter(|(what, _)| *what == wanted).map(|(_, body)| body.clone()).collect()
    }

    /// Names with their digests.
    pub fn models(&self) -> Vec<(String, String)> {
        let store = self.world.store.lock().expect("no panic");
        store.models.iter().map(|(name, model)| (name.clone(), model.digest())).collect()
    }
}

impl Drop for Stub {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn handle(State(world): State<Arc<World>>, request: Request) -> Response<Body> {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let blob = path.strip_prefix("/api/blobs/").map(str::to_owned);
    if method == Method::POST && blob.as_deref().is_some_and(|digest| has_blob(&world, digest) == Ok(true)) {
        // Its body is not read.
        note(&world, "POST /api/blobs", Value::Null);
        return raw(200, "");
    }
    let bytes = axum::body::to_bytes(request.into_body(), 1 << 28).await;
    let Ok(bytes) = bytes else { return reply(400, json!({"error": "the body broke off"})) };
    let body = if blob.is_some() { Value::Null } else { serde_json::from_slice(&bytes).unwrap_or(Value::Null) };
    let seen = blob.as_ref().map_or_else(|| path.clone(), |_| "/api/blobs".into());
    note(&world, &format!("{method} {seen}"), body.clone());
    if path != "/api/version" {
        match world.fault {
            Fault::Silent => std::future::pending().await,
            Fault::Garbage => return raw(200, "{\"models\": \u{1b}[2J"),
            Fault::HugeBody => return raw(200, huge()),
            _ => {}
        }
    }
    let answered = match (&method, path.as_str(), blob) {
        (&Method::HEAD, _, Some(digest)) => has_blob(&world, &digest).map(|there| raw(if there { 200 } else { 404 }, "")),
        (&Method::POST, _, Some(digest)) => put_blob(&world, &digest, &bytes),
        (&Method::GET | &Method::HEAD, "/", _) => Ok(raw(200, "Ollama is running")),
        (&Method::GET, "/api/version", _) => Ok(reply(200, json!({"version": world.version()}))),
        (&Method::GET, "/api/tags", _) => Ok(tags(&world)),
        (&Method::GET, "/api/ps", _) => Ok(running(&world)),
        (&Method::POST | &Method::DELETE, _, _) if body.is_null() => Err((400, "missing request body".into())),
        (&Method::POST, "/api/create", _) => create(&world, &body),
        (&Method::POST, "/api/show", _) => world.store.lock().expect("no panic").show(&body).map(|shown| reply(200, shown)),
        (&Method::POST, "/api/copy", _) => world.store.lock().expect("no panic").copy(&body).map(|()| raw(200, "")),
        (&Method::DELETE, "/api/delete", _) => world.store.lock().expect("no panic").delete(&body).map(|()| raw(200, "")),
        (&Method::POST, "/api/generate", _) => answers::generate(&world, &body),
        (&Method::POST, "/api/chat", _) => answers::chat(&world, &body),
        _ => Ok(raw(404, "404 page not found")),
    };
    answered.unwrap_or_else(|(status, why)| reply(status, json!({"error": why})))
}

fn note(world: &World, what: &str, body: Value) {
    world.seen.lock().expect("no panic").push((what.to_owned(), body));
}

fn raw(status: u16, body: impl Into<Body>) -> Response<Body> {
    let status = StatusCode::from_u16(status).expect("a status");
    Response::builder()
        .status(status)
        .header("content-type", "application/json; charset=utf-8")
        .body(body.into())
        .expect("a response")
}

#[expect(clippy::needless_pass_by_value, reason = "every caller makes it on the spot")]
fn reply(status: u16, body: Value) -> Response<Body> {
    raw(status, body.to_string())
}

/// One JSON a line.
fn lines(lines: &[Value]) -> Response<Body> {
    raw(200, lines.iter().fold(String::new(), |all, line| all + &line.to_string() + "\n"))
}

fn huge() -> Body {
    let chunk = Bytes::from(vec![b' '; 1 << 20]);
    Body::from_stream(futures_util::stream::iter((0..64).map(move |_| Ok::<_, std::io::Error>(chunk.clone()))))
}

fn has_blob(world: &World, digest: &str) -> Result<bool, Refusal> {
    let digest = checked(digest)?;
    Ok(world.store.lock().expect("no panic").blobs.contains_key(&digest))
}

fn put_blob(world: &World, digest: &str, bytes: &[u8]) -> Result<Response<Body>, Refusal> {
    let digest = checked(digest)?;
    let mut store = world.store.lock().expect("no panic");
    if world.fault == Fault::FullDisk {
        return Err((500, "write /root/.ollama/models/blobs: no space left on device".into()));
    }
    let found = digest_of(bytes);
    if found != digest {
        return Err((400, format!("digest mismatch, expected \"{digest}\", got \"{found}\"")));
    }
    store.blobs.insert(digest, bytes.to_vec());
    Ok(raw(201, ""))
}

fn tags(world: &World) -> Response<Body> {
    let store = world.store.lock().expect("no panic");
    let list = store.models.iter().map(|(name, model)| {
        let mut listed = model.listed(name);
        if world.fault == Fault::OtherDigests {
            listed["digest"] = json!("f".repeat(64));
        }
        listed
    });
    reply(200, json!({"models": list.collect::<Vec<_>>()}))
}

fn running(world: &World) -> Response<Body> {
    let store = world.store.lock().expect("no panic");
    let list = store.loaded.values().map(|loaded| {
        let mut running = loaded.model.listed(&loaded.name);
        running["expires_at"] = json!("2026-11-22T00:05:00Z");
        running["size_vram"] = json!(0);
        // As it was asked for, even where the model was trained for less.
        running["context_length"] = json!(loaded.context);
        running
    });
    reply(200, json!({"models": list.collect::<Vec<_>>()}))
}

fn create(world: &World, body: &Value) -> Result<Response<Body>, Refusal> {
    let streams = body["stream"] != json!(false);
    let mut store = world.store.lock().expect("no panic");
    let name = store.prepare(body)?;
    let mut said = Vec::new();
    let made = match store.make(body, &mut said) {
        Ok(_) if world.fault == Fault::CreateFails => Err((500, "llama runner \u{1b}[31mfailed".to_owned())),
        made => made,
    };
    match made {
        // Once a stream has begun, an error is a line of it.
        Err((_, why)) if streams && !said.is_empty() => said.push(json!({"error": why})),
        Err(refusal) => return Err(refusal),
        Ok(_) if world.fault == Fault::CreateCut => {}
        Ok(model) => {
            store.put(name, model);
            said.push(json!({"status": "success"}));
        }
    }
    Ok(if streams { lines(&said) } else { reply(200, json!({"status": "success"})) })
}
