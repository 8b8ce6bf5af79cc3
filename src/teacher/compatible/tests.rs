//! Golden forms of a compatible server's requests and answers.

use super::super::Stop;
use super::super::testing::{answered, assert_lines, encoded, errored, settings};
use super::*;

fn teacher(structured: Option<bool>) -> Compatible {
    let base_url = Some("http://127.0.0.1:1/v1".to_owned());
    Compatible::new(Settings { base_url, structured, ..settings("compatible") }).expect("has a base_url")
}

#[test]
fn a_request_says_its_limit_and_no_stream_and_takes_a_schema_only_when_told() {
    let plain = json!({
        "model": "model-1",
        "messages": [{"role": "system", "content": "RUBRIC\n\nREADER"}, {"role": "user", "content": "ARTICLE"}],
        "max_tokens": 700,
        "stream": false,
    });
    assert_eq!(encoded(&teacher(None), true), plain);
    let named = json!({"type": "json_schema", "json_schema": {"name": "prism", "strict": true, "schema": {"type": "object"}}});
    assert_eq!(encoded(&teacher(Some(true)), true)["response_format"], named);
    assert!(Compatible::new(settings("compatible")).is_err());
    assert!(teacher(None).batches().is_none());
}

#[test]
fn every_kind_of_answer_is_read() {
    let table = [
        (
            r#"{"custom_id":"q-1","asked":{"prompt_tokens":100,"at_least":100},"response":{"status_code":200,"body":{"choices":[{"message":{"content":"a"},"finish_reason":"stop"}],"usage":{"prompt_tokens":50,"completion_tokens":3}}},"error":null}"#,
            answered("a", Stop::End, Tokens::plain(50, 3)),
        ),
        (
            r#"{"custom_id":"q-1","asked":{"prompt_tokens":100,"at_least":100},"response":{"status_code":200,"body":{"choices":[{"message":{"content":"a"},"finish_reason":"stop"}],"usage":{"prompt_tokens":49,"completion_tokens":3}}},"error":null}"#,
            errored(
                "the server read only 49 of about 100 prompt tokens: its context is cut; raise num_ctx / --ctx-size",
                ErrorKind::Request,
            ),
        ),
        (
            r#"{"custom_id":"q-1","asked":{"prompt_tokens":100,"at_least":90},"response":{"status_code":200,"body":{"choices":[{"message":{"content":"abcdefgh"},"finish_reason":"length"}]}},"error":null}"#,
            answered("abcdefgh", Stop::TokenLimit, Tokens::plain(100, 2)),
        ),
        (
            r#"{"custom_id":"q-1","asked":{},"response":{"status_code":200,"body":{"error":"model requires more memory"}},"error":null}"#,
            errored("model requires more memory", ErrorKind::Server),
        ),
        (
            r#"{"custom_id":"q-1","response":{"status_code":200,"body":{"choices":[]}},"error":null}"#,
            errored("the server answered without any choice", ErrorKind::Server),
        ),
    ];
    assert_lines(&teacher(None), &table);
}

#[test]
fn a_prompt_in_another_script_is_not_taken_for_a_cut_one() {
    // Real tokenizers make a token of two or three Arabic letters; one each is only what a preview assumes.
    let text = "مرحبا".repeat(100);
    assert_eq!((at_least(&text), estimate_tokens(&text)), (125, 500));
}
