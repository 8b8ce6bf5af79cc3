//! `stratos serve` under load, abuse and at its end: no answer is lost or mixed, and whoever asks wrongly is told what to do.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use stratos::domain::{Article, ProfileId};
use stratos::serve::{About, Access, Answer, Limits, Opens, Scores, ServeError, Server, Trouble};

const TOKEN: &str = "a-token-for-tests-0123456789";
/// Nothing in a test takes so long, except what hangs.
const HANGS: Duration = Duration::from_secs(60);

/// A gate that the fake scorer waits at.
#[derive(Default)]
struct Gate {
    open: Mutex<bool>,
    changed: Condvar,
    /// Calls of the scorer, and pairs in them.
    calls: Mutex<Vec<usize>>,
    opened: AtomicUsize,
}

impl Gate {
    fn opened() -> Arc<Self> {
        let gate = Arc::new(Self::default());
        gate.open();
        gate
    }

    fn open(&self) {
        *self.open.lock().expect("no panic") = true;
        self.changed.notify_all();
    }

    fn wait(&self) {
        let open = self.open.lock().expect("no panic");
        drop(self.changed.wait_timeout_while(open, HANGS, |open| !*open).expect("no panic"));
    }

    /// Until the scorer was called so many times.
    fn called(&self, times: usize) {
        let calls = self.calls.lock().expect("no panic");
        drop(self.changed.wait_timeout_while(calls, HANGS, |calls| calls.len() < times).expect("no panic"));
    }
}

/// Names its pair in every answer, answers in reverse order, and breaks on demand.
struct Fake(Arc<Gate>);

impl Scores for Fake {
    fn about(&mut self) -> About {
        About { model: "toy \"1\"".into(), release: Some("toy-001".into()), runtime: "fake".into() }
    }

    fn unknown(&mut self, readers: &[ProfileId]) -> Result<Vec<ProfileId>, Trouble> {
        Ok(readers.iter().filter(|r| r.as_str().starts_with("unknown")).cloned().collect())
    }

    fn score(&mut self, asked: &[(ProfileId, Article)], on: &mut dyn FnMut(Answer) -> ControlFlow<()>) -> Result<(), Trouble> {
        self.0.calls.lock().expect("no panic").push(asked.len());
        self.0.changed.notify_all();
        self.0.wait();
        for (at, (reader, article)) in asked.iter().enumerate().rev() {
            match article.title.as_str() {
                "break" => return Err(Trouble { what: "it broke".into(), next: "Mend it.".into() }),
                "panic" => panic!("on purpose"),
                "lose" => continue,
                _ => {}
            }
            let answer = Answer {
                at,
                score: (article.title != "unread").then_some(7.5),
                expected: Some(7.25),
                reason: Some(format!("{reader} reads {}", article.title)),
                think: "because".into(),
                defect: (article.title == "unread").then(|| "there is no SCORE".into()),
                seconds: 0.5,
                cached: false,
                pass: "only",
                prompt_tokens: 10,
                tokens: 4,
                runtime: "fake".into(),
            };
            if on(answer).is_break() {
                break;
            }
        }
        Ok(())
    }
}

fn limits() -> Limits {
    Limits {
        queue: 64,
        batch: 32,
        max_articles: 20,
        max_body: 64 << 10,
        connections: 200,
        head: HANGS,
        body: HANGS,
        answer: HANGS,
    }
}

fn opens(gate: &Arc<Gate>) -> Opens {
    let gate = Arc::clone(gate);
    Box::new(move || {
        gate.opened.fetch_add(1, Ordering::SeqCst);
        Ok(Box::new(Fake(Arc::clone(&gate))))
    })
}

fn here() -> SocketAddr {
    "127.0.0.1:0".parse().expect("an address")
}

fn start(gate: &Arc<Gate>, limits: Limits) -> Server {
    let access = Access::new(Some(TOKEN), false, here()).expect("a token");
    Server::start(here(), access, limits, opens(gate)).expect("it listens")
}

/// What came back.
#[derive(Debug)]
struct Reply {
    status: u16,
    head: String,
    text: String,
}

