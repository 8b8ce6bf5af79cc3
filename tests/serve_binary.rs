//! `stratos serve` as a process: it says where it listens, scores by the workspace's own desk, and on SIGTERM finishes what it
//! has taken. A stub of a llama.cpp server writes for the toy student.

mod common;
mod servers;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, ChildStdout, Stdio};
use std::thread;

use common::{READERS, Workspace, text};
use serde_json::{Value, json};
use servers::{Script, Server, student_with};
use stratos::domain::{Digest, Profile, ProfileRow, UnixMillis};
use stratos::student::Student;
use stratos::workspace::{Origin, ReleaseRow};

const TOKEN: &str = "a-token-for-tests-0123456789";

/// A workspace whose released toy is served by the stub.
fn workspace(server: &Server) -> Workspace {
    let workspace = Workspace::small();
    let readers = fs::read_to_string(workspace.path().join("data/profiles_v19.json")).expect("reads");
    let rows: Vec<ProfileRow> = serde_json::from_str(&readers).expect("profiles");
    let profiles: Vec<Profile> = rows.into_iter().map(|row| row.into_profile().expect("sound")).collect();
    let folder = workspace.path().join(".stratos/releases/toy-1");
    fs::create_dir_all(&folder).expect("creates");
    let model = Student::load(&student_with(&folder, 16_384)).expect("a student").digest().clone();
    let row = ReleaseRow {
        name: "toy-1".into(),
        path: ".stratos/releases/toy-1".into(),
        model,
        evaluation: Digest::of("none"),
        runtime: "stratos f32 cpu".into(),
        verdict: String::new(),
        live: false,
        at: UnixMillis(1),
    };
    let mut ledger = stratos::workspace::Workspace::open(workspace.path()).expect("opens").ledger().expect("opens");
    ledger.put_profiles(&profiles, Origin::Shipped).expect("stores");
    ledger.put_release(&row).expect("stores");
    assert!(ledger.go_live("toy-1", UnixMillis(1)).expect("serves"));
    let path = workspace.path().join("stratos.toml");
    let settings = fs::read_to_string(&path).expect("reads");
    let key = format!("server = \"{}\"\nparallel = 2\n", server.url);
    let settings = if settings.contains("[scoring]\n") {
        settings.replace("[scoring]\n", &format!("[scoring]\n{key}"))
    } else {
        format!("{settings}\n[scoring]\n{key}")
    };
    fs::write(&path, settings).expect("writes");
    workspace
}

/// The service, ended with the test.
struct Service {
    child: Child,
    out: BufReader<ChildStdout>,
    address: String,
}

impl Service {
    fn start(workspace: &Workspace) -> Self {
        let mut command = workspace.command(&["serve", "--address", "127.0.0.1:0", "--json"]);
        let spawned = command.env("STRATOS_TOKEN", TOKEN).stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn();
        let mut child = spawned.expect("spawned");
        let mut out = BufReader::new(child.stdout.take().expect("piped"));
        let mut line = String::new();
        out.read_line(&mut line).expect("a line");
        let said: Value = serde_json::from_str(&line).unwrap_or_else(|e| panic!("{e}: {line}"));
        assert_eq!(said["model"], "toy-1");
        let address = said["serving"].as_str().and_then(|url| url.strip_prefix("http://")).expect("an address").to_owned();
        Self { child, out, address }
    }

