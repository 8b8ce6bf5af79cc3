//! Anthropic's dialect: message batches, single messages, token counts, models.

use std::collections::HashSet;

use serde_json::{Value, json};

use super::Bill;
use super::Provider::Anthropic;
use super::answers::{Ask, Fate, Said, Stop, draw, share};
use super::faults::{Fault, Op, Script};
use super::records::{Batch, Draft, End, Line, Outcome, Phase};
use super::state::{DAY, HOUR, World};
use super::wire::{Call, Reply, anthropic_kind, download, page, problem, stamp};

const MODELS: [(&str, &str); 5] = [
    ("claude-opus-5-5", "Claude Opus 5.5"),
    ("claude-sonnet-5-5", "Claude Sonnet 5.5"),
    ("claude-haiku-5-5", "Claude Haiku 5.5"),
    ("claude-haiku-4-5", "Claude Haiku 4.5"),
    ("claude-sonnet-4-6", "Claude Sonnet 4.6"),
];
/// The version from which on sampling parameters are refused.
const STRICT: &str = "2026-10-21";
const MOST_REQUESTS: usize = 100_000;
const MOST_BYTES: usize = 256 << 20;

fn no(status: u16, message: &str) -> Reply {
    problem(Anthropic, status, message)
}

pub fn answer(call: &Call, world: &mut World, script: &mut Script) -> Reply {
    let version = match call.header("anthropic-version") {
        None => return no(400, "anthropic-version: header is required"),
        Some(v @ ("2023-01-01" | "2023-06-01" | STRICT)) => v,
        Some(v) => return no(400, &format!("anthropic-version: \"{v}\" is not a valid version")),
    };
    if call.body.len() > MOST_BYTES {
        return no(413, "Request exceeds the maximum size");
    }
    let (method, segments) = call.route();
    match (method, segments.as_slice()) {
        ("POST", ["v1", "messages"]) => single(call, version, world, script),
        ("POST", ["v1", "messages", "count_tokens"]) => count(call, version, script),
        ("POST", ["v1", "messages", "batches"]) => create(call, version, world, script),
        ("GET", ["v1", "messages", "batches"]) => list(call, world),
        ("GET", ["v1", "messages", "batches", id]) => retrieve(id, world, script),
        ("DELETE", ["v1", "messages", "batches", id]) => delete(id, world),
        ("POST", ["v1", "messages", "batches", id, "cancel"]) => cancel(id, world),
        ("GET", ["v1", "messages", "batches", id, "results"]) => results(id, world, script),
        ("GET", ["v1", "models"]) => models(call),
        ("GET", ["v1", "models", id]) => model(id, script),
        (_, ["v1", "messages" | "models", ..]) => no(405, "Method Not Allowed"),
        _ => no(404, "Not found"),
    }
}

/// One message's parameters, checked as the provider checks them; an error is (status, message).
fn read(params: &Value, version: &str, counting: bool) -> Result<Ask, (u16, String)> {
    let bad = |message: String| Err((400, message));
    let Some(model) = params.get("model").and_then(Value::as_str) else { return bad("model: Field required".into()) };
    let max_tokens = params.get("max_tokens").and_then(Value::as_u64);
    if !counting && max_tokens.is_none_or(|m| m == 0) {
        return bad("max_tokens: Field required, an integer of at least 1".into());
    }
    if version == STRICT
        && let Some(name) = ["temperature", "top_p", "top_k"].iter().find(|n| params.get(**n).is_some())
    {
        return bad(format!("{name}: not supported in version {STRICT}"));
    }
    if params.get("stream").and_then(Value::as_bool) == Some(true) {
        return bad("stream: not supported here".into());
    }
    let Some(messages) = params.get("messages").and_then(Value::as_array).filter(|m| !m.is_empty()) else {
        return bad("messages: at least one message is required".into());
    };
    let mut reader = Reader::default();
    let system = reader.content(params.get("system").unwrap_or(&Value::Null)).map_err(|e| (400, format!("system: {e}")))?;
    let mut user = String::new();
    for (i, message) in messages.iter().enumerate() {
        if !matches!(message.get("role").and_then(Value::as_str), Some("user" | "assistant" | "system")) {
            return bad(format!("messages.{i}.role: Input should be 'user' or 'assistant'"));
        }
        let content = message.get("content").unwrap_or(&Value::Null);
        user += &reader.content(content).map_err(|e| (400, format!("messages.{i}.content: {e}")))?;
    }
    if !MODELS.iter().any(|(known, _)| *known == model) {
        return Err((404, format!("model: {model}")));
    }
    let format = params.get("output_config").and_then(|o| o.get("format"));
    let schema =
        format.filter(|f| f.get("type").and_then(Value::as_str) == Some("json_schema")).and_then(|f| f.get("schema")).cloned();
    if format.is_some() && schema.is_none() {
        return bad("output_config.format: type json_schema needs a schema".into());
    }
    Ok(Ask { model: model.into(), system, user, max_tokens, schema, prefix: reader.marked })
}

