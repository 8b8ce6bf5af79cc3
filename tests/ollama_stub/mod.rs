//! A stub of Ollama's API as its server behaves (0.12 and later): blobs proved by digest, models made of them, listed, shown,
//! copied, deleted, asked. It keeps everything in memory, reads prompts with a student's own tokenizer and writes one answer.
//! Its peer check (`.ci/peers/ollama_check.py`) runs Ollama's own Python client against it.

#![allow(dead_code, reason = "each test binary uses its own part of this stub")]

mod store;

use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{Method, Response, StatusCode};
use serde_json::{Value, json};
use stratos::deploy::modelfile;
use stratos::domain::{ChatMessage, Role};
use stratos::student::{ChatTemplate, Codec, Student, StudentTokenizer, template};
use tokio::sync::oneshot;

use store::{Model, Refusal, Store, digest_of};

pub const ANSWER: &str = "<think>\nweak\n</think>\nSCORE: 7.5 | REASON: it fits.";
const CONTEXT: usize = 4096;

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
    let bytes = axum::body::to_bytes(request.into_body(), 1 << 28).await;
    let Ok(bytes) = bytes else { return reply(400, json!({"error": "the body broke off"})) };
    let blob = path.strip_prefix("/api/blobs/").map(str::to_owned);
    let body = if blob.is_some() { Value::Null } else { serde_json::from_slice(&bytes).unwrap_or(Value::Null) };
    let seen = blob.as_ref().map_or_else(|| path.clone(), |_| "/api/blobs".into());
    world.seen.lock().expect("no panic").push((format!("{method} {seen}"), body.clone()));
    if path != "/api/version" {
        match world.fault {
            Fault::Silent => std::future::pending().await,
            Fault::Garbage => return raw(200, "{\"models\": \u{1b}[2J"),
            Fault::HugeBody => return raw(200, huge()),
            _ => {}
        }
    }
    let answered = match (&method, path.as_str(), blob) {
        (&Method::HEAD, _, Some(digest)) => has_blob(&world, &digest),
        (&Method::POST, _, Some(digest)) => put_blob(&world, &digest, &bytes),
        (&Method::GET | &Method::HEAD, "/", _) => Ok(raw(200, "Ollama is running")),
        (&Method::GET, "/api/version", _) => Ok(reply(200, json!({"version": "0.12.6"}))),
        (&Method::GET, "/api/tags", _) => Ok(tags(&world)),
        (&Method::GET, "/api/ps", _) => Ok(running(&world)),
        (&Method::POST, "/api/create", _) => create(&world, &body),
        (&Method::POST, "/api/show", _) => world.store.lock().expect("no panic").get(&body).map(|(_, m)| reply(200, m.shown())),
        (&Method::POST, "/api/copy", _) => world.store.lock().expect("no panic").copy(&body).map(|()| raw(200, "")),
        (&Method::DELETE, "/api/delete", _) => world.store.lock().expect("no panic").delete(&body).map(|()| raw(200, "")),
        (&Method::POST, "/api/generate", _) => generate(&world, &body),
        (&Method::POST, "/api/chat", _) => chat(&world, &body),
        _ => Ok(raw(404, "404 page not found")),
    };
    answered.unwrap_or_else(|(status, why)| reply(status, json!({"error": why})))
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

fn checked(digest: &str) -> Result<String, Refusal> {
    let hex = digest.strip_prefix("sha256:").or_else(|| digest.strip_prefix("sha256-")).unwrap_or_default();
    let sound = hex.len() == 64 && hex.bytes().all(|b| b.is_ascii_hexdigit());
    if sound { Ok(format!("sha256:{hex}")) } else { Err((400, "invalid digest format".into())) }
}

fn has_blob(world: &World, digest: &str) -> Result<Response<Body>, Refusal> {
    let digest = checked(digest)?;
    let there = world.store.lock().expect("no panic").blobs.contains_key(&digest);
    Ok(raw(if there { 200 } else { 404 }, ""))
}

fn put_blob(world: &World, digest: &str, bytes: &[u8]) -> Result<Response<Body>, Refusal> {
    let digest = checked(digest)?;
    let mut store = world.store.lock().expect("no panic");
    if store.blobs.contains_key(&digest) {
        return Ok(raw(200, ""));
    }
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
    let loaded = store.loaded.iter().filter_map(|name| Some((name, store.models.get(name)?)));
    let list = loaded.map(|(name, model)| {
        let mut running = model.listed(name);
        running["expires_at"] = json!("2026-11-22T00:05:00Z");
        running["size_vram"] = json!(0);
        running["context_length"] = json!(model.context(&Value::Null).unwrap_or(CONTEXT));
        running
    });
    reply(200, json!({"models": list.collect::<Vec<_>>()}))
}

fn create(world: &World, body: &Value) -> Result<Response<Body>, Refusal> {
    if body.is_null() {
        return Err((400, "missing request body".into()));
    }
    let streams = body["stream"] != json!(false);
    let mut store = world.store.lock().expect("no panic");
    // What is wrong before anything is done is an ordinary error; later it is a line of the stream.
    let (name, layers) = store.prepare(body)?;
    let mut said: Vec<Value> = vec![json!({"status": "parsing GGUF"})];
    let made = Model::new(&store, body, &layers);
    let failed = match &made {
        _ if world.fault == Fault::CreateFails => Some((500, "llama runner \u{1b}[31mfailed".to_owned())),
        Err(refusal) => Some(refusal.clone()),
        Ok(_) => None,
    };
    if let Some((status, why)) = failed {
        if !streams {
            return Err((status, why));
        }
        said.push(json!({"error": why}));
        return Ok(lines(&said));
    }
    if let Ok(model) = made {
        said.extend(layers.iter().map(|digest| json!({"status": format!("using existing layer {digest}")})));
        said.push(json!({"status": "writing manifest"}));
        if world.fault == Fault::CreateCut {
            return Ok(lines(&said));
        }
        store.models.insert(name, model);
        said.push(json!({"status": "success"}));
    }
    Ok(if streams { lines(&said) } else { reply(200, json!({"status": "success"})) })
}

