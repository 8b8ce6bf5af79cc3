//! Gemini's dialect: batches as long-running operations, inline or by file, resumable uploads, single prompts, models.
//! Proto JSON takes field names in both spellings, and so does this.

use serde_json::{Map, Value, json};

use super::Provider::Gemini;
use super::answers::{Fate, draw};
use super::faults::{Fault, Op, Script, Truncation};
use super::generate;
use super::records::{Batch, Draft, End, Failure, Line, Outcome, Phase, StoredFile};
use super::state::{DAY, World};
use super::wire::{Call, Reply, download, page, problem, spoil, stamp};

const MODELS: [&str; 4] = ["gemini-3.8-flash", "gemini-3.5-flash-lite", "gemini-2.5-pro", "gemini-2.5-flash"];
const MOST_INLINE: usize = 20 << 20;
/// Ids of requests that came without a key.
const NAMELESS: char = '#';

pub fn no(status: u16, message: &str) -> Reply {
    problem(Gemini, status, message)
}

/// Gemini answers 400, not 401, to a wrong key.
pub fn invalid_key() -> Reply {
    let detail = json!({"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID", "domain": "googleapis.com",
        "metadata": {"service": "generativelanguage.googleapis.com"}});
    let message = "API key not valid. Please pass a valid API key.";
    Reply::json(400, &json!({"error": {"code": 400, "message": message, "status": "INVALID_ARGUMENT", "details": [detail]}}))
}

pub fn answer(call: &Call, world: &mut World, script: &mut Script) -> Reply {
    let (method, segments) = call.route();
    let verb = segments.last().and_then(|s| s.split_once(':'));
    match (method, segments.as_slice(), verb) {
        ("POST", ["v1beta", "models", _], Some((model, "batchGenerateContent"))) => create(model, call, world, script),
        ("POST", ["v1beta", "models", _], Some((model, "generateContent"))) => single(model, call, world, script),
        ("POST", ["v1beta", "models", _], Some((model, "countTokens"))) => count(model, call, script),
        ("GET", ["v1beta", "models"], _) => {
            Reply::ok(&json!({"models": MODELS.iter().map(|m| model_object(m)).collect::<Vec<_>>()}))
        }
        ("GET", ["v1beta", "models", id], None) if known(id, script, Op::Other) => Reply::ok(&model_object(id)),
        ("GET", ["v1beta", "models", id], None) => no_model(id),
        ("GET", ["v1beta", "batches"], _) => list(call, world),
        ("GET", ["v1beta", "batches", id], None) => retrieve(id, world, script),
        ("DELETE", ["v1beta", "batches", id], None) => delete(id, world),
        ("POST", ["v1beta", "batches", _], Some((id, "cancel"))) => cancel(id, world),
        ("POST", ["upload", "v1beta", "files"], _) => upload(call, world),
        ("GET", ["v1beta", "files", id], None) => match world.file(id).filter(|f| f.provider == Gemini && !f.open) {
            Some(f) => Reply::ok(&file(f, world)),
            None => no_file(id),
        },
        ("DELETE", ["v1beta", "files", id], None) => {
            if world.drop_file(id) {
                Reply::ok(&json!({}))
            } else {
                no_file(id)
            }
        }
        ("GET", ["v1beta", "files", _] | ["download", "v1beta", "files", _], Some((id, "download"))) => {
            content(id, world, script)
        }
        _ => no(404, "Requested entity was not found."),
    }
}

fn known(model: &str, script: &mut Script, op: Op) -> bool {
    MODELS.contains(&model) && !script.strikes(op, &Fault::ModelRetired)
}

fn model_object(id: &str) -> Value {
    json!({"name": format!("models/{id}"), "version": "001", "displayName": id, "inputTokenLimit": 1_048_576, "outputTokenLimit": 65_536,
        "supportedGenerationMethods": ["generateContent", "countTokens", "batchGenerateContent"]})
}

fn no_model(id: &str) -> Reply {
    no(404, &format!("models/{id} is not found for API version v1beta, or is not supported for this method."))
}

fn no_file(id: &str) -> Reply {
    no(403, &format!("You do not have permission to access the File {id} or it may not exist."))
}

// Answered at once.