/// Gathers text in the order in which it is cached: system first, then messages.
#[derive(Default)]
struct Reader {
    so_far: String,
    marked: Option<(String, i64)>,
}

impl Reader {
    fn content(&mut self, content: &Value) -> Result<String, String> {
        let mut text = String::new();
        match content {
            Value::Null => {}
            Value::String(s) => {
                text.clone_from(s);
                self.so_far += s;
            }
            Value::Array(blocks) => {
                for block in blocks {
                    let part = block.get("text").and_then(Value::as_str).ok_or("text blocks only")?;
                    text += part;
                    self.so_far += part;
                    if let Some(control) = block.get("cache_control").filter(|c| !c.is_null()) {
                        let hour = control.get("ttl").and_then(Value::as_str) == Some("1h");
                        self.marked = Some((self.so_far.clone(), if hour { HOUR } else { 300 }));
                    }
                }
            }
            _ => return Err("Input should be a string or a list of blocks".into()),
        }
        Ok(text)
    }
}

fn retired(script: &mut Script, op: Op) -> bool {
    script.strikes(op, &Fault::ModelRetired)
}

fn single(call: &Call, version: &str, world: &mut World, script: &mut Script) -> Reply {
    let params = match call.json() {
        Ok(params) => params,
        Err(why) => return no(400, &format!("The request body is not valid JSON: {why}")),
    };
    let ask = match read(&params, version, false) {
        Ok(ask) => ask,
        Err((status, message)) => return no(status, &message),
    };
    if retired(script, Op::Sync) {
        return no(404, &format!("model: {}", ask.model));
    }
    match world.answer(Anthropic, &ask) {
        (Fate::Said(said), Some(bill)) => {
            let hour = ask.prefix.is_some_and(|(_, seconds)| seconds == HOUR);
            Reply::ok(&message(world.options.seed, &ask.model, &said, &bill, hour, "standard"))
        }
        (Fate::Expired, _) => no(504, "Timed out"),
        _ => no(500, "Internal server error"),
    }
}

fn count(call: &Call, version: &str, script: &mut Script) -> Reply {
    let ask = call.json().map_err(|e| (400, e)).and_then(|params| read(&params, version, true));
    match ask {
        Ok(ask) if retired(script, Op::Other) => no(404, &format!("model: {}", ask.model)),
        Ok(ask) => Reply::ok(&json!({"input_tokens": ask.tokens()})),
        Err((status, message)) => no(status, &message),
    }
}

fn create(call: &Call, version: &str, world: &mut World, script: &mut Script) -> Reply {
    let body = match call.json() {
        Ok(body) => body,
        Err(why) => return no(400, &format!("The request body is not valid JSON: {why}")),
    };
    let Some(requests) = body.get("requests").and_then(Value::as_array).filter(|r| !r.is_empty()) else {
        return no(400, "requests: at least one request is required");
    };
    if requests.len() > MOST_REQUESTS {
        return no(400, &format!("requests: at most {MOST_REQUESTS} requests"));
    }
    let mut ids = HashSet::new();
    for (i, request) in requests.iter().enumerate() {
        let id = request.get("custom_id").and_then(Value::as_str).unwrap_or_default();
        let letters = id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
        if id.is_empty() || id.len() > 64 || !letters {
            return no(400, &format!("requests.{i}.custom_id: String should match pattern '^[a-zA-Z0-9_-]{{1,64}}$'"));
        }
        if !ids.insert(id) {
            return no(400, &format!("requests.{i}.custom_id: \"{id}\" is not unique within the batch"));
        }
        if !request.get("params").is_some_and(Value::is_object) {
            return no(400, &format!("requests.{i}.params: Field required"));
        }
    }
    let broke = script.strikes(Op::Create, &Fault::AllErroredLowCredit);
    let gone = retired(script, Op::Create);
    let line = |request: &Value| -> Line {
        let params = request.get("params").unwrap_or(&Value::Null);
        let ask = read(params, version, false).map_err(|(status, message)| (anthropic_kind(status).to_owned(), message));
        let ask = match ask {
            _ if broke => Err(("billing_error".into(), "Your credit balance is too low to access the Anthropic API.".into())),
            Ok(ask) if gone => Err(("not_found_error".into(), format!("model: {}", ask.model))),
            ask => ask,
        };
        (request.get("custom_id").and_then(Value::as_str).unwrap_or_default().to_owned(), ask)
    };
    let lines: Vec<Line> = requests.iter().map(line).collect();
    let stuck = script.strikes(Op::Create, &Fault::StuckPending);
    let id = world.new_id("msgbatch_", 24);
    let at = world.commit(Anthropic, id, Draft { stuck, ..Draft::default() }, lines);
    Reply::ok(&shown(&world.batches[at], world))
}

