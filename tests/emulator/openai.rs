//! `OpenAI`'s dialect: files, batches, models, and chat completions answered at once, which gateways and local servers speak too.

use std::collections::HashSet;

use serde_json::{Value, json};

use super::Provider::OpenAi;
use super::answers::{Ask, Fate, draw};
use super::chat;
use super::faults::{Fault, Op, Script};
use super::records::{Batch, Draft, End, Failure, Line, Outcome, Phase, StoredFile};
use super::state::{DAY, World};
use super::wire::{Call, Reply, download, page, problem};
use super::{Finish, multipart};

const MODELS: [&str; 5] = ["gpt-6-luna", "gpt-6.1-sol", "gpt-6.1-terra", "gpt-5-mini", "gpt-4.1-mini"];
const ENDPOINTS: [&str; 4] = ["/v1/chat/completions", "/v1/responses", "/v1/embeddings", "/v1/completions"];
const MOST_REQUESTS: usize = 50_000;
const MOST_BYTES: usize = 200 << 20;

pub fn no(status: u16, message: &str) -> Reply {
    problem(OpenAi, status, message)
}

pub fn answer(call: &Call, world: &mut World, script: &mut Script) -> Reply {
    let (method, segments) = call.route();
    match (method, segments.as_slice()) {
        ("POST", ["v1", "files"]) => upload(call, world),
        ("GET", ["v1", "files", id]) => {
            world.file(id).filter(|f| f.provider == OpenAi).map_or_else(|| no_file(id), |f| Reply::ok(&file(f)))
        }
        ("DELETE", ["v1", "files", id]) => {
            if world.drop_file(id) {
                Reply::ok(&json!({"id": id, "object": "file", "deleted": true}))
            } else {
                no_file(id)
            }
        }
        ("GET", ["v1", "files", id, "content"]) => content(id, world, script),
        ("POST", ["v1", "batches"]) => create(call, world, script),
        ("GET", ["v1", "batches"]) => list(call, world),
        ("GET", ["v1", "batches", id]) => retrieve(id, world, script),
        ("POST", ["v1", "batches", id, "cancel"]) => cancel(id, world),
        ("POST", ["v1", "chat", "completions"]) => completion(call, world, script),
        ("GET", ["v1", "models"]) => {
            Reply::ok(&json!({"object": "list", "data": MODELS.iter().map(|m| model_object(m)).collect::<Vec<_>>()}))
        }
        ("GET", ["v1", "models", id]) if MODELS.contains(id) && !script.strikes(Op::Other, &Fault::ModelRetired) => {
            Reply::ok(&model_object(id))
        }
        ("GET", ["v1", "models", id]) => no_model(id),
        _ => no(404, &format!("Invalid URL ({method} {})", call.path)),
    }
}

fn model_object(id: &str) -> Value {
    json!({"id": id, "object": "model", "created": 1_767_225_600, "owned_by": "system"})
}

fn no_model(id: &str) -> Reply {
    let message = format!("The model `{id}` does not exist or you do not have access to it.");
    Reply::json(
        404,
        &json!({"error": {"message": message, "type": "invalid_request_error", "param": "model", "code": "model_not_found"}}),
    )
}

fn no_file(id: &str) -> Reply {
    let message = format!("No such File object: {id}");
    Reply::json(404, &json!({"error": {"message": message, "type": "invalid_request_error", "param": "id", "code": null}}))
}

fn no_batch(id: &str) -> Reply {
    let message = format!("No batch found with id '{id}'.");
    Reply::json(404, &json!({"error": {"message": message, "type": "invalid_request_error", "param": null, "code": null}}))
}

// Files.

