//! Golden forms of Gemini's requests, operations and result lines.

use super::super::testing::{self, assert_lines, encoded, settings};
use super::*;

fn teacher() -> Gemini {
    Gemini::new(settings("gemini"))
}

#[test]
fn a_request_has_its_settings_in_the_generation_config() {
    let body = json!({
        "systemInstruction": {"parts": [{"text": "RUBRIC"}, {"text": "READER"}]},
        "contents": [{"role": "user", "parts": [{"text": "ARTICLE"}]}],
        "generationConfig": {
            "maxOutputTokens": 700,
            "responseMimeType": "application/json",
            "responseJsonSchema": {"type": "object"},
        },
    });
    assert_eq!(encoded(&teacher(), true), body);
    let warm = Settings { temperature: Some(0.5), effort: Some("low".into()), ..settings("gemini") };
    let config = json!({"maxOutputTokens": 700, "temperature": 0.5, "thinkingConfig": {"thinkingLevel": "low"}});
    assert_eq!(encoded(&Gemini::new(warm), false)["generationConfig"], config);
    let request = Outgoing { custom_id: "q-1".into(), body: json!({"contents": []}) };
    assert_eq!(jsonl(&[request]), b"{\"key\":\"q-1\",\"request\":{\"contents\":[]}}\n");
}

#[test]
fn every_kind_of_result_line_is_read() {
    let usage = Tokens { cache_read: 40, ..Tokens::plain(10, 12) };
    let answered = testing::answered;
    let errored = testing::errored;
    let table = [
        (
            r#"{"key":"q-1","response":{"candidates":[{"content":{"parts":[{"text":"hm","thought":true},{"text":"a"},{"text":"b"}]},"finishReason":"STOP"}],"usageMetadata":{"promptTokenCount":50,"cachedContentTokenCount":40,"candidatesTokenCount":5,"thoughtsTokenCount":7}}}"#,
            answered("ab", Stop::End, usage),
        ),
        (
            r#"{"key":"q-1","response":{"candidates":[{"content":{},"finishReason":"MAX_TOKENS"}],"usageMetadata":{"promptTokenCount":5,"thoughtsTokenCount":7}}}"#,
            answered("", Stop::TokenLimit, Tokens::plain(5, 7)),
        ),
        (
            r#"{"key":"q-1","response":{"candidates":[{"finishReason":"SAFETY"}],"usageMetadata":{"promptTokenCount":5}}}"#,
            answered("", Stop::Refusal, Tokens::plain(5, 0)),
        ),
        (
            r#"{"metadata":{"key":"q-1"},"response":{"promptFeedback":{"blockReason":"OTHER"},"usageMetadata":{"promptTokenCount":5}}}"#,
            answered("", Stop::Refusal, Tokens::plain(5, 0)),
        ),
        (r#"{"key":"q-1","response":{"usageMetadata":{}}}"#, errored("a response without candidates", ErrorKind::Server)),
        (r#"{"key":"q-1","error":{"code":3,"message":"bad schema"}}"#, errored("bad schema", ErrorKind::Request)),
        (
            r#"{"key":"q-1","error":{"code":400,"status":"INVALID_ARGUMENT","message":"m"}}"#,
            errored("INVALID_ARGUMENT: m", ErrorKind::Request),
        ),
        (
            r#"{"key":"q-1","error":{"code":7,"status":"PERMISSION_DENIED","message":"m"}}"#,
            errored("PERMISSION_DENIED: m", ErrorKind::Account),
        ),
        (r#"{"key":"q-1","error":{"code":8,"message":"quota"}}"#, errored("quota", ErrorKind::Server)),
        (r#"{"key":"q-1","error":{"code":13,"message":"m"}}"#, errored("m", ErrorKind::Server)),
        (r#"{"key":"q-1"}"#, errored("neither a response nor an error", ErrorKind::Server)),
    ];
    assert_lines(&teacher(), &table);
    assert!(teacher().read_line(b"{\"response\":{}}").is_err());
}

#[test]
fn every_state_is_read_under_both_prefixes_and_unknown_ones_go_on() {
    let of = |state: &str| operation(&json!({"name": "batches/1", "metadata": {"state": state}})).expect("reads").state;
    let table = [
        ("PENDING", BatchState::InProgress),
        ("RUNNING", BatchState::InProgress),
        ("QUEUED", BatchState::InProgress),
        ("SUCCEEDED", BatchState::Ended),
        ("CANCELLED", BatchState::Ended),
        ("EXPIRED", BatchState::Ended),
        ("CANCELLING", BatchState::Canceling),
        ("FAILED", BatchState::Failed),
    ];
    for (state, wanted) in table {
        assert_eq!(of(&format!("BATCH_STATE_{state}")), wanted, "{state}");
        assert_eq!(of(&format!("JOB_STATE_{state}")), wanted, "{state}");
    }
    let bare = json!({"name": "batches/1", "done": true, "error": {"code": 13, "message": "lost"}});
    let read = operation(&bare).expect("reads");
    assert_eq!((read.state, read.why.as_deref()), (BatchState::Failed, Some("lost")));
}

#[test]
fn a_cancelled_batch_keeps_its_counts_its_label_and_its_file() {
    let stats =
        json!({"requestCount": "10", "successfulRequestCount": "4", "failedRequestCount": "1", "pendingRequestCount": "5"});
    let read = operation(&json!({
        "name": "batches/1",
        "metadata": {"state": "BATCH_STATE_CANCELLED", "displayName": "label", "batchStats": stats,
            "createTime": "2026-11-21T00:00:00.123456789Z", "output": {"responsesFile": "files/batch-1"}},
        "done": true,
    }))
    .expect("reads");
    assert_eq!((read.state, read.total, read.answered), (BatchState::Ended, Some(10), Some(5)));
    assert_eq!((read.label.as_deref(), read.created), (Some("label"), Some(UnixMillis(1_795_219_200_123))));
    assert_eq!(read.results, ["files/batch-1"]);
    let done =
        json!({"name": "batches/1", "metadata": {"state": "BATCH_STATE_SUCCEEDED"}, "response": {"responsesFile": "files/x"}});
    assert_eq!(operation(&done).expect("reads").results, ["files/x"]);
}
