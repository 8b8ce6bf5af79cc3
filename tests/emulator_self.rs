//! The emulator itself is right: what it says, what it bills, what its faults do. The official SDKs check its shapes
//! (`.ci/peers/sdk_check.py`); here is what a test relies on.

#[path = "emulator/mod.rs"]
mod emulator;

use std::collections::HashSet;
use std::time::Duration;

use emulator::{AnswerMix, Body, Emulator, Fault, Finish, Op, Options, Phase, Provider, Truncation};
use serde_json::{Value, json};
use tempfile::TempDir;

/// An emulator, and somebody who calls it.
struct Peer {
    emulator: Emulator,
    runtime: tokio::runtime::Runtime,
    http: reqwest::Client,
    _dir: TempDir,
}

struct Heard {
    status: u16,
    headers: reqwest::header::HeaderMap,
    text: String,
}

impl Heard {
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).expect("a JSON reply")
    }
}

impl Peer {
    fn new(change: impl FnOnce(&mut Options)) -> Self {
        let dir = TempDir::new().expect("a temporary folder");
        let mut options = Options::new(7, dir.path());
        change(&mut options);
        // Another test of this process may have chosen the provider already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let http = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .pool_max_idle_per_host(0)
            .build()
            .expect("a client");
        Self { emulator: Emulator::start(options), runtime, http, _dir: dir }
    }

    fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: Option<Vec<u8>>) -> Result<Heard, reqwest::Error> {
        let method = method.parse().expect("a method");
        let mut request = self.http.request(method, format!("{}{path}", self.emulator.base_url()));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(body) = body {
            request = request.body(body);
        }
        self.runtime.block_on(async {
            let reply = request.send().await?;
            let (status, headers) = (reply.status().as_u16(), reply.headers().clone());
            Ok(Heard { status, headers, text: reply.text().await? })
        })
    }

    /// A call in Anthropic's dialect.
    fn call(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Heard, reqwest::Error> {
        let headers = [("anthropic-version", "2023-06-01"), ("x-api-key", "secret")];
        self.send(method, path, &headers, body.map(|b| b.to_string().into_bytes()))
    }

    fn get(&self, path: &str) -> Heard {
        self.call("GET", path, None).expect("a reply")
    }

    fn create(&self, requests: &[Value]) -> Heard {
        self.call("POST", "/v1/messages/batches", Some(&json!({ "requests": requests }))).expect("a reply")
    }

    fn created(&self, count: usize) -> String {
        let made = self.create(&(0..count).map(request).collect::<Vec<_>>());
        assert_eq!(made.status, 200, "{}", made.text);
        made.json()["id"].as_str().expect("an id").to_owned()
    }

    /// Looks until it has ended.
    fn ended(&self, id: &str) -> Value {
        (0..20)
            .map(|_| self.get(&format!("/v1/messages/batches/{id}")).json())
            .find(|b| b["processing_status"] == "ended")
            .expect("an end")
    }

    fn results(&self, id: &str) -> Result<Vec<Value>, String> {
        let heard = self.call("GET", &format!("/v1/messages/batches/{id}/results"), None).map_err(|e| e.to_string())?;
        heard.text.lines().map(|l| serde_json::from_str(l).map_err(|e| e.to_string())).collect()
    }
}

fn messages(n: usize) -> Value {
    json!([{"role": "user", "content": format!("<article>\nSource: Reuters (news)\nTitle: Port {n} opens\nOn Monday.\n</article>")}])
}

fn request(n: usize) -> Value {
    let system = "You judge.\n\n<profile>\nRole: Nurse\nLevel: senior\nLocation: Texas\n</profile>";
    json!({"custom_id": format!("row-{n}"), "params": {"model": "claude-haiku-4-5", "max_tokens": 700, "system": system, "messages": messages(n)}})
}

fn text(row: &Value) -> &str {
    row["result"]["message"]["content"][0]["text"].as_str().unwrap_or_default()
}

fn score(answer: &str) -> f64 {
    answer.split("SCORE: ").nth(1).and_then(|rest| rest.split(' ').next()).expect("a score").parse().expect("a number")
}