fn upload(call: &Call, world: &mut World) -> Reply {
    let Some(parts) = multipart::read(call.header("content-type").unwrap_or_default(), &call.body) else {
        return no(400, "Could not parse multipart form");
    };
    let part = |name: &str| parts.iter().find(|p| p.name == name);
    let purpose = part("purpose").map(|p| String::from_utf8_lossy(p.content).into_owned()).unwrap_or_default();
    if purpose != "batch" {
        return no(400, &format!("'{purpose}' is not one of ['batch'] - 'purpose'"));
    }
    let Some(sent) = part("file") else { return no(400, "'file' is a required property") };
    if sent.content.len() > MOST_BYTES {
        return no(413, "The file is larger than 200 MB");
    }
    let name = sent.file_name.clone().unwrap_or_else(|| "upload".into());
    Reply::ok(&file(&store(world, &name, "batch", sent.content)))
}

fn store(world: &mut World, name: &str, purpose: &str, content: &[u8]) -> StoredFile {
    let made = StoredFile {
        id: world.new_id("file-", 22),
        provider: OpenAi,
        name: name.into(),
        purpose: purpose.into(),
        mime: "application/jsonl".into(),
        bytes: content.len() as u64,
        created: world.now(),
        open: false,
    };
    world.put_file(made.clone(), content);
    made
}

fn file(f: &StoredFile) -> Value {
    json!({"id": f.id, "object": "file", "bytes": f.bytes, "created_at": f.created, "expires_at": null, "filename": f.name,
        "purpose": f.purpose, "status": "processed", "status_details": null})
}

fn content(id: &str, world: &World, script: &mut Script) -> Reply {
    match (world.file(id), world.content(id)) {
        (Some(file), Some(bytes)) if file.provider == OpenAi => {
            let lines = String::from_utf8_lossy(&bytes).lines().map(str::to_owned).collect();
            download(lines, "custom_id", "application/octet-stream", script)
        }
        _ => no_file(id),
    }
}

// Batches.

fn create(call: &Call, world: &mut World, script: &mut Script) -> Reply {
    let body = match call.json() {
        Ok(body) => body,
        Err(why) => return no(400, &format!("We could not parse the JSON body of your request: {why}")),
    };
    let text = |name: &str| body.get(name).and_then(Value::as_str).unwrap_or_default();
    let (input, endpoint) = (text("input_file_id"), text("endpoint"));
    if input.is_empty() || endpoint.is_empty() {
        return no(400, "Missing required parameter: 'input_file_id' and 'endpoint'.");
    }
    if !ENDPOINTS.contains(&endpoint) {
        return no(400, &format!("Invalid value: '{endpoint}'. Supported values are: {ENDPOINTS:?}."));
    }
    if text("completion_window") != "24h" {
        return no(400, "Invalid value for 'completion_window'. Supported values are: '24h'.");
    }
    let note = body.get("metadata").cloned().unwrap_or_default();
    let long = |m: &serde_json::Map<String, Value>| {
        m.len() > 16 || m.iter().any(|(k, v)| k.len() > 64 || v.as_str().is_none_or(|v| v.len() > 512))
    };
    if note.as_object().is_some_and(long) {
        return no(400, "Invalid 'metadata': at most 16 strings, keys of 64 and values of 512 characters.");
    }
    let Some(bytes) =
        world.file(input).filter(|f| f.provider == OpenAi && f.purpose == "batch").and_then(|f| world.content(&f.id))
    else {
        return no(400, &format!("Invalid value for 'input_file_id': no file {input} of purpose batch."));
    };
    let (mut lines, mut failure) = read_lines(&String::from_utf8_lossy(&bytes), endpoint);
    let model = lines.iter().find_map(|(_, ask)| ask.as_ref().ok().map(|a| a.model.clone())).unwrap_or_default();
    if script.strikes(Op::Create, &Fault::ModelRetired) || (!model.is_empty() && !MODELS.contains(&model.as_str())) {
        failure = Some(Failure::new(
            "model_not_found",
            &format!("The provided model '{model}' is not supported by the Batch API."),
            Some(1),
        ));
    }
    if script.strikes(Op::Create, &Fault::QueuedTokenLimit) {
        let message = format!(
            "Enqueued token limit reached for {model} in organization. Please try again once some batches are completed."
        );
        failure = Some(Failure::new("token_limit_exceeded", &message, None));
    }
    let broke = script.strikes(Op::Create, &Fault::AllErroredLowCredit);
    let only_errors = script.strikes(Op::Create, &Fault::OnlyErrorFile);
    let error_inside = script.strikes(Op::Create, &Fault::ErrorInsideOutput);
    let last = lines.len();
    for (i, (_, ask)) in lines.iter_mut().enumerate() {
        if broke {
            *ask = Err((
                "insufficient_quota".into(),
                "You exceeded your current quota, please check your plan and billing details.".into(),
            ));
        } else if only_errors || (error_inside && i + 1 == last) {
            *ask = Err(("invalid_request_error".into(), "The request could not be processed.".into()));
        }
    }
    let stuck = script.strikes(Op::Create, &Fault::StuckPending);
    let id = world.new_id("batch_", 32);
    let (endpoint, input_file) = (endpoint.to_owned(), input.to_owned());
    let at = world.commit(OpenAi, id, Draft { model, note, endpoint, input_file, stuck, failure, error_inside }, lines);
    if only_errors {
        world.batches[at].output_file = Some(String::new());
        world.save_batch(at, false);
    }
    Reply::ok(&shown(&world.batches[at], world))
}

