//! A hand-written HTTP responder on a thread: each connection gets the next act of a script.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

/// What the responder does with one connection.
pub enum Act {
    /// Reads the request, writes these bytes, closes.
    Reply(Vec<u8>),
    /// Reads the request, closes without a word.
    Drop,
    /// Reads a little and closes, so that the rest is answered by a reset.
    Reset,
}

pub struct Responder {
    pub url: String,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Responder {
    /// Plays the script; `{url}` in a reply is the responder's own address.
    pub fn start(script: Vec<Act>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (own, heard) = (url.clone(), Arc::clone(&seen));
        thread::spawn(move || {
            for act in script {
                let Ok((stream, _)) = listener.accept() else { return };
                play(stream, act, &own, &heard);
            }
        });
        Self { url, seen }
    }

    /// The requests so far, heads and bodies.
    pub fn seen(&self) -> Vec<String> {
        self.seen.lock().expect("no panic").clone()
    }
}

fn play(mut stream: TcpStream, act: Act, own: &str, seen: &Mutex<Vec<String>>) {
    if matches!(act, Act::Reset) {
        let _ = stream.read(&mut [0; 16]);
        seen.lock().expect("no panic").push("reset".into());
        return;
    }
    let request = read_request(&mut stream);
    seen.lock().expect("no panic").push(request);
    if let Act::Reply(bytes) = act {
        let text = String::from_utf8_lossy(&bytes).replace("{url}", own);
        let _ = stream.write_all(text.as_bytes());
    }
}

fn read_request(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let chunked = head.to_ascii_lowercase().contains("transfer-encoding: chunked");
            let length = header(head, "content-length").and_then(|v| v.parse().ok()).unwrap_or(0_usize);
            if (chunked && body.ends_with("0\r\n\r\n")) || (!chunked && body.len() >= length) {
                return text;
            }
        }
        match stream.read(&mut chunk) {
            Ok(0) | Err(_) => return text,
            Ok(n) => bytes.extend_from_slice(&chunk[..n]),
        }
    }
}

/// A header's value, by its name in lower case.
pub fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        key.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

/// A whole reply.
pub fn reply(status: u16, headers: &[&str], body: &str) -> Act {
    let length = format!("content-length: {}", body.len());
    let more = [headers, &["connection: close", &length]].concat().join("\r\n");
    Act::Reply(format!("HTTP/1.1 {status} X\r\n{more}\r\n\r\n{body}").into_bytes())
}

pub fn ok(body: &str) -> Act {
    // The address that replaces {url} is longer, so the length is left to the connection's end.
    if body.contains("{url}") {
        return Act::Reply(format!("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{body}").into_bytes());
    }
    reply(200, &["content-type: application/json"], body)
}

/// A host that nobody may contact.
pub struct Forbidden(TcpListener);

impl Forbidden {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        listener.set_nonblocking(true).expect("non-blocking");
        Self(listener)
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.0.local_addr().expect("bound"))
    }

    pub fn was_contacted(&self) -> bool {
        self.0.accept().is_ok()
    }
}