#[test]
fn a_batch_runs_ends_and_is_billed_once() {
    let peer = Peer::new(|_| ());
    let id = peer.created(5);
    let looks: Vec<String> = (0..3)
        .map(|_| {
            peer.get(&format!("/v1/messages/batches/{id}")).json()["processing_status"].as_str().unwrap_or_default().to_owned()
        })
        .collect();
    assert_eq!(looks, ["in_progress", "in_progress", "ended"], "two looks find it running");
    let ids: HashSet<String> =
        peer.results(&id).expect("results").iter().map(|r| r["custom_id"].as_str().unwrap_or_default().to_owned()).collect();
    assert_eq!(ids, (0..5).map(|n| format!("row-{n}")).collect());
    let _ = peer.results(&id);
    let bills = peer.emulator.billed();
    assert_eq!(bills.len(), 5, "looking and downloading twice bills nothing");
    assert!(
        bills.iter().all(|b| b.batch == id && b.provider == Provider::Anthropic && b.reader == "Role: Nurse\nLocation: Texas")
    );
    assert_eq!(bills[3].title, "Port 3 opens");
}

#[test]
fn answers_fit_their_tier_spread_over_the_bands_and_never_sit_on_the_fence() {
    let peer = Peer::new(|_| ());
    let id = peer.created(300);
    peer.ended(&id);
    let rows = peer.results(&id).expect("results");
    let mut bands = [0; 5];
    let mut reasons = HashSet::new();
    for row in &rows {
        let answer = text(row);
        let (think, rest) = answer.strip_prefix("<think>\n").and_then(|t| t.split_once("\n</think>\n")).expect("a think block");
        let (score, words) = (score(rest), think.split_whitespace().count());
        let (band, allowed) = match score {
            s if s < 2.0 => (0, 15..=49),
            s if s < 5.0 => (1, 80..=150),
            s if s > 5.0 && s < 7.0 => (2, 80..=150),
            s if s > 5.0 && s < 9.0 => (3, 80..=150),
            s if s >= 9.0 => (4, 120..=180),
            s => panic!("nobody may say {s}"),
        };
        assert!(allowed.contains(&words), "{words} words for {score}");
        bands[band] += 1;
        let reason = rest.split("REASON: ").nth(1).expect("a reason");
        assert!(reason.contains("Port") && reason.ends_with('.'));
        reasons.insert(reason.to_owned());
    }
    assert!(bands.iter().all(|n| *n > 30), "{bands:?}");
    assert!(reasons.len() > 290, "reasons differ");
}

#[test]
fn the_same_prompt_is_answered_alike_whatever_its_id_and_after_a_restart() {
    let mut peer = Peer::new(|_| ());
    let first = peer.created(1);
    peer.ended(&first);
    let before = text(&peer.results(&first).expect("results")[0]).to_owned();
    peer.emulator.restart();
    assert_eq!(text(&peer.results(&first).expect("results")[0]), before, "kept");
    let mut again = request(0);
    again["custom_id"] = json!("another-attempt");
    let second = peer.create(&[again]).json()["id"].as_str().expect("an id").to_owned();
    peer.ended(&second);
    assert_eq!(text(&peer.results(&second).expect("results")[0]), before);
    assert_eq!(peer.emulator.batches().len(), 2);
    assert_eq!(peer.emulator.billed().len(), 2);
}

#[test]
fn a_mishap_is_drawn_by_custom_id_so_another_attempt_may_go_well() {
    let mix = AnswerMix { truncated: 0.1, refused: 0.1, malformed: 0.1, forbidden: 0.1, errored: 0.1, expired: 0.1 };
    let peer = Peer::new(|o| o.answers = mix);
    let id = peer.created(400);
    peer.ended(&id);
    let rows = peer.results(&id).expect("results");
    let count = |wanted: &dyn Fn(&Value) -> bool| rows.iter().filter(|r| wanted(r)).count();
    let stopped = |why: &'static str| move |r: &Value| r["result"]["message"]["stop_reason"] == why;
    for found in [
        count(&|r| r["result"]["type"] == "errored"),
        count(&|r| r["result"]["type"] == "expired"),
        count(&stopped("refusal")),
        count(&stopped("max_tokens")),
        count(&|r| text(r).starts_with("I am glad")),
        count(&|r| text(r).contains("SCORE: 5.0")),
    ] {
        assert!((15..=70).contains(&found), "{found} of 400");
    }
    let failed = count(&|r| r["result"]["type"] != "succeeded");
    assert_eq!(peer.emulator.billed().len(), 400 - failed, "errored and expired requests cost nothing");
}

