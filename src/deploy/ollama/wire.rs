//! The wire to an Ollama: bounded replies, a limit on silence, streams line by line. Owns no meaning of what is said.

use std::time::Duration;

use reqwest::{Client, Method, RequestBuilder, Response, StatusCode, Url};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::error::OllamaError;
use super::replies::Line;
use super::upload::go_on;
use super::{Listener, Told};
use crate::domain::one_line;
use crate::net::{chain, install_crypto};

const CONNECT: Duration = Duration::from_secs(10);
/// A reply is never larger; `show` brings the whole vocabulary where it is asked for it.
const LARGEST_REPLY: usize = 32 << 20;
/// A line of a stream is never longer.
const LONGEST_LINE: usize = 1 << 20;

#[derive(Debug)]
pub(super) struct Wire {
    base: Url,
    client: Client,
    patience: Duration,
}

impl Wire {
    pub fn new(server: &str, patience: Duration) -> Result<Self, OllamaError> {
        install_crypto();
        let failed = |why: String| OllamaError::Connection { server: one_line(server, 120), why };
        let base = Url::parse(server.trim_end_matches('/')).map_err(|e| failed(e.to_string()))?;
        let built = Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT.min(patience))
            .user_agent(concat!("stratos/", env!("CARGO_PKG_VERSION")));
        // A proxy would read what goes in the clear.
        let built = if base.scheme() == "http" { built.no_proxy() } else { built };
        Ok(Self { base, client: built.build().map_err(|e| failed(chain(e)))?, patience })
    }

    /// The server, for people.
    pub fn server(&self) -> String {
        one_line(self.base.as_str().trim_end_matches('/'), 120)
    }

    pub fn request(&self, method: Method, path: &str) -> Result<RequestBuilder, OllamaError> {
        let text = format!("{}{path}", self.base.as_str().trim_end_matches('/'));
        let url = Url::parse(&text).map_err(|e| OllamaError::Connection { server: self.server(), why: e.to_string() })?;
        Ok(self.client.request(method, url))
    }

    fn with(&self, method: Method, path: &str, body: &Value) -> Result<RequestBuilder, OllamaError> {
        Ok(self.request(method, path)?.header("content-type", "application/json").body(body.to_string()))
    }

    pub async fn get<T: DeserializeOwned>(&self, path: &'static str) -> Result<T, OllamaError> {
        self.read(self.request(Method::GET, path)?, path).await
    }

    pub async fn post<T: DeserializeOwned>(&self, path: &'static str, body: &Value) -> Result<T, OllamaError> {
        self.read(self.with(Method::POST, path, body)?, path).await
    }

    pub async fn post_empty(&self, path: &'static str, body: &Value) -> Result<(), OllamaError> {
        self.finish(self.with(Method::POST, path, body)?, path).await
    }

    pub async fn delete(&self, path: &'static str, body: &Value) -> Result<(), OllamaError> {
        self.finish(self.with(Method::DELETE, path, body)?, path).await
    }

    /// Whether there is something at this path.
    pub async fn has(&self, path: &str) -> Result<bool, OllamaError> {
        let response = self.send(self.request(Method::HEAD, path)?, "/api/blobs").await?;
        match response.status() {
            StatusCode::NOT_FOUND => Ok(false),
            _ => self.good(response, "/api/blobs").await.map(|_| true),
        }
    }

    /// A request whose reply says nothing.
    async fn finish(&self, request: RequestBuilder, what: &'static str) -> Result<(), OllamaError> {
        let response = self.send(request, what).await?;
        self.good(response, what).await.map(drop)
    }

    /// A request that takes as long as its body takes; who gives the pieces limits its silence by [`Wire::within`].
    pub async fn long(&self, request: RequestBuilder, what: &'static str) -> Result<(), OllamaError> {
        let response = request.send().await.map_err(|e| self.lost(what, e))?;
        self.good(response, what).await.map(drop)
    }

    /// What the server must do before our patience ends.
    pub async fn within<F: Future>(&self, what: &'static str, step: F) -> Result<F::Output, OllamaError> {
        tokio::time::timeout(self.patience, step).await.map_err(|_| self.slow(what))
    }

    /// A stream of status lines; the last one must say success.
    pub async fn follow(&self, path: &'static str, body: &Value, told: Listener<'_>) -> Result<(), OllamaError> {
        let response = self.send(self.with(Method::POST, path, body)?, path).await?;
        let mut response = self.good(response, path).await?;
        let (mut buffer, mut succeeded) = (Vec::new(), false);
        while let Some(chunk) = self.next(&mut response, path).await? {
            buffer.extend_from_slice(&chunk);
            while let Some(end) = buffer.iter().position(|b| *b == b'\n') {
                let line: Vec<u8> = buffer.drain(..=end).collect();
                succeeded = self.line(&line, path, told)? || succeeded;
            }
            if buffer.len() > LONGEST_LINE {
                return Err(self.unreadable(path, "a line of its stream does not end"));
            }
        }
        succeeded = self.line(&buffer, path, told)? || succeeded;
        let cut =
            || OllamaError::GaveUp { server: self.server(), what: path, why: "its stream ended before it said success".into() };
        if succeeded { Ok(()) } else { Err(cut()) }
    }

    /// Whether the line says success.
    fn line(&self, line: &[u8], what: &'static str, told: Listener<'_>) -> Result<bool, OllamaError> {
        if line.iter().all(u8::is_ascii_whitespace) {
            return Ok(false);
        }
        let line: Line = serde_json::from_slice(line).map_err(|e| self.unreadable(what, one_line(&e.to_string(), 200)))?;
        if let Some(error) = line.error {
            return Err(OllamaError::GaveUp { server: self.server(), what, why: one_line(&error, 300) });
        }
        go_on(told(Told::Status(one_line(&line.status, 160))))?;
        Ok(line.status == "success")
    }

    async fn read<T: DeserializeOwned>(&self, request: RequestBuilder, what: &'static str) -> Result<T, OllamaError> {
        let response = self.send(request, what).await?;
        let mut response = self.good(response, what).await?;
        let body = self.body(&mut response, what).await?;
        serde_json::from_slice(&body).map_err(|e| self.unreadable(what, one_line(&e.to_string(), 200)))
    }

    async fn send(&self, request: RequestBuilder, what: &'static str) -> Result<Response, OllamaError> {
        self.within(what, request.send()).await?.map_err(|e| self.lost(what, e))
    }

    async fn next(&self, response: &mut Response, what: &'static str) -> Result<Option<Vec<u8>>, OllamaError> {
        let chunk = self.within(what, response.chunk()).await?;
        Ok(chunk.map_err(|e| self.lost(what, e))?.map(|bytes| bytes.to_vec()))
    }

    async fn body(&self, response: &mut Response, what: &'static str) -> Result<Vec<u8>, OllamaError> {
        let mut body = Vec::new();
        while let Some(chunk) = self.next(response, what).await? {
            if body.len() + chunk.len() > LARGEST_REPLY {
                return Err(self.unreadable(what, format!("it is longer than {} MiB", LARGEST_REPLY >> 20)));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }

    /// A reply that is no refusal.
    async fn good(&self, mut response: Response, what: &'static str) -> Result<Response, OllamaError> {
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let body = self.body(&mut response, what).await.unwrap_or_default();
        Err(OllamaError::Refused {
            server: self.server(),
            what,
            status: status.as_u16(),
            why: words_of(&body),
            next: next_step(status),
        })
    }

    fn slow(&self, what: &'static str) -> OllamaError {
        OllamaError::Slow { server: self.server(), what, seconds: self.patience.as_secs_f64() }
    }

    fn lost(&self, what: &'static str, error: reqwest::Error) -> OllamaError {
        if !error.is_connect() {
            let why = format!("the connection broke: {}", chain(error));
            return OllamaError::GaveUp { server: self.server(), what, why };
        }
        OllamaError::Unreachable { server: self.server(), why: chain(error) }
    }

    fn unreadable(&self, what: &'static str, why: impl AsRef<str>) -> OllamaError {
        OllamaError::Reply { server: self.server(), what, why: why.as_ref().to_owned() }
    }
}

fn words_of(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(&body[..body.len().min(4000)]);
    let value: Option<Value> = serde_json::from_slice(body).ok();
    let said = value.as_ref().and_then(|v| v.get("error")).and_then(Value::as_str);
    match one_line(said.unwrap_or(&text), 300) {
        words if words.is_empty() => "it says nothing more".into(),
        words => words,
    }
}

fn next_step(status: StatusCode) -> &'static str {
    match status.as_u16() {
        400 => "What we sent does not suit its version; update Ollama, or make the release again",
        401 | 403 => "It wants a key, and we send none; use one on this machine",
        404 => "'ollama list' shows what it has; release the model there first",
        413 | 507 => "Make room on its disk, or let it take larger files",
        503 => "It has too much to do; wait, then do it again",
        500.. => "Its own log says why, a full disk perhaps; mend that and do it again",
        _ => "Its own log may say more",
    }
}