/// The batch object.
fn shown(batch: &Batch, world: &World) -> Value {
    let ended = batch.phase.ended();
    let archived = world.now() >= batch.created + 29 * DAY;
    let count = |wanted: &str| batch.outcomes.iter().filter(|o| ended && kind(&o.end) == wanted).count();
    let base = if batch.foreign { world.base.replace("127.0.0.1", "localhost") } else { world.base.clone() };
    let url = (ended && !archived).then(|| format!("{base}/v1/messages/batches/{}/results", batch.id));
    json!({
        "id": batch.id,
        "type": "message_batch",
        "processing_status": match batch.phase {
            Phase::Running => "in_progress",
            Phase::Cancelling => "canceling",
            _ => "ended",
        },
        "request_counts": {
            "processing": if ended { 0 } else { batch.count },
            "succeeded": count("succeeded"),
            "errored": count("errored"),
            "canceled": count("canceled"),
            "expired": count("expired"),
        },
        "ended_at": batch.ended_at.map(stamp),
        "created_at": stamp(batch.created),
        "expires_at": stamp(batch.created + DAY),
        "archived_at": archived.then(|| stamp(batch.created + 29 * DAY)),
        "cancel_initiated_at": batch.cancel_at.map(stamp),
        "results_url": url,
    })
}

fn kind(end: &End) -> &'static str {
    match end {
        End::Said(_) => "succeeded",
        End::Errored { .. } => "errored",
        End::Canceled => "canceled",
        End::Expired => "expired",
    }
}

fn unknown(id: &str) -> Reply {
    no(404, &format!("Message batch {id} was not found"))
}

fn list(call: &Call, world: &mut World) -> Reply {
    for at in 0..world.batches.len() {
        world.tick(at, false);
    }
    let newest: Vec<&Batch> = world.batches.iter().rev().filter(|b| b.provider == Anthropic && !b.deleted).collect();
    let limit = call.number("limit", 20, 1000);
    let (items, more) = page(&newest, |b| &b.id, call.param("after_id"), call.param("before_id"), limit);
    Reply::ok(&json!({
        "data": items.iter().map(|b| shown(b, world)).collect::<Vec<_>>(),
        "has_more": more,
        "first_id": items.first().map(|b| b.id.clone()),
        "last_id": items.last().map(|b| b.id.clone()),
    }))
}

fn retrieve(id: &str, world: &mut World, script: &mut Script) -> Reply {
    let Some(at) = world.find(Anthropic, id) else { return unknown(id) };
    if !world.batches[at].phase.ended() && script.strikes(Op::Look, &Fault::ExpireNow) {
        world.end(at, Phase::Expired);
    }
    world.tick(at, true);
    if world.batches[at].phase.ended() && script.strikes(Op::Look, &Fault::ForeignResultsUrl) {
        world.batches[at].foreign = true;
        world.save_batch(at, false);
    }
    Reply::ok(&shown(&world.batches[at], world))
}

fn delete(id: &str, world: &mut World) -> Reply {
    let Some(at) = world.find(Anthropic, id) else { return unknown(id) };
    world.tick(at, false);
    if !world.batches[at].phase.ended() {
        return no(400, "A message batch that is in progress cannot be deleted; cancel it first");
    }
    world.batches[at].deleted = true;
    world.save_batch(at, false);
    Reply::ok(&json!({"id": id, "type": "message_batch_deleted"}))
}