fn single(model: &str, call: &Call, world: &mut World, script: &mut Script) -> Reply {
    let ask = match call.json().and_then(|body| generate::read(&body, model)) {
        Ok(ask) => ask,
        Err(why) => return no(400, &why),
    };
    if !known(model, script, Op::Sync) {
        return no_model(model);
    }
    match world.answer(Gemini, &ask) {
        (Fate::Said(said), Some(bill)) => Reply::ok(&generate::object(world.options.seed, model, &said, &bill)),
        (Fate::Expired, _) => no(504, "The service was unable to finish processing within the deadline."),
        _ => no(500, "An internal error has occurred."),
    }
}

fn count(model: &str, call: &Call, script: &mut Script) -> Reply {
    if !known(model, script, Op::Other) {
        return no_model(model);
    }
    let of = |body: Value| generate::read(body.get("generateContentRequest").unwrap_or(&body), model);
    match call.json().and_then(of) {
        Ok(ask) => Reply::ok(
            &json!({"totalTokens": ask.tokens(), "promptTokensDetails": [{"modality": "TEXT", "tokenCount": ask.tokens()}]}),
        ),
        Err(why) => no(400, &why),
    }
}

// Batches.

fn create(model: &str, call: &Call, world: &mut World, script: &mut Script) -> Reply {
    let body = match call.json() {
        Ok(body) => body,
        Err(why) => return no(400, &format!("Invalid JSON payload received. {why}")),
    };
    if call.body.len() > MOST_INLINE {
        return no(400, &format!("Request payload size exceeds the limit: {MOST_INLINE} bytes."));
    }
    if !known(model, script, Op::Create) {
        return no_model(model);
    }
    let Some(batch) = body.get("batch") else { return no(400, "batch is required") };
    let input = generate::field(batch, "inputConfig").cloned().unwrap_or_default();
    let inline = input.get("requests").and_then(|r| r.get("requests")).and_then(Value::as_array);
    let named = generate::field(&input, "fileName").and_then(Value::as_str);
    let read = match (inline, named) {
        (Some(requests), None) => inlined(requests, model),
        (None, Some(name)) => match by_file(name, model, world) {
            Some(read) => read,
            None => return no_file(name),
        },
        _ => return no(400, "batch.input_config: exactly one of requests and file_name must be set"),
    };
    let (mut lines, mut failure) = match read {
        Ok(lines) => (lines, None),
        Err(failure) if inline.is_some() => return no(400, &failure.message),
        Err(failure) => (Vec::new(), Some(failure)),
    };
    if lines.is_empty() && failure.is_none() {
        if inline.is_some() {
            return no(400, "batch.input_config.requests: at least one request is required");
        }
        failure = Some(Failure::new("3", "The input file is empty.", None));
    }
    if script.strikes(Op::Create, &Fault::AllErroredLowCredit) {
        for (_, ask) in &mut lines {
            *ask = Err(("8".into(), "You exceeded your current quota, please check your plan and billing details.".into()));
        }
    }
    let stuck = script.strikes(Op::Create, &Fault::StuckPending);
    let note = generate::field(batch, "displayName").cloned().unwrap_or_default();
    let input_file = named.unwrap_or_default().to_owned();
    let id = world.new_id("", 24);
    let at = world.commit(Gemini, id, Draft { model: model.into(), note, input_file, stuck, failure, ..Draft::default() }, lines);
    Reply::ok(&operation(&world.batches[at], world, None))
}

type Read = Result<Vec<Line>, Failure>;

fn inlined(requests: &[Value], model: &str) -> Read {
    let one = |(i, entry): (usize, &Value)| {
        let key = entry.get("metadata").and_then(|m| m.get("key")).and_then(Value::as_str);
        let request =
            entry.get("request").ok_or_else(|| Failure::new("3", &format!("requests[{i}].request is required"), None))?;
        let id = key.map_or_else(|| format!("{NAMELESS}{i}"), str::to_owned);
        Ok((id, generate::read(request, model).map_err(|why| ("3".to_owned(), why))))
    };
    requests.iter().enumerate().map(one).collect()
}

