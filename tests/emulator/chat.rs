//! The body and the answer of a chat completion, as `OpenAI` and all who imitate it write them.

use serde_json::{Value, json};

use super::Bill;
use super::answers::{Ask, Said, Stop, draw};
use super::state::HOUR;

/// A request's body; an error is (code, message).
pub fn read(body: &Value) -> Result<Ask, (Option<&'static str>, String)> {
    let missing = |name: &str| (Some("missing_required_parameter"), format!("Missing required parameter: '{name}'."));
    let model = body.get("model").and_then(Value::as_str).ok_or_else(|| missing("model"))?;
    let messages = body.get("messages").and_then(Value::as_array).filter(|m| !m.is_empty()).ok_or_else(|| missing("messages"))?;
    let reasons = model.starts_with("gpt-5") || model.starts_with("gpt-6");
    if reasons && body.get("max_tokens").is_some_and(|v| !v.is_null()) {
        let message =
            "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.";
        return Err((Some("unsupported_parameter"), message.into()));
    }
    if reasons && body.get("temperature").and_then(Value::as_f64).is_some_and(|t| (t - 1.0).abs() > 1e-9) {
        let message = "Unsupported value: 'temperature' does not support this value with this model. Only the default (1) value is supported.";
        return Err((Some("unsupported_value"), message.into()));
    }
    if body.get("stream").and_then(Value::as_bool) == Some(true) {
        return Err((Some("unsupported_value"), "Streaming is not emulated.".into()));
    }
    let (mut system, mut user) = (String::new(), String::new());
    for (i, message) in messages.iter().enumerate() {
        let text = content(message.get("content").unwrap_or(&Value::Null))
            .ok_or_else(|| (None, format!("Invalid type for 'messages[{i}].content': expected a string or text parts.")))?;
        match message.get("role").and_then(Value::as_str) {
            Some("system" | "developer") => system += &text,
            Some("user" | "assistant") => user += &text,
            _ => return Err((Some("invalid_value"), format!("Invalid value: 'messages[{i}].role'."))),
        }
    }
    let limit = body.get("max_completion_tokens").or(body.get("max_tokens")).and_then(Value::as_u64);
    let prefix = Some((system.clone(), HOUR));
    Ok(Ask { model: model.into(), system, user, max_tokens: limit, schema: schema(body)?, prefix })
}

fn content(content: &Value) -> Option<String> {
    match content {
        Value::Null => Some(String::new()),
        Value::String(s) => Some(s.clone()),
        Value::Array(parts) => parts.iter().map(|p| p.get("text").and_then(Value::as_str)).collect(),
        _ => None,
    }
}

fn schema(body: &Value) -> Result<Option<Value>, (Option<&'static str>, String)> {
    let Some(format) = body.get("response_format") else { return Ok(None) };
    match format.get("type").and_then(Value::as_str) {
        Some("json_object") => Ok(Some(json!({}))),
        Some("json_schema") => {
            let named = format.get("json_schema").filter(|s| s.get("name").is_some());
            let schema = named.and_then(|s| s.get("schema"));
            let missing =
                || (Some("missing_required_parameter"), "Missing required parameter: 'response_format.json_schema'.".to_owned());
            Ok(Some(schema.ok_or_else(missing)?.clone()))
        }
        Some("text") => Ok(None),
        _ => Err((Some("invalid_value"), "Invalid value: 'response_format.type'.".into())),
    }
}

/// The completion object.
pub fn object(seed: u64, created: i64, model: &str, said: &Said, bill: &Bill) -> Value {
    let id = format!("chatcmpl-{:016x}", draw(seed, &["completion", &bill.batch, &bill.custom_id, &bill.prompt]));
    let refusal = (said.stop == Stop::Refusal).then_some("I'm sorry, I cannot assist with that request.");
    let content = (said.stop != Stop::Refusal).then_some(&said.text);
    let prompt = bill.input + bill.cache_read;
    json!({
        "id": id,
        "object": "chat.completion",
        "created": created,
        "model": model,
        "choices": [{
            "index": 0,
            "message": {"role": "assistant", "content": content, "refusal": refusal, "annotations": []},
            "logprobs": null,
            "finish_reason": if said.stop == Stop::Length { "length" } else { "stop" },
        }],
        "usage": {
            "prompt_tokens": prompt,
            "completion_tokens": bill.output,
            "total_tokens": prompt + bill.output,
            "prompt_tokens_details": {"cached_tokens": bill.cache_read, "audio_tokens": 0},
            "completion_tokens_details": {
                "reasoning_tokens": 0, "audio_tokens": 0, "accepted_prediction_tokens": 0, "rejected_prediction_tokens": 0,
            },
        },
        "service_tier": "default",
        "system_fingerprint": null,
    })
}