#[test]
fn a_restated_prompt_or_a_high_cap_is_always_answered_well() {
    let peer = Peer::new(|o| o.answers = AnswerMix { malformed: 1.0, ..AnswerMix::default() });
    let mut restated = request(1);
    restated["params"]["messages"][0]["content"] = json!("Title: Port\nYour previous answer was not usable: no score line.");
    let mut capped = request(2);
    capped["params"]["max_tokens"] = json!(1400);
    let id = peer.create(&[request(0), restated, capped]).json()["id"].as_str().expect("an id").to_owned();
    peer.ended(&id);
    let well = |r: &&Value| text(r).contains("\nSCORE: ");
    assert_eq!(peer.results(&id).expect("results").iter().filter(well).count(), 2);
}

#[test]
fn a_reply_lost_after_the_commit_leaves_a_batch_and_its_bills() {
    let mut peer = Peer::new(|_| ());
    let body = json!({"requests": [request(0)]});
    peer.emulator.fault(Fault::DropBeforeCommit);
    assert!(peer.call("POST", "/v1/messages/batches", Some(&body)).is_err());
    assert!(peer.emulator.batches().is_empty());
    peer.emulator.fault(Fault::CommitThenDrop);
    assert!(peer.call("POST", "/v1/messages/batches", Some(&body)).is_err());
    peer.emulator.fault(Fault::CommitThen502Html);
    let heard = peer.create(&[request(0)]);
    assert_eq!((heard.status, heard.text.starts_with("<html>")), (502, true));
    peer.emulator.restart();
    assert_eq!(peer.emulator.batches().len(), 2);
    assert_eq!(peer.emulator.billed().len(), 2, "even if nobody ever looks");
    let listed = peer.get("/v1/messages/batches").json();
    assert_eq!(listed["data"].as_array().map(Vec::len), Some(2));
    assert_eq!(listed["data"][0]["request_counts"]["processing"], 1);
}

#[test]
fn downloads_are_spoilt_once_and_only_as_told() {
    let peer = Peer::new(|_| ());
    let id = peer.created(6);
    peer.ended(&id);
    peer.emulator.fault(Fault::TruncateResults { how: Truncation::InsideLine });
    assert!(peer.results(&id).is_err(), "the last line does not parse");
    peer.emulator.fault(Fault::TruncateResults { how: Truncation::AtLineBoundary });
    assert_eq!(peer.results(&id).expect("whole lines").len(), 3);
    peer.emulator.fault(Fault::TruncateResults { how: Truncation::WrongLength });
    let path = format!("/v1/messages/batches/{id}/results");
    assert!(peer.call("GET", &path, None).is_err(), "the connection closes before its length is reached");
    peer.emulator.fault(Fault::DuplicateLine);
    let rows = peer.results(&id).expect("lines");
    assert_eq!((rows.len(), &rows[0]), (7, &rows[6]));
    peer.emulator.fault(Fault::UnknownIdLine);
    assert_eq!(peer.results(&id).expect("lines")[6]["custom_id"], "nobody-asked-for-this");
    assert_eq!(peer.results(&id).expect("lines").len(), 6);
    assert_eq!(peer.emulator.faults_waiting(), 0);
}

