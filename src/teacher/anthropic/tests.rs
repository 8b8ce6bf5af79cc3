//! Golden forms of Anthropic's requests, batches and result lines.

use serde_json::json;

use super::super::testing::{answered, assert_lines, encoded, errored, settings};
use super::*;

fn teacher() -> Anthropic {
    Anthropic::new(settings("anthropic"))
}

#[test]
fn a_request_has_the_shared_front_marked_for_the_cache() {
    assert_eq!(
        encoded(&teacher(), true),
        json!({
            "model": "model-1",
            "max_tokens": 700,
            "system": [
                {"type": "text", "text": "RUBRIC"},
                {"type": "text", "text": "READER", "cache_control": {"type": "ephemeral", "ttl": "1h"}},
            ],
            "messages": [{"role": "user", "content": "ARTICLE"}],
            "output_config": {"format": {"type": "json_schema", "schema": {"type": "object"}}},
        })
    );
    assert!(teacher().answers_by_schema() && teacher().writes_cache());
}

#[test]
fn what_is_not_configured_is_not_sent_and_what_is_takes_the_version_that_accepts_it() {
    let plain = Settings { cache: false, ..settings("anthropic") };
    let body = encoded(&Anthropic::new(plain.clone()), false);
    assert!(body.get("output_config").is_none() && body.get("temperature").is_none());
    assert!(body["system"][1].get("cache_control").is_none());
    let warm = Settings { temperature: Some(0.0), effort: Some("low".into()), ..plain };
    let body = encoded(&Anthropic::new(warm), false);
    assert_eq!((&body["temperature"], &body["output_config"]), (&json!(0.0), &json!({"effort": "low"})));
}

#[test]
fn every_kind_of_result_line_is_read() {
    let tokens = Tokens { input: 10, cache_write_5m: 1, cache_write_1h: 2, cache_read: 40, output: 5 };
    let unsplit = Tokens { cache_write_5m: 0, cache_write_1h: 3, ..tokens };
    let table = [
        (
            r#"{"custom_id":"q-1","result":{"type":"succeeded","message":{"content":[{"type":"thinking","thinking":"hm"},{"type":"text","text":"a"},{"type":"text","text":"b"}],"stop_reason":"end_turn","usage":{"input_tokens":10,"cache_creation_input_tokens":3,"cache_creation":{"ephemeral_5m_input_tokens":1,"ephemeral_1h_input_tokens":2},"cache_read_input_tokens":40,"output_tokens":5}}}}"#,
            answered("ab", Stop::End, tokens),
        ),
        (
            r#"{"custom_id":"q-1","result":{"type":"succeeded","message":{"content":[{"type":"text","text":"a"}],"stop_reason":"max_tokens","usage":{"input_tokens":10,"cache_creation_input_tokens":3,"cache_read_input_tokens":40,"output_tokens":5}}}}"#,
            answered("a", Stop::TokenLimit, unsplit),
        ),
        (
            r#"{"custom_id":"q-1","result":{"type":"succeeded","message":{"content":[],"stop_reason":"refusal","usage":{"input_tokens":10,"output_tokens":0}}}}"#,
            answered("", Stop::Refusal, Tokens::plain(10, 0)),
        ),
        (
            r#"{"custom_id":"q-1","result":{"type":"succeeded","message":{"content":null,"stop_reason":"model_context_window_exceeded","usage":null}}}"#,
            answered("", Stop::TokenLimit, Tokens::default()),
        ),
        (
            r#"{"custom_id":"q-1","result":{"type":"errored","error":{"type":"error","error":{"type":"invalid_request_error","message":"max_tokens: too many"},"request_id":"r"}}}"#,
            errored("invalid_request_error: max_tokens: too many", ErrorKind::Request),
        ),
        (
            r#"{"custom_id":"q-1","result":{"type":"errored","error":{"type":"overloaded_error","message":"busy"}}}"#,
            errored("overloaded_error: busy", ErrorKind::Server),
        ),
        (
            r#"{"custom_id":"q-1","result":{"type":"errored","error":{"type":"error","error":{"type":"invalid_request_error","message":"Your credit balance is too low"}}}}"#,
            errored("invalid_request_error: Your credit balance is too low", ErrorKind::Account),
        ),
        (
            r#"{"custom_id":"q-1","result":{"type":"errored","error":{"error":{"type":"permission_error"}}}}"#,
            errored("permission_error", ErrorKind::Account),
        ),
        (r#"{"custom_id":"q-1","result":{"type":"canceled"}}"#, Outcome::Canceled),
        (r#"{"custom_id":"q-1","result":{"type":"expired"}}"#, Outcome::Expired),
        (
            r#"{"custom_id":"q-1","result":{"type":"postponed"}}"#,
            errored("a result of unknown type 'postponed'", ErrorKind::Server),
        ),
    ];
    assert_lines(&teacher(), &table);
}

#[test]
fn a_line_that_is_none_is_an_error() {
    for bad in ["", "{", "[]", r#"{"result":{"type":"expired"}}"#, r#"{"custom_id":"q","result":{"type":"succeeded"}}"#] {
        assert!(teacher().read_line(bad.as_bytes()).is_err(), "{bad}");
    }
}

fn counts(processing: u64, succeeded: u64) -> Value {
    json!({"processing": processing, "succeeded": succeeded, "errored": 1, "canceled": 0, "expired": 0})
}

#[test]
fn a_batch_shows_progress_only_at_its_end() {
    let running = batch(&json!({
        "id": "msgbatch_1", "processing_status": "in_progress", "request_counts": counts(9, 0),
        "created_at": "2026-11-21T00:00:00.5Z", "expires_at": "2026-11-22T00:00:00Z", "results_url": null,
    }))
    .expect("reads");
    assert_eq!((running.state, running.total, running.answered), (BatchState::InProgress, Some(10), None));
    assert_eq!(running.created, Some(UnixMillis(1_795_219_200_500)));
    assert!(running.results.is_empty());
    let ended = json!({"id": "b", "processing_status": "ended", "request_counts": counts(0, 9), "results_url": "https://x/r"});
    let read = batch(&ended).expect("reads");
    assert_eq!((read.state, read.answered, read.results), (BatchState::Ended, Some(10), vec!["https://x/r".to_owned()]));
    let mut archived = ended;
    archived["archived_at"] = json!("2026-12-20T00:00:00Z");
    assert_eq!(batch(&archived).expect("reads").state, BatchState::Archived);
    assert!(batch(&json!({"id": ""})).is_err());
}