impl Reply {
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }

    /// What happened and what to do.
    fn error(&self) -> String {
        let error = &self.json()["error"];
        format!("{} {}", error["what"].as_str().expect("what"), error["next"].as_str().expect("next"))
    }
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("connected");
    stream.set_read_timeout(Some(HANGS)).expect("set");
    stream
}

fn read(mut stream: TcpStream) -> Option<Reply> {
    let mut bytes = Vec::new();
    // A reset after the reply is no less of a reply.
    let _ = stream.read_to_end(&mut bytes);
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some(Reply { status, head: head.to_lowercase(), text: body.to_owned() })
}

fn send(address: SocketAddr, bytes: &[u8]) -> Reply {
    let mut stream = connect(address);
    // Who is refused early may not take all of it.
    let _ = stream.write_all(bytes);
    read(stream).expect("a reply")
}

fn request(method: &str, path: &str, headers: &str, body: &str) -> String {
    format!("{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {}\r\n{headers}\r\n{body}", body.len())
}

fn with_token(method: &str, path: &str, body: &str) -> String {
    request(method, path, &format!("authorization: Bearer {TOKEN}\r\ncontent-type: application/json\r\n"), body)
}

fn ask(address: SocketAddr, body: &Value) -> Reply {
    send(address, with_token("POST", "/v1/score", &body.to_string()).as_bytes())
}

fn body(reader: &str, titles: &[&str]) -> Value {
    let articles: Vec<Value> = titles.iter().map(|title| json!({"title": title, "id": title.replace(' ', "-")})).collect();
    json!({"profile": reader, "articles": articles})
}

fn metric(address: SocketAddr, name: &str) -> f64 {
    let text = send(address, with_token("GET", "/metrics", "").as_bytes()).text;
    let line = text.lines().find(|l| l.starts_with(name) && !l.starts_with('#')).unwrap_or_else(|| panic!("{name}: {text}"));
    line.rsplit(' ').next().and_then(|v| v.parse().ok()).expect("a number")
}

#[test]
fn every_article_is_scored_for_every_reader_in_the_order_asked() {
    let gate = Gate::opened();
    let server = start(&gate, limits());
    let asked = json!({"profiles": ["one", "two", "one"], "think": true, "articles": [
        {"title": "A", "id": "a", "summary": "s", "source": "x", "source_type": "news", "url": "https://x"}, {"title": "unread"}]});
    let reply = ask(server.address(), &asked);
    assert_eq!(reply.status, 200, "{reply:?}");
    let said = reply.json();
    let scores = said["scores"].as_array().expect("scores");
    let named: Vec<String> = scores.iter().map(|s| s["reason"].as_str().expect("a reason").to_owned()).collect();
    assert_eq!(named, ["one reads A", "one reads unread", "two reads A", "two reads unread"]);
    assert_eq!((&scores[0]["article"], &scores[0]["score"], &scores[0]["think"]), (&json!("a"), &json!(7.5), &json!("because")));
    assert_eq!((&scores[1]["score"], &scores[1]["defect"]), (&json!(null), &json!("there is no SCORE")));
    assert_eq!((&said["model"], &said["release"], &said["runtime"]), (&json!("toy \"1\""), &json!("toy-001"), &json!("fake")));
    assert!(ask(server.address(), &body("one", &["A"])).json()["scores"][0].get("think").is_none());
    server.drain();
}