#[test]
fn statuses_strike_before_anything_is_done_and_as_often_as_told() {
    let peer = Peer::new(|_| ());
    peer.emulator.fault(Fault::Status { code: 529, times: 2, body: Body::Provider, retry_after: None });
    peer.emulator.fault(Fault::rate_limited(9));
    peer.emulator.fault(Fault::spend_limit());
    peer.emulator.fault(Fault::too_large_html());
    peer.emulator.fault(Fault::unauthorized());
    let heard: Vec<Heard> = (0..6).map(|_| peer.create(&[request(0)])).collect();
    assert_eq!(heard.iter().map(|h| h.status).collect::<Vec<_>>(), [529, 529, 429, 429, 413, 401]);
    assert_eq!(heard[0].json()["error"]["type"], "overloaded_error");
    assert_eq!(heard[2].headers["retry-after"], "9");
    assert!(heard[3].text.contains("enforced_spend_limit_reached") && !heard[3].headers.contains_key("retry-after"));
    assert!(heard[4].text.starts_with("<html>"));
    assert!(peer.emulator.batches().is_empty());
    peer.emulator.fault_on(Op::Look, Fault::status(500, 1));
    let id = peer.created(1);
    assert_eq!(peer.get(&format!("/v1/messages/batches/{id}")).status, 500, "a fault can wait for a kind of call");
}

#[test]
fn a_server_that_is_down_closes_connections_and_comes_back() {
    let mut peer = Peer::new(|_| ());
    peer.emulator.fault(Fault::ServerDown { times: 2 });
    for _ in 0..2 {
        assert!(peer.call("GET", "/v1/models", None).is_err());
    }
    assert_eq!(peer.get("/v1/models").status, 200);
    peer.emulator.stop();
    assert!(peer.call("GET", "/v1/models", None).is_err_and(|e| e.is_connect()), "refused");
    peer.emulator.restart();
    assert_eq!(peer.get("/v1/models").status, 200);
}

#[test]
fn a_late_reply_comes_after_the_work_is_done() {
    let peer = Peer::new(|_| ());
    peer.emulator.fault(Fault::DelayMs(60_000));
    let late = peer.http.post(format!("{}/v1/messages/batches", peer.emulator.base_url())).timeout(Duration::from_millis(300));
    let late = late.header("anthropic-version", "2023-06-01").body(json!({"requests": [request(0)]}).to_string());
    let heard = peer.runtime.block_on(async { late.send().await });
    assert!(heard.is_err_and(|e| e.is_timeout()));
    assert_eq!(peer.emulator.batches().len(), 1);
}

#[test]
fn a_batch_can_be_missing_stuck_expired_poor_or_foreign() {
    let peer = Peer::new(|_| ());
    let look = |id: &str| peer.get(&format!("/v1/messages/batches/{id}"));
    let id = peer.created(1);
    peer.emulator.fault(Fault::NotFoundAfterCreate { times: 2 });
    assert_eq!((look(&id).status, look(&id).status, look(&id).status), (404, 404, 200));

    peer.emulator.fault(Fault::StuckPending);
    let stuck = peer.created(3);
    assert!((0..9).all(|_| look(&stuck).json()["processing_status"] == "in_progress"));
    assert!(peer.emulator.billed().iter().all(|b| b.batch != stuck));
    peer.emulator.advance(Duration::from_secs(86_401));
    assert_eq!(look(&stuck).json()["request_counts"]["expired"], 3);

    let half = peer.created(40);
    peer.emulator.fault(Fault::ExpireNow);
    let counts = look(&half).json()["request_counts"].clone();
    let billed = peer.emulator.billed().iter().filter(|b| b.batch == half).count();
    assert!(counts["expired"].as_u64() > Some(5) && counts["succeeded"] == billed, "{counts}");

    peer.emulator.fault(Fault::AllErroredLowCredit);
    let poor = peer.created(2);
    assert_eq!(peer.ended(&poor)["request_counts"]["errored"], 2);
    assert!(peer.emulator.billed().iter().all(|b| b.batch != poor));

    peer.emulator.fault(Fault::ForeignResultsUrl);
    let foreign = peer.created(1);
    for _ in 0..2 {
        let url = peer.ended(&foreign)["results_url"].as_str().unwrap_or_default().to_owned();
        assert!(url.starts_with("http://localhost:"), "{url}");
    }
}

#[test]
fn a_retired_model_stays_retired_until_faults_are_cleared() {
    let peer = Peer::new(|_| ());
    peer.emulator.fault(Fault::ModelRetired);
    assert_eq!(peer.get("/v1/models/claude-haiku-4-5").status, 404);
    assert_eq!(peer.call("POST", "/v1/messages", Some(&request(0)["params"])).expect("a reply").status, 404);
    assert_eq!(peer.ended(&peer.created(2))["request_counts"]["errored"], 2);
    peer.emulator.clear_faults();
    assert_eq!(peer.get("/v1/models/claude-haiku-4-5").status, 200);
}