/// Reads an input file as validation does: some mistakes fail the whole batch, others only their line.
fn read_lines(text: &str, endpoint: &str) -> (Vec<Line>, Option<Failure>) {
    let (mut lines, mut ids): (Vec<Line>, HashSet<String>) = (Vec::new(), HashSet::new());
    let mut models: HashSet<String> = HashSet::new();
    for (i, line) in text.lines().enumerate().filter(|(_, l)| !l.trim().is_empty()) {
        let failed = |code: &str, message: &str| Some(Failure::new(code, message, Some(i + 1)));
        let Ok(request) = serde_json::from_str::<Value>(line) else {
            return (lines, failed("invalid_json_line", "This line is not parseable as valid JSON."));
        };
        let Some(id) = request.get("custom_id").and_then(Value::as_str) else {
            return (lines, failed("missing_required_parameter", "Missing required parameter: 'custom_id'."));
        };
        if request.get("method").and_then(Value::as_str) != Some("POST") {
            return (lines, failed("invalid_method", "Invalid value: 'method' must be 'POST'."));
        }
        if request.get("url").and_then(Value::as_str) != Some(endpoint) {
            return (lines, failed("invalid_url", "The URL provided for this request does not match the batch endpoint."));
        }
        if !ids.insert(id.to_owned()) {
            return (
                lines,
                failed(
                    "duplicate_custom_id",
                    &format!("The custom_id '{id}' for this request is a duplicate of another request."),
                ),
            );
        }
        let body = request.get("body").unwrap_or(&Value::Null);
        models.extend(body.get("model").and_then(Value::as_str).map(str::to_owned));
        if models.len() > 1 {
            return (lines, failed("mismatched_model", "All requests in a batch must be for one model."));
        }
        let ask = chat::read(body).map_err(|(_, message)| ("invalid_request_error".to_owned(), message));
        lines.push((id.to_owned(), ask));
    }
    let failure = match lines.len() {
        0 => Some(Failure::new(
            "empty_file",
            "The input file is empty. Please ensure that the batch contains at least one request.",
            None,
        )),
        n if n > MOST_REQUESTS => Some(Failure::new("too_many_tasks", "The batch input file contains too many requests.", None)),
        _ => None,
    };
    (lines, failure)
}

/// The batch's state in the provider's words.
fn status(batch: &Batch, world: &World) -> &'static str {
    match (batch.phase, world.options.finish) {
        (Phase::Running, _) if batch.looks == 0 || batch.stuck => "validating",
        (Phase::Running, Finish::AfterLooks(n)) if n >= 3 && batch.looks == n => "finalizing",
        (Phase::Running, _) => "in_progress",
        (Phase::Cancelling, _) => "cancelling",
        (Phase::Completed, _) => "completed",
        (Phase::Cancelled, _) => "cancelled",
        (Phase::Expired, _) => "expired",
        (Phase::Failed, _) => "failed",
    }
}