/// As many clients as there are places, all waiting at once: the next one is refused, and then everybody gets their own.
#[test]
fn sixty_four_clients_in_a_full_queue_get_their_own_answers() {
    let gate = Arc::new(Gate::default());
    let server = start(&gate, limits());
    let address = server.address();
    let client = |n: usize| {
        let titles: Vec<String> = (0..=n % 5).map(|i| format!("article {n} {i}")).collect();
        let reader = format!("reader-{}", n % 7);
        thread::spawn(move || {
            let titles: Vec<&str> = titles.iter().map(String::as_str).collect();
            let reply = ask(address, &body(&reader, &titles));
            let reasons =
                reply.json()["scores"].as_array().map(|all| all.iter().map(|s| s["reason"].clone()).collect::<Vec<_>>());
            let wanted: Vec<Value> = titles.iter().map(|title| json!(format!("{reader} reads {title}"))).collect();
            (reply.status, reasons == Some(wanted))
        })
    };
    let clients: Vec<_> = (0..64).map(client).collect();
    while metric(address, "stratos_queue_depth") < 64.0 {
        thread::yield_now();
    }
    let refused = ask(address, &body("late", &["x"]));
    assert_eq!(refused.status, 429, "{refused:?}");
    assert!(refused.head.contains("retry-after: 1") && refused.error().contains("64 requests wait"), "{refused:?}");
    gate.open();
    for client in clients {
        assert_eq!(client.join().expect("no panic"), (200, true));
    }
    let calls = gate.calls.lock().expect("no panic").clone();
    assert!(calls.len() < 32, "they were batched: {calls:?}");
    assert_eq!(calls.iter().sum::<usize>(), (0..64).map(|n| n % 5 + 1).sum::<usize>());
    assert_eq!(ask(address, &body("late", &["x"])).status, 200);
    assert!(metric(address, "stratos_queue_depth") < 1.0);
    server.drain();
}

#[test]
fn one_request_s_trouble_is_not_the_others() {
    let gate = Arc::new(Gate::default());
    let server = start(&gate, limits());
    let address = server.address();
    let client =
        |titles: &'static [&'static str], reader: &'static str| thread::spawn(move || ask(address, &body(reader, titles)));
    let first = client(&["first"], "r");
    gate.called(1);
    let clients = [
        (client(&["good"], "r"), 200, ""),
        (client(&["before", "break"], "r"), 500, "it broke Mend it."),
        (client(&["good too"], "r"), 200, ""),
        (client(&["x"], "unknown-1"), 404, "no profile unknown-1"),
        (client(&["lose", "y"], "r"), 500, "unanswered"),
    ];
    while metric(address, "stratos_queue_depth") < 6.0 {
        thread::yield_now();
    }
    gate.open();
    assert_eq!(first.join().expect("no panic").status, 200);
    for (client, status, words) in clients {
        let reply = client.join().expect("no panic");
        assert_eq!(reply.status, status, "{reply:?}");
        assert!(status == 200 || reply.error().contains(words), "{reply:?}");
    }
    server.drain();
}

#[test]
fn a_scorer_that_breaks_down_is_opened_anew() {
    let gate = Gate::opened();
    let server = start(&gate, limits());
    let reply = ask(server.address(), &body("r", &["panic"]));
    assert_eq!(reply.status, 500);
    assert!(reply.error().contains("broke down"), "{reply:?}");
    assert_eq!(ask(server.address(), &body("r", &["good"])).status, 200);
    assert_eq!(gate.opened.load(Ordering::SeqCst), 2);
    server.drain();
}

/// After a break-down the model may be gone; it is tried again for whoever asks next.
#[test]
fn a_scorer_that_could_not_be_opened_anew_is_tried_again() {
    let gate = Gate::opened();
    let shut = Arc::new(AtomicUsize::new(0));
    let (inner, closed) = (Arc::clone(&gate), Arc::clone(&shut));
    let opens: Opens = Box::new(move || match closed.load(Ordering::SeqCst) {
        0 => Ok(Box::new(Fake(Arc::clone(&inner)))),
        _ => Err(Trouble { what: "the release is gone".into(), next: "Bring it back.".into() }),
    });
    let access = Access::new(Some(TOKEN), false, here()).expect("a token");
    let server = Server::start(here(), access, limits(), opens).expect("it listens");
    let address = server.address();
    shut.store(1, Ordering::SeqCst);
    assert_eq!(ask(address, &body("r", &["panic"])).status, 500);
    let reply = ask(address, &body("r", &["x"]));
    assert!(reply.status == 500 && reply.error().contains("the release is gone Bring it back."), "{reply:?}");
    assert_eq!(send(address, request("GET", "/healthz", "", "").as_bytes()).status, 503);
    shut.store(0, Ordering::SeqCst);
    assert_eq!(ask(address, &body("r", &["x"])).status, 200);
    server.drain();
}

