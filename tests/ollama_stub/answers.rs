//! What the stub of Ollama answers to a prompt and to a conversation, and when it gives up on an answer.

use axum::body::Body;
use axum::http::Response;
use serde_json::{Value, json};
use stratos::deploy::modelfile;
use stratos::domain::{ChatMessage, Role};
use stratos::student::Student;

use super::store::{Model, Refusal, Store};
use super::{ANSWER, Fault, World, lines, reply};

const NOW: &str = "2026-11-22T00:00:00.000000Z";
/// Tokens in a row that are the one before them again, white space aside; one more and the answer breaks off.
const MOST_REPEATS: usize = 30;

struct Said {
    text: String,
    read: usize,
    wrote: usize,
    /// `None`: it repeated itself, and nothing says that it is done.
    reason: Option<&'static str>,
}

/// How a text stands in an answer.
type Part = fn(&str) -> (&'static str, Value);

fn response(text: &str) -> (&'static str, Value) {
    ("response", json!(text))
}

fn message(text: &str) -> (&'static str, Value) {
    ("message", json!({"role": "assistant", "content": text}))
}

pub fn generate(world: &World, body: &Value) -> Result<Response<Body>, Refusal> {
    let mut store = world.store.lock().expect("no panic");
    let (name, model) = store.get(body)?;
    let given = |key: &str| body[key].as_str().filter(|text| !text.is_empty());
    let prompt = given("prompt");
    if prompt.is_none() && unloads(body) {
        store.unload(&model);
        return Ok(bare(body, response, "unload"));
    }
    let raw = body["raw"] == json!(true);
    if raw && (given("system").is_some() || given("template").is_some() || body["context"][0].is_number()) {
        return Err((400, "raw mode does not support template, system, or context".into()));
    }
    run(&mut store, &name, &model, body, "generate")?;
    let Some(prompt) = prompt else { return Ok(bare(body, response, "load")) };
    let text = if raw {
        prompt.to_owned()
    } else {
        let system = given("system").unwrap_or(&model.system);
        let mut messages = vec![ChatMessage::new(Role::User, prompt)];
        if !system.is_empty() {
            messages.insert(0, ChatMessage::new(Role::System, system));
        }
        modelfile::render(model.template(), &messages).map_err(|e| (500, e.to_string()))?
    };
    Ok(told(body, &written(world, body, &model, &text), response))
}

pub fn chat(world: &World, body: &Value) -> Result<Response<Body>, Refusal> {
    let mut store = world.store.lock().expect("no panic");
    let (name, model) = store.get_exactly(body)?;
    let mut messages = Vec::new();
    for message in body["messages"].as_array().into_iter().flatten() {
        let role = serde_json::from_value(message["role"].clone());
        let role: Role = role.map_err(|_| (500, format!("the stub knows no role {}", message["role"])))?;
        messages.push(ChatMessage::new(role, message["content"].as_str().unwrap_or_default()));
    }
    if messages.is_empty() && unloads(body) {
        store.unload(&model);
        return Ok(bare(body, message, "unload"));
    }
    run(&mut store, &name, &model, body, "chat")?;
    if messages.is_empty() {
        return Ok(bare(body, message, "load"));
    }
    if !model.system.is_empty() && messages[0].role != Role::System {
        messages.insert(0, ChatMessage::new(Role::System, model.system.clone()));
    }
    let text = modelfile::render(model.template(), &collated(messages)).map_err(|e| (500, e.to_string()))?;
    Ok(told(body, &written(world, body, &model, &text), message))
}

fn unloads(body: &Value) -> bool {
    body["keep_alive"].as_f64() == Some(0.0)
}

/// Loads a model for a request, where both are such that it can.
fn run(store: &mut Store, name: &str, model: &Model, body: &Value, what: &str) -> Result<(), Refusal> {
    if !model.head.completes() {
        return Err((400, format!("{} does not support {what}", body["model"])));
    }
    typed(model.parameters.iter())?;
    typed(body["options"].as_object().into_iter().flatten())?;
    store.load(name, model, model.context(&body["options"]));
    Ok(())
}

/// Options of another type than theirs are refused, unknown ones are not.
fn typed<'a>(options: impl Iterator<Item = (&'a String, &'a Value)>) -> Result<(), Refusal> {
    for (key, value) in options.filter(|(_, value)| !value.is_null()) {
        let (fits, kind) = match key.as_str() {
            "num_keep" | "seed" | "num_predict" | "top_k" | "repeat_last_n" | "num_ctx" | "num_batch" | "num_gpu"
            | "main_gpu" | "num_thread" => (value.is_number(), "integer"),
            "top_p" | "min_p" | "typical_p" | "temperature" | "repeat_penalty" | "presence_penalty" | "frequency_penalty" => {
                (value.is_number(), "float32")
            }
            "use_mmap" => (value.is_boolean(), "boolean"),
            "stop" => match value.as_array() {
                Some(stops) => (stops.iter().all(Value::is_string), "an array of strings"),
                None => (false, "array"),
            },
            _ => continue,
        };
        if !fits {
            let of = if kind.contains(' ') { "of" } else { "of type" };
            return Err((500, format!("option \"{key}\" must be {of} {kind}")));
        }
    }
    Ok(())
}