    fn signal(&self) {
        let pid = rustix::process::Pid::from_raw(i32::try_from(self.child.id()).expect("a pid")).expect("a pid");
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("signalled");
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn send(address: &str, path: &str, body: Option<&Value>) -> Option<(u16, String)> {
    let text = body.map(Value::to_string).unwrap_or_default();
    let method = if body.is_some() { "POST" } else { "GET" };
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: Bearer {TOKEN}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{text}",
        text.len()
    );
    let mut stream = TcpStream::connect(address).ok()?;
    stream.write_all(head.as_bytes()).ok()?;
    let mut reply = String::new();
    stream.read_to_string(&mut reply).ok()?;
    let (head, body) = reply.split_once("\r\n\r\n")?;
    Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
}

fn ask(address: &str, readers: &[&str], rows: &[u32]) -> (u16, Value) {
    let articles: Vec<Value> =
        rows.iter().map(|n| json!({"title": format!("About article {n} of today"), "id": format!("a{n}")})).collect();
    let (status, text) = send(address, "/v1/score", Some(&json!({"profiles": readers, "articles": articles}))).expect("a reply");
    (status, serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}")))
}

#[test]
fn scores_come_from_the_workspace_s_own_desk() {
    let server = Server::start(Script { context: 16_384, ..Script::default() });
    let workspace = workspace(&server);
    let service = Service::start(&workspace);
    let (status, said) = ask(&service.address, &READERS[..2], &[3, 8]);
    assert_eq!(status, 200, "{said}");
    let scores: Vec<(&str, &str, f64)> = said["scores"]
        .as_array()
        .expect("scores")
        .iter()
        .map(|s| (s["profile"].as_str().expect("p"), s["article"].as_str().expect("a"), s["score"].as_f64().expect("a score")))
        .collect();
    let wanted = [(READERS[0], "a3", 3.5), (READERS[0], "a8", 8.5), (READERS[1], "a3", 3.5), (READERS[1], "a8", 8.5)];
    assert_eq!(scores, wanted);
    assert_eq!(said["release"], "toy-1");
    // Asked again it is remembered.
    let (_, again) = ask(&service.address, &READERS[..1], &[3]);
    assert_eq!((&again["scores"][0]["cached"], &again["scores"][0]["score"]), (&json!(true), &json!(3.5)));
    let (status, error) = ask(&service.address, &["nobody"], &[3]);
    assert_eq!(status, 404);
    assert!(error["error"]["what"].as_str().is_some_and(|what| what.contains("nobody")), "{error}");
}

#[test]
fn a_terminated_service_finishes_what_it_has_taken() {
    // Answers wait for one another: the second is the test's.
    let server = Server::start(Script { context: 16_384, together: 2, ..Script::default() });
    let workspace = workspace(&server);
    let mut service = Service::start(&workspace);
    let address = service.address.clone();
    let client = thread::spawn(move || ask(&address, &READERS[..1], &[4]));
    while server.posted("/completion").is_empty() {
        thread::yield_now();
    }
    service.signal();
    let draining = || {
        let health = send(&service.address, "/healthz", None);
        health.is_some_and(|(status, text)| status == 503 && text.contains("\"draining\":true"))
    };
    while !draining() {
        thread::yield_now();
    }
    assert_eq!(ask(&service.address, &READERS[..1], &[5]).0, 503);
    let host = server.url.strip_prefix("http://").expect("http").to_owned();
    assert_eq!(send(&host, "/completion", Some(&json!({"prompt": "article 1"}))).expect("a reply").0, 200);
    let (status, said) = client.join().expect("no panic");
    assert_eq!((status, &said["scores"][0]["score"]), (200, &json!(4.5)));
    assert!(service.child.wait().expect("ended").success());
    let mut rest = String::new();
    service.out.read_to_string(&mut rest).expect("read");
    assert!(rest.contains("\"finished\":true"), "{rest}");
}

#[test]
fn it_does_not_start_open_to_everybody() {
    let workspace = Workspace::small();
    for (arguments, token, words) in [
        (vec!["serve"], None, "STRATOS_TOKEN is not set"),
        (vec!["serve"], Some("short"), "too weak"),
        (vec!["serve", "--no-token", "--address", "0.0.0.0:0"], Some(TOKEN), "allowed only on this machine"),
        (vec!["serve", "--no-token", "--address", "127.0.0.1:0"], None, "stratos run"),
        (vec!["serve", "--timeout", "nan"], Some(TOKEN), "must lie between"),
    ] {
        let mut command = workspace.command(&arguments);
        command.env_remove("STRATOS_TOKEN");
        if let Some(token) = token {
            command.env("STRATOS_TOKEN", token);
        }
        let output = command.output().expect("ran");
        assert!(!output.status.success(), "{arguments:?}");
        assert!(text(&output).contains(words), "{arguments:?}: {}", text(&output));
    }
}