/// The likeliest tokens up to the end of a turn, one more than asked where there are more.
fn of_student(student: &Student, prompt: &[u32], limit: usize) -> Vec<u32> {
    let (mut ids, ends) = (prompt.to_vec(), student.ends());
    while ids.len() - prompt.len() <= limit.min(96) {
        let logits = student.logits(&ids);
        let next = (0..logits.len() as u32).max_by(|a, b| logits[*a as usize].total_cmp(&logits[*b as usize]).then(b.cmp(a)));
        match next.filter(|id| !ends.contains(id)) {
            Some(id) => ids.push(id),
            None => break,
        }
    }
    ids.split_off(prompt.len())
}

/// What is written for a text, and how much was read.
fn written(world: &World, body: &Value, model: &Model, text: &str) -> Value {
    let mut ids = world.codec.tokenizer.encode(text).expect("text");
    if world.fault == Fault::OtherTokens {
        ids.extend([7, 8, 9]);
    }
    let room = model.context(&body["options"]).unwrap_or(CONTEXT);
    let limit = model.option(&body["options"], "num_predict").filter(|n| *n >= 0).unwrap_or(i64::MAX) as usize;
    let out = match &world.student {
        Some(student) => of_student(student, &ids, limit),
        None => world.codec.tokenizer.encode(ANSWER).expect("text"),
    };
    let kept = out.len().min(limit);
    json!({
        "text": world.codec.tokenizer.decode(&out[..kept]).expect("text"), "read": ids.len().min(room), "wrote": kept,
        "reason": if kept < out.len() { "length" } else { "stop" },
    })
}

fn finished(name: &str, said: &Value) -> Value {
    json!({
        "model": name, "created_at": "2026-11-22T00:00:00.000000Z", "done": true, "done_reason": said["reason"],
        "total_duration": 9_000_000, "load_duration": 1_000_000, "prompt_eval_count": said["read"],
        "prompt_eval_duration": 3_000_000, "eval_count": said["wrote"], "eval_duration": 5_000_000,
    })
}

fn generate(world: &World, body: &Value) -> Result<Response<Body>, Refusal> {
    let mut store = world.store.lock().expect("no panic");
    let (name, model) = store.get(body)?;
    let prompt = body["prompt"].as_str().unwrap_or_default();
    if prompt.is_empty() {
        let unload = body["keep_alive"].as_f64() == Some(0.0);
        store.load(&name, !unload);
        let reason = if unload { "unload" } else { "load" };
        return Ok(reply(
            200,
            json!({"model": name, "created_at": "2026-11-22T00:00:00Z", "response": "", "done": true, "done_reason": reason}),
        ));
    }
    store.load(&name, true);
    let text = if body["raw"] == json!(true) {
        prompt.to_owned()
    } else {
        let system = body["system"].as_str().unwrap_or(&model.system);
        let mut messages = vec![ChatMessage::new(Role::User, prompt)];
        if !system.is_empty() {
            messages.insert(0, ChatMessage::new(Role::System, system));
        }
        modelfile::render(&model.template, &messages).map_err(|e| (500, e.to_string()))?
    };
    let said = written(world, body, &model, &text);
    let mut end = finished(&name, &said);
    if body["stream"] == json!(false) {
        end["response"] = said["text"].clone();
        return Ok(reply(200, end));
    }
    let piece = json!({"model": name, "created_at": "2026-11-22T00:00:00Z", "response": said["text"], "done": false});
    end["response"] = json!("");
    Ok(lines(&[piece, end]))
}

fn chat(world: &World, body: &Value) -> Result<Response<Body>, Refusal> {
    let mut store = world.store.lock().expect("no panic");
    let (name, model) = store.get(body)?;
    store.load(&name, true);
    let mut messages = Vec::new();
    for message in body["messages"].as_array().into_iter().flatten() {
        let role = serde_json::from_value(message["role"].clone());
        let role: Role = role.map_err(|_| (400, format!("invalid role: {}", message["role"])))?;
        messages.push(ChatMessage::new(role, message["content"].as_str().unwrap_or_default()));
    }
    if !model.system.is_empty() && messages.first().is_none_or(|m| m.role != Role::System) {
        messages.insert(0, ChatMessage::new(Role::System, model.system.clone()));
    }
    let text = modelfile::render(&model.template, &messages).map_err(|e| (500, e.to_string()))?;
    let said = written(world, body, &model, &text);
    let mut end = finished(&name, &said);
    if body["stream"] == json!(false) {
        end["message"] = json!({"role": "assistant", "content": said["text"]});
        return Ok(reply(200, end));
    }
    let piece = json!({"model": name, "created_at": "2026-11-22T00:00:00Z", "done": false,
        "message": {"role": "assistant", "content": said["text"]}});
    end["message"] = json!({"role": "assistant", "content": ""});
    Ok(lines(&[piece, end]))
}
