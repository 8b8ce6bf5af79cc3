//! Stubs of a llama.cpp server and of Ollama, as faithful as scoring needs: they read prompts with a student's own tokenizer,
//! answer what a script says for the row, and misbehave on demand.

#![allow(dead_code, reason = "each test binary uses its own part of this stub")]

use std::future::pending;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{Response, StatusCode};
use serde_json::{Value, json};
use stratos::domain::{Recipe, recipe::SeedlingRules};
use stratos::student::{self, ChatTemplate, Codec, StudentConfig, StudentTokenizer, template, weights};
use tokio::sync::{Barrier, oneshot};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Program {
    LlamaCpp,
    Ollama,
    /// Some other web server.
    Stranger,
}

/// How it misbehaves when it is asked for an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    None,
    /// Another vocabulary.
    OtherTokens,
    /// The context was too small: a part of the prompt was not read.
    CutsPrompts,
    /// The port closes after so many answers.
    DiesAfter(usize),
    /// So many errors 500, then it works.
    Errors(usize),
    /// So many times 503 "Loading model" for whatever is asked.
    Loads(usize),
    /// Ollama ends the second row's answer after thirty equal tokens, and says neither that it is done nor what it read.
    AbortsLoop,
    NeverAnswers,
    Garbage,
    HugeBody,
}

#[derive(Clone, Copy)]
pub struct Script {
    pub program: Program,
    pub fault: Fault,
    /// Answers wait until so many requests are under way.
    pub together: usize,
    /// Tokens of one slot.
    pub context: usize,
    /// What it says that its model's file is.
    pub model: &'static str,
    /// What is written for a prompt that holds the row's number.
    pub answer: fn(u32) -> String,
}

impl Default for Script {
    fn default() -> Self {
        let answer = |row| format!("SCORE: {}.5 | REASON: row {row}.", row % 10);
        Self {
            program: Program::LlamaCpp,
            fault: Fault::None,
            together: 1,
            context: 1024,
            model: "/models/toy.Q8_0.gguf",
            answer,
        }
    }
}

struct World {
    script: Script,
    codec: Codec,
    barrier: Barrier,
    answers: AtomicUsize,
    asked: AtomicUsize,
    bodies: Mutex<Vec<(String, Value)>>,
    stop: Mutex<Option<oneshot::Sender<()>>>,
}

pub struct Server {
    pub url: String,
    world: Arc<World>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    pub fn start(script: Script) -> Self {
        let socket = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        socket.set_nonblocking(true).expect("non-blocking");
        let url = format!("http://{}", socket.local_addr().expect("bound"));
        let (stop, stopped) = oneshot::channel();
        let world = Arc::new(World {
            barrier: Barrier::new(script.together),
            script,
            codec: codec(),
            answers: AtomicUsize::new(0),
            asked: AtomicUsize::new(0),
            bodies: Mutex::new(Vec::new()),
            stop: Mutex::new(Some(stop)),
        });
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
        let thread = std::thread::spawn(work);
        Self { url, world, thread: Some(thread) }
    }

    /// What was posted to a path.
    pub fn posted(&self, path: &str) -> Vec<Value> {
        let bodies = self.world.bodies.lock().expect("no panic");
        bodies.iter().filter(|(p, _)| p == path).map(|(_, body)| body.clone()).collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.world.stop.lock().expect("no panic").take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn handle(State(world): State<Arc<World>>, request: Request) -> Response<Body> {
    let path = request.uri().path().to_owned();
    let bytes = axum::body::to_bytes(request.into_body(), 1 << 24).await.expect("a body");
    let body: Value = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
    world.bodies.lock().expect("no panic").push((path.clone(), body.clone()));
    if let Fault::Loads(times) = world.script.fault
        && world.asked.fetch_add(1, Ordering::SeqCst) < times
    {
        let error = json!({"error": {"code": 503, "message": "Loading model", "type": "unavailable_error"}});
        return reply(503, error.to_string());
    }
    match (world.script.program, path.as_str()) {
        (Program::LlamaCpp, "/props") => reply(200, props(&world).to_string()),
        (Program::LlamaCpp, "/v1/models") => {
            reply(200, json!({"data": [{"id": "toy", "meta": {"n_params": 7, "size": 9}}]}).to_string())
        }
        (Program::LlamaCpp, "/tokenize") => reply(200, json!({"tokens": tokens(&world, text(&body, "content"))}).to_string()),
        (Program::LlamaCpp, "/completion") | (Program::Ollama, "/api/generate") => complete(&world, &body).await,
        (Program::Ollama, "/api/version") => reply(200, json!({"version": "0.99.1"}).to_string()),
        (Program::Ollama, "/api/tags") => reply(200, tags().to_string()),
        (Program::LlamaCpp, _) => {
            reply(404, json!({"error": {"code": 404, "message": "File Not Found", "type": "not_found_error"}}).to_string())
        }
        _ => reply(404, "404 page \u{1b}[31mnot found"),
    }
}

fn reply(status: u16, body: impl Into<Body>) -> Response<Body> {
    let status = StatusCode::from_u16(status).expect("a status");
    Response::builder().status(status).header("content-type", "application/json").body(body.into()).expect("a response")
}

fn text<'a>(body: &'a Value, key: &str) -> &'a str {
    body[key].as_str().unwrap_or_default()
}

fn props(world: &World) -> Value {
    json!({
        "default_generation_settings": {"n_ctx": world.script.context},
        "total_slots": 3, "model_path": world.script.model, "model_alias": "toy", "model_ftype": "Q8_0", "build_info": "b1234-abc",
    })
}