#[test]
fn a_redirect_and_a_wrong_key_are_seen_with_host_and_key() {
    let peer = Peer::new(|o| o.key = Some("right".into()));
    peer.emulator.fault(Fault::Redirect { to: "http://results.example.net/".into() });
    let heard = peer.get("/v1/models");
    assert_eq!((heard.status, heard.headers["location"].to_str().ok()), (307, Some("http://results.example.net/")));
    assert_eq!(peer.get("/v1/models").status, 401);
    let seen = peer.emulator.requests_seen();
    assert_eq!(seen.len(), 2);
    assert!(seen[0].host.starts_with("127.0.0.1:") && seen[0].keys == [("x-api-key".to_owned(), "secret".to_owned())]);
}

#[test]
fn a_batch_may_end_by_the_clock_and_be_archived_by_it() {
    let peer = Peer::new(|o| o.finish = Finish::AfterSeconds(3600));
    let id = peer.created(1);
    assert!((0..9).all(|_| peer.get(&format!("/v1/messages/batches/{id}")).json()["processing_status"] == "in_progress"));
    peer.emulator.advance(Duration::from_secs(3600));
    assert_eq!(peer.get("/v1/messages/batches").json()["data"][0]["processing_status"], "ended", "a list knows the time too");
    peer.emulator.advance(Duration::from_secs(29 * 86_400));
    assert!(peer.get(&format!("/v1/messages/batches/{id}")).json()["results_url"].is_null());
    assert_eq!(peer.get(&format!("/v1/messages/batches/{id}/results")).status, 404);
}

#[test]
fn the_prompt_cache_is_written_once_and_forgotten_after_its_time() {
    let peer = Peer::new(|_| ());
    let mut cached = request(0);
    let control = json!({"type": "ephemeral", "ttl": "1h"});
    cached["params"]["system"] = json!([{"type": "text", "text": "rubric ".repeat(800), "cache_control": control}]);
    let usage = || {
        let heard = peer.call("POST", "/v1/messages", Some(&cached["params"])).expect("a reply").json();
        (heard["usage"]["cache_creation_input_tokens"].as_u64(), heard["usage"]["cache_read_input_tokens"].as_u64())
    };
    assert_eq!(usage(), (Some(1400), Some(0)));
    assert_eq!(usage(), (Some(0), Some(1400)));
    peer.emulator.advance(Duration::from_secs(3601));
    assert_eq!(usage(), (Some(1400), Some(0)));
}

#[test]
fn openai_batches_go_by_file_and_their_faults_are_their_own() {
    let peer = Peer::new(|o| o.finish = Finish::AfterLooks(3));
    let auth = [("authorization", "Bearer secret")];
    let line = |n: usize| {
        let body = json!({"model": "gpt-5-mini", "messages": messages(n), "max_completion_tokens": 700});
        json!({"custom_id": format!("row-{n}"), "method": "POST", "url": "/v1/chat/completions", "body": body}).to_string()
    };
    let jsonl = (0..4).map(line).collect::<Vec<_>>().join("\n");
    let form = format!(
        "--B\r\nContent-Disposition: form-data; name=\"purpose\"\r\n\r\nbatch\r\n--B\r\nContent-Disposition: form-data; name=\"file\"; filename=\"in.jsonl\"\r\nContent-Type: application/jsonl\r\n\r\n{jsonl}\r\n--B--\r\n"
    );
    let headers = [auth[0], ("content-type", "multipart/form-data; boundary=B")];
    let file = peer.send("POST", "/v1/files", &headers, Some(form.into_bytes())).expect("a reply").json();
    let create = || {
        let body = json!({"input_file_id": file["id"], "endpoint": "/v1/chat/completions", "completion_window": "24h"});
        let made = peer.send("POST", "/v1/batches", &auth, Some(body.to_string().into_bytes())).expect("a reply").json();
        format!("/v1/batches/{}", made["id"].as_str().expect("an id"))
    };
    let look = |path: &str| peer.send("GET", path, &auth, None).expect("a reply").json();
    let path = create();
    let states: Vec<String> = (0..4).map(|_| look(&path)["status"].as_str().unwrap_or_default().to_owned()).collect();
    assert_eq!(states, ["in_progress", "in_progress", "finalizing", "completed"]);
    let content = format!("/v1/files/{}/content", look(&path)["output_file_id"].as_str().expect("a file"));
    assert_eq!(peer.send("GET", &content, &auth, None).expect("a reply").text.lines().count(), 4);
    assert_eq!(peer.emulator.billed().len(), 4);

    peer.emulator.fault(Fault::QueuedTokenLimit);
    let path = create();
    let failed = (0..3).map(|_| look(&path)).find(|b| b["status"] == "failed").expect("a failure");
    assert_eq!(failed["errors"]["data"][0]["code"], "token_limit_exceeded");
    peer.emulator.fault(Fault::OnlyErrorFile);
    let path = create();
    let ended = (0..5).map(|_| look(&path)).find(|b| b["status"] == "completed").expect("an end");
    assert_eq!((&ended["output_file_id"], ended["error_file_id"].is_string()), (&json!(""), true));
    peer.emulator.fault(Fault::ErrorInsideOutput);
    let path = create();
    let ended = (0..5).map(|_| look(&path)).find(|b| b["status"] == "completed").expect("an end");
    assert!(ended["error_file_id"].is_null());
    assert_eq!(peer.emulator.billed().len(), 4 + 3, "failed batches and failed lines cost nothing");
}