#[test]
fn a_scorer_that_cannot_be_opened_is_said_at_once() {
    let never: Opens = Box::new(|| Err(Trouble { what: "no student".into(), next: "Train one.".into() }));
    let access = Access::new(None, true, here()).expect("this machine");
    let error = Server::start(here(), access, limits(), never).expect_err("no scorer");
    assert!(matches!(&error, ServeError::Scorer(_)) && error.to_string() == "no student. Train one.", "{error}");
}

#[test]
fn whoever_asks_wrongly_is_told_what_to_do() {
    let gate = Gate::opened();
    let server = start(&gate, limits());
    let address = server.address();
    let json = |body: &str| with_token("POST", "/v1/score", body);
    let many: Vec<Value> = (0..21).map(|n| json!({"title": n.to_string()})).collect();
    let table = [
        (json("{"), 400, "cannot be read"),
        (json("[]"), 400, "cannot be read"),
        (json("{\"profile\": \"r\", \"articles\": [], \"x\": 1}"), 400, "unknown field"),
        (json("{\"profile\": \"r\"}"), 400, "articles"),
        (json("{\"profile\": \"r\", \"articles\": []}"), 400, "articles is empty"),
        (json("{\"articles\": [{\"title\": \"x\"}]}"), 400, "names a reader"),
        (json("{\"profile\": \"\", \"articles\": [{\"title\": \"x\"}]}"), 400, ""),
        (json("{\"profile\": \"r\", \"articles\": [{\"title\": \"x\"}, {\"summary\": \"y\"}]}"), 400, "articles[1]"),
        (json("{\"profile\": \"r\", \"articles\": [{\"title\": \"x\", \"source_type\": \"radio\"}]}"), 400, "articles[0]"),
        (json("{\"profile\": \"r\", \"articles\": [7]}"), 400, "articles[0]"),
        (json("\u{0}\u{1b}[2J"), 400, "cannot be read"),
        (json(&"[".repeat(10_000)), 400, "cannot be read"),
        (json(&json!({"profile": "r", "articles": many}).to_string()), 413, "at most 20"),
        (json(&json!({"profile": "r", "articles": [{"title": "x".repeat(66_000)}]}).to_string()), 413, "larger than 64 KiB"),
        (json(&json!({"profile": "unknown-2", "articles": [{"title": "x"}]}).to_string()), 404, "unknown-2"),
        (with_token("GET", "/v1/score", ""), 405, "POST"),
        (with_token("POST", "/healthz", ""), 405, "GET"),
        (with_token("DELETE", "/metrics", ""), 405, "GET"),
        (with_token("GET", "/", ""), 404, "/v1/score"),
        (with_token("GET", "/v1/score/../../etc/passwd", ""), 404, "nothing at this path"),
        (request("POST", "/v1/score", &format!("authorization: Bearer {TOKEN}\r\n"), "{}"), 415, "application/json"),
        (request("POST", "/v1/score", "content-type: application/json\r\n", "{}"), 401, "bearer token"),
        (
            request("POST", "/v1/score", "authorization: Bearer wrong\r\ncontent-type: application/json\r\n", "{}"),
            401,
            "bearer token",
        ),
        (request("GET", "/metrics", "", ""), 401, "bearer token"),
    ];
    for (bytes, status, words) in table {
        let reply = send(address, bytes.as_bytes());
        let shown: String = bytes.chars().take(200).collect();
        assert_eq!(reply.status, status, "{shown}: {reply:?}");
        let error = reply.error();
        assert!(error.contains(words) && !error.contains('\u{1b}'), "{shown}: {error}");
    }
    assert!(gate.calls.lock().expect("no panic").is_empty());
    server.drain();
}