/// The lines of an uploaded file; nothing if there is no such file.
fn by_file(name: &str, model: &str, world: &World) -> Option<Read> {
    let id = name.strip_prefix("files/").unwrap_or(name);
    let bytes = world.file(id).filter(|f| f.provider == Gemini).and_then(|f| world.content(&f.id))?;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let one = |(i, line): (usize, &str)| {
        let bad = |what: &str| Failure::new("3", &format!("Line {}: {what}", i + 1), Some(i + 1));
        let entry: Value = serde_json::from_str(line).map_err(|_| bad("not valid JSON"))?;
        let key = entry.get("key").and_then(Value::as_str).ok_or_else(|| bad("key is required"))?;
        let request = entry.get("request").ok_or_else(|| bad("request is required"))?;
        Ok((key.to_owned(), generate::read(request, model).map_err(|why| ("3".to_owned(), why))))
    };
    Some(text.lines().enumerate().filter(|(_, l)| !l.trim().is_empty()).map(one).collect())
}

fn state(batch: &Batch) -> &'static str {
    match batch.phase {
        Phase::Running if batch.looks == 0 || batch.stuck => "BATCH_STATE_PENDING",
        Phase::Running | Phase::Cancelling => "BATCH_STATE_RUNNING",
        Phase::Completed => "BATCH_STATE_SUCCEEDED",
        Phase::Cancelled => "BATCH_STATE_CANCELLED",
        Phase::Expired => "BATCH_STATE_EXPIRED",
        Phase::Failed => "BATCH_STATE_FAILED",
    }
}

/// The operation object; `output` is given once there are results.
fn operation(batch: &Batch, world: &World, output: Option<&Value>) -> Value {
    let name = format!("batches/{}", batch.id);
    let done = batch.outcomes.iter().filter(|o| matches!(o.end, End::Said(_))).count();
    let mut stats = Map::from_iter([("requestCount".to_owned(), json!(batch.count.to_string()))]);
    let mut tell = |what: &str, n: usize| {
        if n > 0 {
            stats.insert(what.into(), json!(n.to_string()));
        }
    };
    if batch.phase == Phase::Completed {
        tell("successfulRequestCount", done);
        tell("failedRequestCount", batch.count - done);
    } else {
        tell("pendingRequestCount", batch.count);
    }
    let mut metadata = json!({
        "@type": "type.googleapis.com/google.ai.generativelanguage.v1main.GenerateContentBatch",
        "model": format!("models/{}", batch.model),
        "displayName": batch.note,
        "createTime": stamp(batch.created),
        "updateTime": stamp(batch.ended_at.unwrap_or(world.now())),
        "batchStats": stats,
        "state": state(batch),
        "name": name,
    });
    if !batch.input_file.is_empty() {
        metadata["inputConfig"] = json!({"fileName": batch.input_file});
    }
    if let Some(ended) = batch.ended_at {
        metadata["endTime"] = json!(stamp(ended));
    }
    let mut operation = json!({"name": name, "metadata": metadata});
    if batch.phase.ended() {
        operation["done"] = json!(true);
    }
    match (output, batch.phase) {
        (Some(output), _) => {
            operation["metadata"]["output"] = output.clone();
            let mut response = output.clone();
            response["@type"] = json!("type.googleapis.com/google.ai.generativelanguage.v1main.GenerateContentBatchOutput");
            operation["response"] = response;
        }
        (None, Phase::Cancelled) => operation["error"] = json!({"code": 1, "message": "The operation was cancelled."}),
        (None, Phase::Expired) => {
            operation["error"] = json!({"code": 4, "message": "The batch expired before it could be processed."});
        }
        (None, Phase::Failed) => {
            let failure = batch.failure.as_ref();
            let code = failure.and_then(|f| f.code.parse::<u16>().ok()).unwrap_or(13);
            operation["error"] = json!({"code": code, "message": failure.map(|f| f.message.as_str())});
        }
        _ => {}
    }
    operation
}

fn answered(seed: u64, outcome: &Outcome) -> (&'static str, Value) {
    match (&outcome.end, &outcome.bill) {
        (End::Said(said), Some(bill)) => ("response", generate::object(seed, &outcome.model, said, bill)),
        (End::Errored { kind, message }, _) => ("error", json!({"code": kind.parse::<u16>().unwrap_or(13), "message": message})),
        _ => ("error", json!({"code": 4, "message": "The request was not processed in time."})),
    }
}

