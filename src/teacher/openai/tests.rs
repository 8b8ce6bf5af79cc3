//! Golden forms of OpenAI's requests, batches and result lines.

use super::super::testing::{answered, assert_lines, encoded, errored, settings};
use super::super::{ErrorKind, Outcome, Stop};
use super::*;
use crate::domain::Tokens;

fn teacher() -> OpenAi {
    OpenAi::new(settings("openai"))
}

#[test]
fn a_request_has_the_shared_front_first_and_a_strict_schema() {
    let body = json!({
        "model": "model-1",
        "messages": [{"role": "system", "content": "RUBRIC\n\nREADER"}, {"role": "user", "content": "ARTICLE"}],
        "max_completion_tokens": 700,
        "response_format": {"type": "json_schema", "json_schema": {"name": "prism", "strict": true, "schema": {"type": "object"}}},
    });
    assert_eq!(encoded(&teacher(), true), body);
    let warm = Settings { temperature: Some(0.5), effort: Some("low".into()), ..settings("openai") };
    let body = encoded(&OpenAi::new(warm), false);
    assert_eq!((&body["temperature"], &body["reasoning_effort"]), (&json!(0.5), &json!("low")));
    assert!(body.get("response_format").is_none());
    let request = Outgoing { custom_id: "q-1".into(), body: json!({"model": "m"}) };
    let line = "{\"custom_id\":\"q-1\",\"method\":\"POST\",\"url\":\"/v1/chat/completions\",\"body\":{\"model\":\"m\"}}\n";
    assert_eq!(String::from_utf8(jsonl(&[request])).expect("text"), line);
}

#[test]
fn every_kind_of_result_line_is_read() {
    let cached = Tokens { cache_read: 40, ..Tokens::plain(10, 5) };
    let table = [
        (
            r#"{"id":"r","custom_id":"q-1","response":{"status_code":200,"body":{"choices":[{"message":{"content":"a","refusal":null},"finish_reason":"stop"}],"usage":{"prompt_tokens":50,"prompt_tokens_details":{"cached_tokens":40},"completion_tokens":5}}},"error":null}"#,
            answered("a", Stop::End, cached),
        ),
        (
            r#"{"custom_id":"q-1","response":{"status_code":200,"body":{"choices":[{"message":{"content":"a"},"finish_reason":"length"}],"usage":{"prompt_tokens":5,"completion_tokens":5}}}}"#,
            answered("a", Stop::TokenLimit, Tokens::plain(5, 5)),
        ),
        (
            r#"{"custom_id":"q-1","response":{"status_code":200,"body":{"choices":[{"message":{"content":null,"refusal":"no"},"finish_reason":"stop"}],"usage":{"prompt_tokens":5,"completion_tokens":1}}},"error":null}"#,
            answered("no", Stop::Refusal, Tokens::plain(5, 1)),
        ),
        (
            r#"{"custom_id":"q-1","response":{"status_code":200,"body":{"choices":[{"message":{"content":""},"finish_reason":"content_filter"}],"usage":{"prompt_tokens":5,"completion_tokens":0}}},"error":null}"#,
            answered("", Stop::Refusal, Tokens::plain(5, 0)),
        ),
        (
            r#"{"custom_id":"q-1","response":{"status_code":400,"body":{"error":{"message":"bad","type":"invalid_request_error","code":null}}},"error":null}"#,
            errored("invalid_request_error: bad", ErrorKind::Request),
        ),
        (
            r#"{"custom_id":"q-1","response":{"status_code":429,"body":{"error":{"message":"slow","type":"requests","code":"rate_limit_exceeded"}}},"error":null}"#,
            errored("requests, rate_limit_exceeded: slow", ErrorKind::Server),
        ),
        (
            r#"{"custom_id":"q-1","response":{"status_code":429,"body":{"error":{"message":"quota","type":"insufficient_quota","code":"insufficient_quota"}}},"error":null}"#,
            errored("insufficient_quota: quota", ErrorKind::Account),
        ),
        (
            r#"{"custom_id":"q-1","response":{"status_code":500,"body":{}},"error":null}"#,
            errored("the provider gives no reason", ErrorKind::Server),
        ),
        (r#"{"custom_id":"q-1","response":null,"error":{"code":"batch_expired","message":"late"}}"#, Outcome::Expired),
        (r#"{"custom_id":"q-1","response":null,"error":{"code":"batch_cancelled","message":"m"}}"#, Outcome::Canceled),
        (
            r#"{"custom_id":"q-1","response":null,"error":{"code":"server_error","message":"m"}}"#,
            errored("server_error: m", ErrorKind::Server),
        ),
    ];
    assert_lines(&teacher(), &table);
    assert!(teacher().read_line(b"{\"error\":null}").is_err());
}

#[test]
fn every_state_of_a_batch_is_read() {
    let of = |status: &str| batch(&json!({"id": "b", "status": status})).expect("reads").state;
    for status in ["validating", "in_progress", "finalizing", "pondering"] {
        assert_eq!(of(status), BatchState::InProgress, "{status}");
    }
    for status in ["completed", "expired", "cancelled"] {
        assert_eq!(of(status), BatchState::Ended, "{status}");
    }
    assert_eq!(of("cancelling"), BatchState::Canceling);
}

#[test]
fn empty_ids_are_no_files_and_a_failed_batch_says_why() {
    let failed = batch(&json!({
        "id": "b", "status": "failed", "created_at": 1_795_219_200, "output_file_id": "", "error_file_id": null,
        "request_counts": {"total": 0, "completed": 0, "failed": 0}, "metadata": {"stratos": "label"},
        "errors": {"data": [{"code": "token_limit_exceeded", "message": "Enqueued token limit reached"}]},
    }))
    .expect("reads");
    assert_eq!((failed.state, failed.total, failed.answered), (BatchState::Failed, None, None));
    assert_eq!(failed.why.as_deref(), Some("token_limit_exceeded: Enqueued token limit reached"));
    assert_eq!((failed.label.as_deref(), failed.created), (Some("label"), Some(UnixMillis(1_795_219_200_000))));
    assert!(failed.results.is_empty());
    let errors_only = json!({"id": "b", "status": "completed", "output_file_id": "", "error_file_id": "file-e",
        "request_counts": {"total": 3, "completed": 0, "failed": 3}});
    let read = batch(&errors_only).expect("reads");
    assert_eq!((read.results, read.answered), (vec!["file-e".to_owned()], Some(3)));
}