#[test]
fn bytes_that_are_no_http_do_no_harm() {
    let gate = Gate::opened();
    let server = start(&gate, limits());
    let address = server.address();
    let long = format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(100_000));
    let heads = format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(10_000));
    let chunks = format!(
        "POST /v1/score HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {TOKEN}\r\ncontent-type: application/json\r\n\
         transfer-encoding: chunked\r\n\r\nzz\r\n"
    );
    for bytes in [
        b"\x00\xff\xfe\x16\x03\x01".as_slice(),
        b"\r\n\r\n\r\n",
        b"HELP\r\n\r\n",
        long.as_bytes(),
        heads.as_bytes(),
        chunks.as_bytes(),
    ] {
        let mut stream = connect(address);
        let _ = stream.write_all(bytes);
        let _ = stream.shutdown(Shutdown::Write);
        if let Some(reply) = read(stream) {
            assert!((400..500).contains(&reply.status), "{reply:?}");
        }
    }
    // Half of a body, and gone; half closed, which is gone too.
    let whole = with_token("POST", "/v1/score", &body("r", &["half closed"]).to_string());
    drop(connect(address).write_all(&whole.as_bytes()[..whole.len() - 9]));
    let mut stream = connect(address);
    stream.write_all(whole.as_bytes()).expect("sent");
    stream.shutdown(Shutdown::Write).expect("shut");
    drop(read(stream));
    assert_eq!(ask(address, &body("r", &["after all"])).status, 200);
    server.drain();
}

#[test]
fn a_body_that_never_ends_is_cut_where_it_is_too_large() {
    let gate = Gate::opened();
    let server = start(&gate, limits());
    let address = server.address();
    let head = format!(
        "POST /v1/score HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {TOKEN}\r\ncontent-type: application/json\r\n\
         transfer-encoding: chunked\r\n\r\n"
    );
    let mut stream = connect(address);
    stream.write_all(head.as_bytes()).expect("sent");
    let chunk = format!("2000\r\n{}\r\n", " ".repeat(0x2000));
    while stream.write_all(chunk.as_bytes()).is_ok() {
        stream.set_nonblocking(true).expect("set");
        let there = stream.peek(&mut [0]).is_ok();
        stream.set_nonblocking(false).expect("set");
        if there {
            break;
        }
    }
    let reply = read(stream).expect("a reply");
    assert_eq!(reply.status, 413, "{reply:?}");
    // What is said to be too large is not even begun with.
    let said = format!(
        "POST /v1/score HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {TOKEN}\r\ncontent-type: application/json\r\n\
         content-length: 99999999999\r\n\r\n"
    );
    let reply = send(address, said.as_bytes());
    assert!(reply.status == 413 && reply.head.contains("connection: close"), "{reply:?}");
    server.drain();
}

#[test]
fn whoever_is_slow_on_purpose_is_shown_the_door() {
    let gate = Gate::opened();
    let short = Duration::from_millis(50);
    let server = start(&gate, Limits { head: short, body: short, ..limits() });
    let address = server.address();
    let whole = with_token("POST", "/v1/score", &body("r", &["x"]).to_string());
    for part in [10, whole.len() - 5] {
        let mut stream = connect(address);
        stream.write_all(&whole.as_bytes()[..part]).expect("sent");
        let reply = read(stream).expect("a reply");
        assert_eq!(reply.status, 408, "{part}: {reply:?}");
        assert!(reply.error().contains("did not come whole"), "{reply:?}");
    }
    // Who says nothing at all is left without a word.
    assert!(read(connect(address)).is_none());
    assert_eq!(send(address, whole.as_bytes()).status, 200);
    server.drain();
}

#[test]
fn scores_that_come_too_late_are_not_waited_for() {
    let gate = Arc::new(Gate::default());
    let server = start(&gate, Limits { answer: Duration::from_millis(40), ..limits() });
    let reply = ask(server.address(), &body("r", &["x"]));
    assert_eq!(reply.status, 504);
    assert!(reply.error().contains("--timeout"), "{reply:?}");
    gate.open();
    server.drain();
}

#[test]
fn nothing_is_computed_for_whoever_has_gone() {
    let gate = Arc::new(Gate::default());
    let server = start(&gate, limits());
    let address = server.address();
    let first = thread::spawn(move || ask(address, &body("r", &["first"])));
    gate.called(1);
    let mut gone = connect(address);
    gone.write_all(with_token("POST", "/v1/score", &body("r", &["gone"]).to_string()).as_bytes()).expect("sent");
    while metric(address, "stratos_queue_depth") < 2.0 {
        thread::yield_now();
    }
    gone.shutdown(Shutdown::Both).expect("shut");
    drop(gone);
    // The connection's end is seen before the gate opens.
    while metric(address, "stratos_connections") > 2.0 {
        thread::yield_now();
    }
    gate.open();
    assert_eq!(first.join().expect("no panic").status, 200);
    while metric(address, "stratos_queue_depth") > 0.0 {
        thread::yield_now();
    }
    assert_eq!(*gate.calls.lock().expect("no panic"), [1]);
    server.drain();
}