fn shuffled(batch: &Batch, seed: u64) -> Vec<&Outcome> {
    let mut order: Vec<&Outcome> = batch.outcomes.iter().collect();
    order.sort_by_key(|o| draw(seed, &["order", &batch.id, &o.custom_id]));
    order
}

/// The results of a batch by file, written when they are first asked for; nothing while there are none.
fn results_file(at: usize, world: &mut World) -> Option<String> {
    let batch = &world.batches[at];
    if batch.phase != Phase::Completed || batch.output_file.is_some() {
        return batch.output_file.clone();
    }
    let line = |o: &Outcome| {
        let (what, value) = answered(world.options.seed, o);
        json!({"key": o.custom_id, what: value}).to_string() + "\n"
    };
    let text: String = shuffled(batch, world.options.seed).into_iter().map(line).collect();
    let id = world.new_id("", 12);
    let file = StoredFile {
        id: id.clone(),
        provider: Gemini,
        name: "results".into(),
        purpose: "GENERATED".into(),
        mime: "application/jsonl".into(),
        bytes: text.len() as u64,
        created: world.now(),
        open: false,
    };
    world.put_file(file, text.as_bytes());
    world.batches[at].output_file = Some(id.clone());
    world.save_batch(at, false);
    Some(id)
}

fn inline_results(batch: &Batch, seed: u64) -> Vec<Value> {
    let one = |o: &Outcome| {
        let (what, value) = answered(seed, o);
        let metadata = (!o.custom_id.starts_with(NAMELESS)).then(|| json!({"key": o.custom_id}));
        metadata.map_or_else(|| json!({what: value.clone()}), |m| json!({what: value.clone(), "metadata": m}))
    };
    // Without keys the place is all there is to join by, so the order stands.
    let nameless = batch.outcomes.iter().any(|o| o.custom_id.starts_with(NAMELESS));
    if nameless { batch.outcomes.iter().map(one).collect() } else { shuffled(batch, seed).into_iter().map(one).collect() }
}

fn retrieve(id: &str, world: &mut World, script: &mut Script) -> Reply {
    let Some(at) = world.find(Gemini, id) else { return no(404, "Requested entity was not found.") };
    if !world.batches[at].phase.ended() && script.strikes(Op::Look, &Fault::ExpireNow) {
        world.end(at, Phase::Expired);
    }
    world.tick(at, true);
    if world.batches[at].phase != Phase::Completed {
        return Reply::ok(&operation(&world.batches[at], world, None));
    }
    if !world.batches[at].input_file.is_empty() {
        let file = results_file(at, world);
        let output = json!({"responsesFile": file.map(|f| format!("files/{f}"))});
        return Reply::ok(&operation(&world.batches[at], world, Some(&output)));
    }
    let mut results = inline_results(&world.batches[at], world.options.seed);
    if script.strikes(Op::Results, &Fault::DuplicateLine) {
        results.extend(results.first().cloned());
    }
    if script.strikes(Op::Results, &Fault::UnknownIdLine)
        && let Some(mut stranger) = results.first().cloned()
    {
        stranger["metadata"] = json!({"key": "nobody-asked-for-this"});
        results.push(stranger);
    }
    let cut = match script.take(Op::Results, |f| matches!(f, Fault::TruncateResults { .. })) {
        Some(Fault::TruncateResults { how }) => Some(how),
        _ => None,
    };
    if cut == Some(Truncation::AtLineBoundary) {
        results.truncate(results.len() / 2);
    }
    let whole = operation(&world.batches[at], world, Some(&json!({"inlinedResponses": {"inlinedResponses": results}})));
    match cut {
        None | Some(Truncation::AtLineBoundary) => Reply::ok(&whole),
        Some(how) => spoil(whole.to_string().into_bytes(), "application/json", how),
    }
}

fn list(call: &Call, world: &mut World) -> Reply {
    for at in 0..world.batches.len() {
        world.tick(at, false);
    }
    let newest: Vec<&Batch> = world.batches.iter().rev().filter(|b| b.provider == Gemini && !b.deleted).collect();
    let (items, more) = page(&newest, |b| &b.id, call.param("pageToken"), None, call.number("pageSize", 50, 1000));
    let mut listed = json!({"operations": items.iter().map(|b| operation(b, world, None)).collect::<Vec<_>>()});
    if let (true, Some(last)) = (more, items.last()) {
        listed["nextPageToken"] = json!(last.id);
    }
    Reply::ok(&listed)
}