#[test]
fn gemini_batches_are_operations_with_inline_answers() {
    let mut peer = Peer::new(|_| ());
    let auth = [("x-goog-api-key", "secret")];
    let one = |n: usize| json!({"request": {"contents": [{"parts": [{"text": format!("Title: Port {n}")}]}]}, "metadata": {"key": format!("row-{n}")}});
    let body = json!({"batch": {"display_name": "s1", "input_config": {"requests": {"requests": [one(0), one(1), one(2)]}}}});
    let path = "/v1beta/models/gemini-2.5-flash:batchGenerateContent";
    let made = peer.send("POST", path, &auth, Some(body.to_string().into_bytes())).expect("a reply").json();
    assert_eq!((&made["metadata"]["state"], &made["metadata"]["displayName"]), (&json!("BATCH_STATE_PENDING"), &json!("s1")));
    peer.emulator.restart();
    let look =
        || peer.send("GET", &format!("/v1beta/{}", made["name"].as_str().expect("a name")), &auth, None).expect("a reply").json();
    let ended = (0..5).map(|_| look()).find(|b| b["done"] == true).expect("an end");
    let keys: HashSet<String> = ended["response"]["inlinedResponses"]["inlinedResponses"]
        .as_array()
        .expect("answers")
        .iter()
        .map(|r| r["metadata"]["key"].as_str().unwrap_or_default().to_owned())
        .collect();
    assert_eq!(keys, (0..3).map(|n| format!("row-{n}")).collect());
    assert_eq!(peer.emulator.billed().len(), 3);
    assert_eq!(peer.emulator.batches()[0].state, Phase::Completed);
}

#[test]
fn the_controls_work_over_http_too() {
    let peer = Peer::new(|_| ());
    let post = |path: &str, body: &Value| peer.send("POST", path, &[], Some(body.to_string().into_bytes())).expect("a reply");
    assert_eq!(post("/_emulator/fault", &json!({"fault": "commit_then_drop", "on": "create"})).status, 200);
    assert_eq!(
        post("/_emulator/fault", &json!({"status": {"code": 418, "times": 1, "body": {"text": "teapot"}, "retry_after": null}}))
            .status,
        200
    );
    assert_eq!(post("/_emulator/fault", &json!("no such fault")).status, 400);
    assert_eq!(peer.get("/v1/models").text, "teapot");
    assert!(peer.call("POST", "/v1/messages/batches", Some(&json!({"requests": [request(0)]}))).is_err());
    let listed = |what: &str| peer.get(&format!("/_emulator/{what}")).json()["data"].as_array().map(Vec::len);
    assert_eq!((listed("batches"), listed("billed"), listed("seen")), (Some(1), Some(1), Some(2)));
}