#[test]
fn what_was_taken_is_finished_and_what_is_new_refused_while_it_drains() {
    let gate = Arc::new(Gate::default());
    let server = start(&gate, limits());
    let address = server.address();
    let clients: Vec<_> = (0..8).map(|n| thread::spawn(move || ask(address, &body("r", &[&format!("taken {n}")])))).collect();
    while metric(address, "stratos_queue_depth") < 8.0 {
        thread::yield_now();
    }
    server.begin_to_drain();
    let refused = ask(address, &body("r", &["new"]));
    assert_eq!(refused.status, 503);
    assert!(refused.head.contains("retry-after") && refused.error().contains("ending"), "{refused:?}");
    let health = send(address, request("GET", "/healthz", "", "").as_bytes());
    assert_eq!((health.status, health.json()), (503, json!({"live": true, "ready": true, "draining": true})));
    gate.open();
    server.drain();
    for (n, client) in clients.into_iter().enumerate() {
        let reply = client.join().expect("no panic");
        assert_eq!((reply.status, &reply.json()["scores"][0]["reason"]), (200, &json!(format!("r reads taken {n}"))));
    }
    assert!(TcpStream::connect(address).is_err());
}

#[test]
fn health_and_figures_say_how_it_stands() {
    let gate = Gate::opened();
    let server = start(&gate, limits());
    let address = server.address();
    let health = send(address, request("GET", "/healthz", "", "").as_bytes());
    assert_eq!((health.status, health.json()), (200, json!({"live": true, "ready": true, "draining": false})));
    ask(address, &body("r", &["a", "unread"]));
    ask(address, &json!({}));
    let text = send(address, with_token("GET", "/metrics", "").as_bytes()).text;
    for line in [
        "stratos_requests_total{code=\"200\"} 1",
        "stratos_requests_total{code=\"400\"} 1",
        "stratos_scores_total{pass=\"only\",cached=\"false\"} 2",
        "stratos_parse_failures_total 1",
        "stratos_prompt_tokens_total 20",
        "stratos_answer_tokens_total 8",
        "stratos_model_info{model=\"toy \\\"1\\\"\",release=\"toy-001\",runtime=\"fake\"} 1",
        "stratos_request_seconds_bucket{le=\"+Inf\"} 2",
        "stratos_request_seconds_count 2",
    ] {
        assert!(text.lines().any(|l| l == line), "{line}: {text}");
    }
    // Every sample belongs to a family that was declared, and is a number.
    let mut family = String::new();
    for line in text.lines() {
        if let Some(declared) = line.strip_prefix("# TYPE ") {
            family = declared.split(' ').next().expect("a name").to_owned();
        } else if !line.starts_with('#') {
            let (name, value) = line.rsplit_once(' ').expect("a sample");
            assert!(name.starts_with(&family) && value.parse::<f64>().is_ok(), "{line}");
        }
    }
    server.drain();
}

#[test]
fn connections_are_kept_for_the_next_request() {
    let gate = Gate::opened();
    let server = start(&gate, limits());
    let mut stream = connect(server.address());
    let text = body("r", &["x"]).to_string();
    let keep = with_token("POST", "/v1/score", &text).replace("connection: close\r\n", "");
    stream.write_all(format!("{keep}{keep}{}", with_token("POST", "/v1/score", &text)).as_bytes()).expect("sent");
    let mut bytes = String::new();
    stream.read_to_string(&mut bytes).expect("replies");
    assert_eq!(bytes.matches("HTTP/1.1 200").count(), 3, "{bytes}");
    server.drain();
}

#[test]
fn a_port_that_is_taken_is_said() {
    let taken = std::net::TcpListener::bind(here()).expect("bound");
    let address = taken.local_addr().expect("an address");
    let access = Access::new(None, true, address).expect("this machine");
    let error = Server::start(address, access, limits(), opens(&Gate::opened())).expect_err("taken").to_string();
    assert!(error.contains(&address.to_string()) && error.contains("--address"), "{error}");
}