fn shown(batch: &Batch, world: &World) -> Value {
    let status = status(batch, world);
    let ended = batch.phase.ended() && batch.phase != Phase::Failed;
    let done = batch.outcomes.iter().filter(|o| matches!(o.end, End::Said(_))).count();
    let counts = match status {
        "validating" | "failed" => json!({"total": 0, "completed": 0, "failed": 0}),
        _ if ended => json!({"total": batch.count, "completed": done, "failed": batch.count - done}),
        _ => json!({"total": batch.count, "completed": done / 2, "failed": 0}),
    };
    let at = |phase: Phase| (batch.phase == phase).then_some(batch.ended_at).flatten();
    let errors = (batch.phase == Phase::Failed).then_some(batch.failure.as_ref()).flatten();
    let errors = errors
        .map(|f| json!({"object": "list", "data": [{"code": f.code, "message": f.message, "param": null, "line": f.line}]}));
    let bills = || batch.outcomes.iter().filter_map(|o| o.bill.as_ref());
    let (cached, output) = (bills().map(|b| b.cache_read).sum::<u64>(), bills().map(|b| b.output).sum::<u64>());
    let input = bills().map(|b| b.input + b.cache_read).sum::<u64>();
    let usage = ended.then(|| {
        json!({"input_tokens": input, "input_tokens_details": {"cached_tokens": cached}, "output_tokens": output,
            "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": input + output})
    });
    json!({
        "id": batch.id,
        "object": "batch",
        "endpoint": batch.endpoint,
        "model": (status != "validating" && !batch.model.is_empty()).then_some(&batch.model),
        "errors": errors,
        "input_file_id": batch.input_file,
        "completion_window": "24h",
        "status": status,
        "output_file_id": batch.output_file,
        "error_file_id": batch.error_file,
        "created_at": batch.created,
        "in_progress_at": (status != "validating" && status != "failed").then_some(batch.created),
        "expires_at": batch.created + DAY,
        "finalizing_at": if ended { batch.ended_at } else { None },
        "completed_at": at(Phase::Completed),
        "failed_at": at(Phase::Failed),
        "expired_at": at(Phase::Expired),
        "cancelling_at": batch.cancel_at,
        "cancelled_at": at(Phase::Cancelled),
        "request_counts": counts,
        "usage": usage,
        "metadata": batch.note,
    })
}

/// Writes the output and error files of a batch that has ended.
fn settle(at: usize, world: &mut World) {
    let batch = &world.batches[at];
    let done = batch.output_file.as_ref().is_some_and(|f| !f.is_empty()) || batch.error_file.is_some();
    if !batch.phase.ended() || batch.phase == Phase::Failed || done {
        return;
    }
    let (seed, created) = (world.options.seed, batch.created);
    let mut order: Vec<&Outcome> = batch.outcomes.iter().collect();
    order.sort_by_key(|o| draw(seed, &["order", &batch.id, &o.custom_id]));
    let (mut output, mut errors) = (String::new(), String::new());
    for outcome in order {
        let inside = batch.error_inside && matches!(outcome.end, End::Errored { .. });
        let file = if matches!(outcome.end, End::Said(_)) || inside { &mut output } else { &mut errors };
        *file += &line(seed, created, &batch.id, outcome).to_string();
        file.push('\n');
    }
    let id = batch.id.clone();
    if !output.is_empty() {
        let made = store(world, &format!("{id}_output.jsonl"), "batch_output", output.as_bytes());
        world.batches[at].output_file = Some(made.id);
    }
    if !errors.is_empty() {
        let made = store(world, &format!("{id}_error.jsonl"), "batch_output", errors.as_bytes());
        world.batches[at].error_file = Some(made.id);
    }
    world.save_batch(at, false);
}

