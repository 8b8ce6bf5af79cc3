//! The wire to a server of one's own: bounded replies, a time limit, and another try where a try costs nothing. Owns no
//! meaning of what is said.

use std::time::{Duration, Instant};

use reqwest::{Client, Method, RequestBuilder, Response, StatusCode, Url};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::error::ScorerError;
use crate::domain::{Digest, one_line};
use crate::net::{chain, install_crypto};

const CONNECT: Duration = Duration::from_secs(10);
/// A reply is never larger.
const LARGEST_REPLY: usize = 32 << 20;
/// Tries of a request that came to no answer.
const TRIES: u32 = 3;
/// Before the second try; doubled with each.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

#[derive(Debug)]
pub(super) struct Wire {
    base: Url,
    client: Client,
    wait: Duration,
    pub start: &'static str,
}

/// A request that came to no use.
enum Fault {
    /// Another try may help.
    Passing(ScorerError),
    /// The server says that it is busy or still loads: wait for it.
    Busy(ScorerError),
    Final(ScorerError),
}

/// A whole reply.
struct Reply {
    status: StatusCode,
    body: Vec<u8>,
}

impl Wire {
    pub fn new(server: &str, wait: Duration, start: &'static str) -> Result<Self, ScorerError> {
        install_crypto();
        let failed = |why: String| ScorerError::Connection { server: one_line(server, 120), why };
        let base = Url::parse(server.trim_end_matches('/')).map_err(|e| failed(e.to_string()))?;
        let built = Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT.min(wait))
            .user_agent(concat!("stratos/", env!("CARGO_PKG_VERSION")));
        // A proxy would read what goes in the clear.
        let built = if base.scheme() == "http" { built.no_proxy() } else { built };
        Ok(Self { base, client: built.build().map_err(|e| failed(chain(e)))?, wait, start })
    }

    /// Guard S6: it still serves what it served.
    pub fn unchanged(&self, was: &Digest, is: &Digest) -> Result<(), ScorerError> {
        if was == is {
            return Ok(());
        }
        let short = |digest: &Digest| digest.short().to_owned();
        Err(ScorerError::Swapped { server: self.server(), was: short(was), is: short(is) })
    }

    /// The server, for people.
    pub fn server(&self) -> String {
        one_line(self.base.as_str().trim_end_matches('/'), 120)
    }

    pub fn host(&self) -> String {
        self.base.host_str().map_or_else(String::new, |host| one_line(host, 80))
    }

    pub async fn get<T: DeserializeOwned>(&self, path: &'static str) -> Result<T, ScorerError> {
        self.ask(Method::GET, path, None).await
    }

    pub async fn post<T: DeserializeOwned>(&self, path: &'static str, body: &Value) -> Result<T, ScorerError> {
        self.ask(Method::POST, path, Some(body.to_string())).await
    }

    /// Asks until there is an answer or no hope of one. Nothing is bought here, so a lost request is simply made again.
    async fn ask<T: DeserializeOwned>(&self, method: Method, path: &'static str, body: Option<String>) -> Result<T, ScorerError> {
        let begun = Instant::now();
        let (mut tries, mut pause) = (0, FIRST_PAUSE);
        loop {
            tries += 1;
            let fault = match self.once(self.request(method.clone(), path, body.clone())?, path).await {
                Ok(reply) => return self.read(path, &reply),
                Err(fault) => fault,
            };
            match fault {
                Fault::Passing(_) if tries < TRIES => {}
                Fault::Busy(_) if begun.elapsed() + pause < self.wait => {}
                Fault::Passing(error) | Fault::Busy(error) | Fault::Final(error) => return Err(error),
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    fn request(&self, method: Method, path: &str, body: Option<String>) -> Result<RequestBuilder, ScorerError> {
        let text = format!("{}{path}", self.base.as_str().trim_end_matches('/'));
        let url = Url::parse(&text).map_err(|e| ScorerError::Connection { server: self.server(), why: e.to_string() })?;
        let request = self.client.request(method, url).timeout(self.wait);
        Ok(match body {
            Some(body) => request.header("content-type", "application/json").body(body),
            None => request,
        })
    }

    async fn once(&self, request: RequestBuilder, what: &'static str) -> Result<Reply, Fault> {
        let response = request.send().await.map_err(|e| self.lost(what, e))?;
        let reply = self.take(what, response).await?;
        if reply.status.is_success() {
            return Ok(reply);
        }
        let refused = ScorerError::Refused {
            server: self.server(),
            what,
            status: reply.status.as_u16(),
            why: words_of(&reply.body),
            next: next_step(reply.status),
        };
        Err(match reply.status {
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS => Fault::Busy(refused),
            status if status.is_server_error() => Fault::Passing(refused),
            _ => Fault::Final(refused),
        })
    }

    fn lost(&self, what: &'static str, error: reqwest::Error) -> Fault {
        if error.is_timeout() && !error.is_connect() {
            return Fault::Final(ScorerError::Slow { server: self.server(), what, seconds: self.wait.as_secs_f64() });
        }
        Fault::Passing(ScorerError::Unreachable { server: self.server(), why: chain(error), start: self.start })
    }

    async fn take(&self, what: &'static str, mut response: Response) -> Result<Reply, Fault> {
        let status = response.status();
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|e| self.lost(what, e))? {
            if body.len() + chunk.len() > LARGEST_REPLY {
                let why = format!("it is longer than {} MiB", LARGEST_REPLY >> 20);
                return Err(Fault::Final(self.unreadable(what, why)));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Reply { status, body })
    }

    fn read<T: DeserializeOwned>(&self, what: &'static str, reply: &Reply) -> Result<T, ScorerError> {
        serde_json::from_slice(&reply.body).map_err(|e| self.unreadable(what, one_line(&e.to_string(), 200)))
    }

    pub fn unreadable(&self, what: &'static str, why: impl Into<String>) -> ScorerError {
        ScorerError::Reply { server: self.server(), what, why: why.into() }
    }
}

/// What an error's body says: `{"error": "…"}`, `{"error": {"message": "…"}}`, or its text.
fn words_of(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(&body[..body.len().min(4000)]);
    let value: Option<Value> = serde_json::from_slice(body).ok();
    let error = value.as_ref().and_then(|v| v.get("error"));
    let said = error.and_then(|e| e.as_str().or_else(|| e.get("message")?.as_str()));
    match one_line(said.unwrap_or(&text), 300) {
        words if words.is_empty() => "it says nothing more".into(),
        words => words,
    }
}

fn next_step(status: StatusCode) -> &'static str {
    match status.as_u16() {
        401 | 403 => "It wants a key, and scoring sends none; start it without one, on this machine",
        404 => "Is the address right, and does it serve the model that [scoring] names ('ollama list')?",
        503 => "It still loads or has too much to do; wait, or lower parallel in [scoring]",
        500.. => "Its own log says why; mend that and ask again",
        _ => "Its own log may say more",
    }
}