fn tags() -> Value {
    json!({"models": [{"name": "toy:latest", "model": "toy:latest", "digest": "0123abcd", "details": {"quantization_level": "Q4_K_M"}}]})
}

fn tokens(world: &World, text: &str) -> Vec<u32> {
    let mut ids = world.codec.tokenizer.encode(text).expect("text");
    if world.script.fault == Fault::OtherTokens {
        ids.splice(3..3, [7, 8]);
    }
    ids
}

async fn complete(world: &World, body: &Value) -> Response<Body> {
    let ollama = world.script.program == Program::Ollama;
    let probe = ollama && body["options"]["num_predict"] == 1;
    let ids: Vec<u32> = match &body["prompt"] {
        Value::String(text) => tokens(world, text),
        ids => serde_json::from_value(ids.clone()).expect("ids"),
    };
    if !probe {
        match world.script.fault {
            Fault::NeverAnswers => pending().await,
            Fault::Garbage => return reply(200, "{\"content\": \u{1b}[2J"),
            Fault::HugeBody => return reply(200, huge()),
            Fault::Errors(times) if world.asked.fetch_add(1, Ordering::SeqCst) < times => {
                return reply(500, json!({"error": {"code": 500, "message": "out of \u{1b}[2Jmemory"}}).to_string());
            }
            _ => {}
        }
        world.barrier.wait().await;
        let before = world.answers.fetch_add(1, Ordering::SeqCst);
        if let Fault::DiesAfter(answers) = world.script.fault
            && before >= answers
        {
            drop(world.stop.lock().expect("no panic").take());
            return pending().await;
        }
    }
    let prompt = world.codec.tokenizer.decode(&ids).expect("text");
    if world.script.fault == Fault::AbortsLoop && row_of(&prompt) == 1 {
        return reply(200, json!({"model": "toy:latest", "response": "SCORE: ".repeat(9), "done": false}).to_string());
    }
    let written = (world.script.answer)(row_of(&prompt));
    let read = if world.script.fault == Fault::CutsPrompts && !probe { ids.len() - 9 } else { ids.len() };
    let answer = if ollama { of_ollama(&written, read) } else { of_llama(world, &written, read) };
    reply(200, answer.to_string())
}

fn huge() -> Body {
    let chunk = axum::body::Bytes::from(vec![b' '; 1 << 20]);
    Body::from_stream(futures_util::stream::iter((0..64).map(move |_| Ok::<_, std::io::Error>(chunk.clone()))))
}

/// The number after "article" in a prompt.
fn row_of(prompt: &str) -> u32 {
    let after = prompt.rsplit("article ").next().unwrap_or_default();
    after.chars().take_while(char::is_ascii_digit).collect::<String>().parse().unwrap_or(0)
}

/// Every token has probability 3/4; a digit shares the rest with the digit before it.
fn of_llama(world: &World, written: &str, read: usize) -> Value {
    let tokenizer = &world.codec.tokenizer;
    let mut ids = tokenizer.encode(written).expect("text");
    ids.push(tokenizer.end());
    let chance = |id: &u32| {
        let likely = |id: u32, p: f64| json!({"id": id, "token": tokenizer.piece(id), "logprob": p.ln()});
        let below = tokenizer.piece(*id).parse::<u32>().ok().and_then(|n| n.checked_sub(1));
        let other = below.map_or(0, |n| tokenizer.encode(&n.to_string()).expect("a digit")[0]);
        json!({"id": id, "token": tokenizer.piece(*id), "logprob": 0.75_f64.ln(), "top_logprobs": [likely(*id, 0.75), likely(other, 0.25)]})
    };
    json!({
        "index": 0, "content": written, "tokens": ids, "stop": true, "model": "toy", "tokens_predicted": ids.len(),
        "tokens_evaluated": read, "truncated": false, "stop_type": "eos", "stopping_word": "",
        "completion_probabilities": ids.iter().map(chance).collect::<Vec<_>>(),
    })
}

fn of_ollama(written: &str, read: usize) -> Value {
    json!({
        "model": "toy:latest", "response": written, "done": true, "done_reason": "stop", "prompt_eval_count": read, "eval_count": 9,
    })
}

fn codec() -> Codec {
    let learn = "SCORE: 0.5 | REASON: the reader of news, the article of the row. system user assistant ".repeat(8);
    let tokenizer = StudentTokenizer::train([learn.as_str()], 340).expect("a tokenizer");
    Codec { tokenizer, template: ChatTemplate::new(template::CHATML).expect("a template") }
}

/// The folder of an untrained student that reads as the stubs do.
pub fn student(folder: &Path) -> PathBuf {
    student_with(folder, 512)
}

/// The same with room for longer prompts.
pub fn student_with(folder: &Path, max_positions: usize) -> PathBuf {
    let recipe = Recipe::from_toml(include_str!("../../data/recipes/stratos-v19.toml")).expect("sound");
    let rules = SeedlingRules {
        hidden_size: 16,
        layers: 2,
        heads: 2,
        kv_heads: 1,
        head_dim: 8,
        intermediate_size: 24,
        max_positions,
        ..recipe.seedling
    };
    let codec = codec();
    let config = StudentConfig::seedling(&rules, &codec.tokenizer).expect("a shape");
    for (name, bytes) in student::files(&config, &codec, &weights::fresh(&config, 1)).expect("files") {
        std::fs::write(folder.join(name), bytes).expect("written");
    }
    folder.to_owned()
}