fn line(seed: u64, created: i64, batch: &str, outcome: &Outcome) -> Value {
    let named = |what: &str| format!("{:016x}", draw(seed, &[what, batch, &outcome.custom_id]));
    let answered = |status: u16, body: Value| json!({"status_code": status, "request_id": named("request"), "body": body});
    let (response, error) = match (&outcome.end, &outcome.bill) {
        (End::Said(said), Some(bill)) => (answered(200, chat::object(seed, created, &outcome.model, said, bill)), Value::Null),
        (End::Errored { kind, message }, _) => {
            let status = match kind.as_str() {
                "insufficient_quota" => 429,
                "api_error" => 500,
                _ => 400,
            };
            (answered(status, json!({"error": {"message": message, "type": kind, "param": null, "code": null}})), Value::Null)
        }
        (End::Canceled, _) => (
            Value::Null,
            json!({"code": "batch_cancelled", "message": "This request could not be executed: the batch was cancelled."}),
        ),
        _ => (
            Value::Null,
            json!({"code": "batch_expired", "message": "This request could not be executed before the completion window expired."}),
        ),
    };
    json!({"id": format!("batch_req_{}", named("line")), "custom_id": outcome.custom_id, "response": response, "error": error})
}

fn list(call: &Call, world: &mut World) -> Reply {
    for at in 0..world.batches.len() {
        world.tick(at, false);
        if world.batches[at].provider == OpenAi {
            settle(at, world);
        }
    }
    let newest: Vec<&Batch> = world.batches.iter().rev().filter(|b| b.provider == OpenAi).collect();
    let (items, more) = page(&newest, |b| &b.id, call.param("after"), None, call.number("limit", 20, 100));
    Reply::ok(&json!({
        "object": "list",
        "data": items.iter().map(|b| shown(b, world)).collect::<Vec<_>>(),
        "first_id": items.first().map(|b| b.id.clone()),
        "last_id": items.last().map(|b| b.id.clone()),
        "has_more": more,
    }))
}

fn retrieve(id: &str, world: &mut World, script: &mut Script) -> Reply {
    let Some(at) = world.find(OpenAi, id) else { return no_batch(id) };
    if !world.batches[at].phase.ended() && script.strikes(Op::Look, &Fault::ExpireNow) {
        world.end(at, Phase::Expired);
    }
    world.tick(at, true);
    settle(at, world);
    Reply::ok(&shown(&world.batches[at], world))
}

fn cancel(id: &str, world: &mut World) -> Reply {
    let Some(at) = world.find(OpenAi, id) else { return no_batch(id) };
    world.tick(at, false);
    match world.batches[at].phase {
        Phase::Running => world.cancel(at),
        Phase::Cancelling => {}
        _ => return no(409, &format!("Cannot cancel a batch with status '{}'.", status(&world.batches[at], world))),
    }
    Reply::ok(&shown(&world.batches[at], world))
}

// Answered at once.

/// Names that do not begin with `gpt-` are taken for a local server's models, and any of them is known.
fn completion(call: &Call, world: &mut World, script: &mut Script) -> Reply {
    let ask: Result<Ask, Reply> = match call.json() {
        Ok(body) => chat::read(&body).map_err(|(code, message)| {
            Reply::json(
                400,
                &json!({"error": {"message": message, "type": "invalid_request_error", "param": null, "code": code}}),
            )
        }),
        Err(why) => Err(no(400, &format!("We could not parse the JSON body of your request: {why}"))),
    };
    let ask = match ask {
        Ok(ask) => ask,
        Err(reply) => return reply,
    };
    let known = !ask.model.starts_with("gpt-") || MODELS.contains(&ask.model.as_str());
    if !known || script.strikes(Op::Sync, &Fault::ModelRetired) {
        return no_model(&ask.model);
    }
    match world.answer(OpenAi, &ask) {
        (Fate::Said(said), Some(bill)) => Reply::ok(&chat::object(world.options.seed, world.now(), &ask.model, &said, &bill)),
        (Fate::Expired, _) => no(504, "The request timed out."),
        _ => no(500, "The server had an error while processing your request."),
    }
}
