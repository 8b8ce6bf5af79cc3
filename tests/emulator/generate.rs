//! The body and the answer of Gemini's `generateContent`.

use serde_json::{Value, json};

use super::Bill;
use super::answers::{Ask, Said, Stop, draw};

/// A field by its lowerCamel name, or by its `snake_case` one.
pub fn field<'a>(value: &'a Value, camel: &str) -> Option<&'a Value> {
    let snake: String =
        camel.chars().flat_map(|c| c.is_ascii_uppercase().then_some('_').into_iter().chain([c.to_ascii_lowercase()])).collect();
    value.get(camel).or_else(|| value.get(snake)).filter(|v| !v.is_null())
}

pub fn read(body: &Value, model: &str) -> Result<Ask, String> {
    let contents = body.get("contents").and_then(Value::as_array).filter(|c| !c.is_empty()).ok_or("contents is not specified")?;
    let mut user = String::new();
    for content in contents {
        if !matches!(content.get("role").and_then(Value::as_str), None | Some("user" | "model")) {
            return Err("Please use a valid role: user, model.".into());
        }
        user += &text(content)?;
    }
    let system = field(body, "systemInstruction").map(text).transpose()?.unwrap_or_default();
    let config = field(body, "generationConfig").cloned().unwrap_or_default();
    let schema = field(&config, "responseSchema").or_else(|| field(&config, "responseJsonSchema")).cloned();
    let json_wanted = field(&config, "responseMimeType").and_then(Value::as_str) == Some("application/json");
    if schema.is_some() && !json_wanted {
        return Err("Function calling config or response schema needs response_mime_type application/json".into());
    }
    let max_tokens = field(&config, "maxOutputTokens").and_then(Value::as_u64);
    Ok(Ask { model: model.into(), system, user, max_tokens, schema: schema.or(json_wanted.then(|| json!({}))), prefix: None })
}

fn text(content: &Value) -> Result<String, String> {
    let parts = content.get("parts").and_then(Value::as_array).ok_or("parts is not specified")?;
    parts.iter().map(|p| p.get("text").and_then(Value::as_str).ok_or_else(|| "text parts only".to_owned())).collect()
}

/// The response object. A refusal is a blocked prompt, or a candidate stopped for safety, without content.
pub fn object(seed: u64, model: &str, said: &Said, bill: &Bill) -> Value {
    let drawn = draw(seed, &["generate", &bill.batch, &bill.custom_id, &bill.prompt]);
    let prompt = bill.input + bill.cache_read;
    let usage = json!({"promptTokenCount": prompt, "candidatesTokenCount": bill.output, "totalTokenCount": prompt + bill.output,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": prompt}]});
    let mut whole = json!({"usageMetadata": usage, "modelVersion": model, "responseId": format!("{drawn:016x}")});
    let reason = match said.stop {
        Stop::End => "STOP",
        Stop::Length => "MAX_TOKENS",
        Stop::Refusal => "SAFETY",
    };
    if said.stop != Stop::Refusal {
        let content = json!({"parts": [{"text": said.text}], "role": "model"});
        whole["candidates"] = json!([{"content": content, "finishReason": reason, "index": 0}]);
    } else if drawn.is_multiple_of(2) {
        whole["candidates"] = json!([{"finishReason": reason, "index": 0}]);
    } else {
        whole["promptFeedback"] = json!({"blockReason": "PROHIBITED_CONTENT"});
    }
    whole
}