fn cancel(id: &str, world: &mut World) -> Reply {
    let Some(at) = world.find(Anthropic, id) else { return unknown(id) };
    world.tick(at, false);
    match world.batches[at].phase {
        Phase::Running => world.cancel(at),
        Phase::Cancelling => {}
        _ => return no(400, "A message batch that has ended cannot be canceled"),
    }
    Reply::ok(&shown(&world.batches[at], world))
}

fn results(id: &str, world: &mut World, script: &mut Script) -> Reply {
    let Some(at) = world.find(Anthropic, id) else { return unknown(id) };
    world.tick(at, false);
    let batch = &world.batches[at];
    if !batch.phase.ended() {
        return no(404, "The batch's results are not available while it is being processed");
    }
    if world.now() >= batch.created + 29 * DAY {
        return no(404, "The batch's results are archived and no longer available");
    }
    let seed = world.options.seed;
    let mut order: Vec<&Outcome> = batch.outcomes.iter().collect();
    order.sort_by_key(|o| draw(seed, &["order", &batch.id, &o.custom_id]));
    let lines = order.into_iter().map(|o| line(seed, o).to_string()).collect();
    download(lines, "custom_id", "application/x-jsonl", script)
}

fn line(seed: u64, outcome: &Outcome) -> Value {
    let result = match (&outcome.end, &outcome.bill) {
        (End::Said(said), Some(bill)) => {
            json!({"type": "succeeded", "message": message(seed, &outcome.model, said, bill, outcome.hour, "batch")})
        }
        (End::Errored { kind, message }, _) => json!({"type": "errored",
            "error": {"type": "error", "error": {"type": kind, "message": message, "details": null}, "request_id": null}}),
        (End::Canceled, _) => json!({"type": "canceled"}),
        _ => json!({"type": "expired"}),
    };
    json!({"custom_id": outcome.custom_id, "result": result})
}

/// The message object. Refusals name a category and hold no content.
fn message(seed: u64, model: &str, said: &Said, bill: &Bill, hour: bool, tier: &str) -> Value {
    let id = format!("msg_{:016x}", draw(seed, &["message", &bill.batch, &bill.custom_id, &bill.prompt]));
    let categories = ["cyber", "bio", "frontier_llm", "reasoning_extraction", "general_harms"];
    let category = categories[(share(seed, &["category", &bill.custom_id]) * 5.0) as usize % 5];
    let content = if said.text.is_empty() { json!([]) } else { json!([{"type": "text", "text": said.text, "citations": null}]) };
    json!({
        "id": id,
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": content,
        "stop_reason": match said.stop {
            Stop::End => "end_turn",
            Stop::Length => "max_tokens",
            Stop::Refusal => "refusal",
        },
        "stop_sequence": null,
        "stop_details": (said.stop == Stop::Refusal).then(|| json!({"type": "refusal", "category": category, "explanation": null})),
        "usage": {
            "input_tokens": bill.input,
            "cache_creation_input_tokens": bill.cache_write,
            "cache_read_input_tokens": bill.cache_read,
            "cache_creation": {
                "ephemeral_5m_input_tokens": if hour { 0 } else { bill.cache_write },
                "ephemeral_1h_input_tokens": if hour { bill.cache_write } else { 0 },
            },
            "output_tokens": bill.output,
            "service_tier": tier,
        },
    })
}

fn info((id, name): (&str, &str)) -> Value {
    json!({"type": "model", "id": id, "display_name": name, "created_at": "2026-01-01T00:00:00Z", "lifecycle": "active",
        "deprecated_at": null, "retires_at": null, "line": null, "max_input_tokens": 200_000, "max_tokens": 64_000})
}

fn models(call: &Call) -> Reply {
    let (items, more) = page(&MODELS, |m| m.0, call.param("after_id"), call.param("before_id"), call.number("limit", 20, 1000));
    Reply::ok(&json!({
        "data": items.iter().map(|m| info(*m)).collect::<Vec<_>>(),
        "has_more": more,
        "first_id": items.first().map(|m| m.0),
        "last_id": items.last().map(|m| m.0),
    }))
}

fn model(id: &str, script: &mut Script) -> Reply {
    match MODELS.iter().find(|(known, _)| *known == id) {
        Some(found) if !retired(script, Op::Other) => Reply::ok(&info(*found)),
        _ => no(404, &format!("model: {id}")),
    }
}