/// Neighbours of one role are one message.
fn collated(messages: Vec<ChatMessage>) -> Vec<ChatMessage> {
    let mut all: Vec<ChatMessage> = Vec::new();
    for message in messages {
        match all.last_mut().filter(|last| last.role == message.role) {
            Some(last) => last.content = [last.content.as_str(), &message.content].join("\n\n"),
            None => all.push(message),
        }
    }
    all
}

/// The likeliest tokens up to the end of a turn, as many as asked.
fn of_student(student: &Student, prompt: &[u32], limit: usize) -> Vec<u32> {
    let (mut ids, ends) = (prompt.to_vec(), student.ends());
    while ids.len() - prompt.len() < limit {
        let logits = student.logits(&ids);
        let next = (0..logits.len() as u32).max_by(|a, b| logits[*a as usize].total_cmp(&logits[*b as usize]).then(b.cmp(a)));
        match next.filter(|id| !ends.contains(id)) {
            Some(id) => ids.push(id),
            None => break,
        }
    }
    ids.split_off(prompt.len())
}

/// The token that is one repetition too many.
fn loop_ends(world: &World, ids: &[u32]) -> Option<usize> {
    let (mut last, mut repeats) = (String::new(), 0);
    ids.iter().position(|id| {
        let piece = world.codec.tokenizer.decode(&[*id]).expect("text").trim().to_owned();
        repeats = if piece == last { repeats + 1 } else { 0 };
        last = piece;
        repeats > MOST_REPEATS
    })
}

/// What is written for a text, and how much was read.
fn written(world: &World, body: &Value, model: &Model, text: &str) -> Said {
    let tokenizer = &world.codec.tokenizer;
    let mut ids = tokenizer.encode(text).expect("text");
    if world.fault == Fault::OtherTokens {
        ids.extend([7, 8, 9]);
    }
    let options = &body["options"];
    let room = model.context(options) as usize;
    let room = model.head.context.map_or(room, |trained| room.min(trained as usize));
    let limit = model.option(options, "num_predict").filter(|n| *n > 0).unwrap_or(i64::MAX) as usize;
    let mut out = match (&world.student, world.fault) {
        (_, Fault::Loops(words)) if text.contains(words) => {
            tokenizer.encode(ANSWER).expect("text").last().copied().into_iter().cycle().take(limit.min(96)).collect()
        }
        (Some(student), _) => of_student(student, &ids, limit.min(96)),
        (None, _) => tokenizer.encode(ANSWER).expect("text"),
    };
    let full = out.len() >= limit;
    out.truncate(limit);
    let mut reason = Some(if full { "length" } else { "stop" });
    // The token that ends a turn is counted too.
    let wrote = out.len() + usize::from(!full);
    if full && world.fault == Fault::OneShort {
        out.pop();
    }
    if let Some(end) = loop_ends(world, &out) {
        out.truncate(end);
        reason = None;
    }
    Said { text: tokenizer.decode(&out).expect("text"), read: ids.len().min(room), wrote, reason }
}

fn line(body: &Value, (key, part): (&str, Value)) -> Value {
    json!({"model": body["model"], "created_at": NOW, key: part, "done": false})
}

/// An answer without a text.
fn bare(body: &Value, part: Part, reason: &str) -> Response<Body> {
    let mut line = line(body, part(""));
    (line["done"], line["done_reason"]) = (json!(true), json!(reason));
    reply(200, line)
}

/// One object, or a stream of two; where the answer broke off, without the part that says it is done.
fn told(body: &Value, said: &Said, part: Part) -> Response<Body> {
    let ended = |mut line: Value| {
        if let (Some(reason), Some(line)) = (said.reason, line.as_object_mut()) {
            let counts = json!({
                "done": true, "done_reason": reason, "total_duration": 9_000_000, "load_duration": 1_000_000,
                "prompt_eval_count": said.read, "prompt_eval_duration": 3_000_000, "eval_count": said.wrote, "eval_duration": 5_000_000,
            });
            line.extend(counts.as_object().cloned().into_iter().flatten());
        }
        line
    };
    let whole = line(body, part(&said.text));
    if body["stream"] == json!(false) {
        return reply(200, ended(whole));
    }
    let end = said.reason.map(|_| ended(line(body, part(""))));
    lines(&[Some(whole), end].into_iter().flatten().collect::<Vec<_>>())
}