fn cancel(id: &str, world: &mut World) -> Reply {
    let Some(at) = world.find(Gemini, id) else { return no(404, "Requested entity was not found.") };
    world.tick(at, false);
    if world.batches[at].phase == Phase::Running {
        world.cancel(at);
    }
    Reply::ok(&json!({}))
}

fn delete(id: &str, world: &mut World) -> Reply {
    let Some(at) = world.find(Gemini, id) else { return no(404, "Requested entity was not found.") };
    world.batches[at].deleted = true;
    world.save_batch(at, false);
    Reply::ok(&json!({}))
}

// Files.

fn file(f: &StoredFile, world: &World) -> Value {
    let uri = format!("{}/v1beta/files/{}", world.base, f.id);
    let mut value = json!({"name": format!("files/{}", f.id), "displayName": f.name, "mimeType": f.mime, "sizeBytes": f.bytes.to_string(),
        "createTime": stamp(f.created), "updateTime": stamp(f.created), "expirationTime": stamp(f.created + 2 * DAY), "uri": uri,
        "state": "ACTIVE", "source": f.purpose});
    if f.purpose == "GENERATED" {
        value["downloadUri"] = json!(format!("{uri}:download?alt=media"));
    }
    value
}

/// The resumable protocol: `start` gives an address to send to, `upload` sends, `finalize` ends.
fn upload(call: &Call, world: &mut World) -> Reply {
    let command = call.header("x-goog-upload-command").unwrap_or_default().to_owned();
    if command == "start" {
        let body = call.json().unwrap_or_default();
        let about =
            |name: &str| body.get("file").and_then(|f| generate::field(f, name)).and_then(Value::as_str).map(str::to_owned);
        let mime = about("mimeType").or_else(|| call.header("x-goog-upload-header-content-type").map(str::to_owned));
        let (id, created) = (world.new_id("", 12), world.now());
        let url = format!("{}/upload/v1beta/files?upload_id={id}&upload_protocol=resumable", world.base);
        let (name, purpose, mime) = (about("displayName").unwrap_or_default(), "UPLOADED".into(), mime.unwrap_or_default());
        world.put_file(StoredFile { id, provider: Gemini, name, purpose, mime, bytes: 0, created, open: true }, &[]);
        return Reply::bytes(200, "application/json", Vec::new())
            .with("x-goog-upload-url", url)
            .with("x-goog-upload-status", "active");
    }
    let upload = call.param("upload_id").and_then(|id| world.file(id)).filter(|f| f.open).cloned();
    let Some(mut open) = upload else { return no(404, "Upload not found.") };
    let mut bytes = world.part(&open.id);
    if command.contains("query") {
        let size = bytes.len().to_string();
        return Reply::bytes(200, "text/plain", Vec::new())
            .with("x-goog-upload-status", "active")
            .with("x-goog-upload-size-received", size);
    }
    if call.header("x-goog-upload-offset").and_then(|v| v.parse::<usize>().ok()) != Some(bytes.len()) {
        return no(400, "X-Goog-Upload-Offset does not match what was received.");
    }
    bytes.extend_from_slice(&call.body);
    open.bytes = bytes.len() as u64;
    open.open = !command.contains("finalize");
    world.put_file(open.clone(), &bytes);
    if open.open {
        return Reply::bytes(200, "text/plain", Vec::new()).with("x-goog-upload-status", "active");
    }
    Reply::ok(&json!({"file": file(&open, world)})).with("x-goog-upload-status", "final")
}

fn content(id: &str, world: &World, script: &mut Script) -> Reply {
    match (world.file(id), world.content(id)) {
        (Some(file), Some(bytes)) if file.provider == Gemini && file.purpose == "GENERATED" => {
            let lines = String::from_utf8_lossy(&bytes).lines().map(str::to_owned).collect();
            download(lines, "key", "application/jsonl", script)
        }
        (Some(file), _) if file.provider == Gemini => no(400, "Only generated files can be downloaded."),
        _ => no_file(id),
    }
}
