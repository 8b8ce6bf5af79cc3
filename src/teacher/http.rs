//! The wire: one configured host, one key, every call made once.
//!
//! Owns the connection and its fences: no redirects, no foreign host, time limits, downloads checked against their
//! length, and the key out of every text. What a status means is `replies`'; what is sent is the providers'.

use std::io::Write;
use std::sync::OnceLock;
use std::time::Duration;

use futures_util::StreamExt as _;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Method, RequestBuilder, Response, Url, multipart};
use serde_json::Value;

use super::keys::Key;
use super::replies::{Call, Reply, retry_after};
use super::{Refusal, SubmitError, TeacherError};
use crate::domain::one_line;
use crate::net::{chain, install_crypto};

const CONNECT: Duration = Duration::from_secs(15);
/// For a call that is answered at once.
const ANSWER: Duration = Duration::from_secs(120);
/// For a call that a model answers.
pub(super) const MODEL_ANSWER: Duration = Duration::from_secs(900);
/// A download may take long, but not pause long.
const IDLE: Duration = Duration::from_secs(60);
/// Slowest line that an upload is given time for, in bytes a second.
const SLOWEST: usize = 64 << 10;
/// A reply that is not a download is never larger.
const LARGEST_REPLY: usize = 64 << 20;
/// Keys shorter than this are words, and stay in texts.
const SHORTEST_SECRET: usize = 6;

/// Which header carries the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Auth {
    Bearer,
    Header(&'static str),
}

/// Where a provider is, and how it knows us.
#[derive(Debug, Clone)]
pub(super) struct Site {
    pub provider: String,
    pub base_url: String,
    pub auth: Auth,
    /// The variable that holds the key, in place of the usual ones.
    pub key_env: Option<String>,
    pub key: Option<Key>,
    /// A local server may need no key.
    pub needs_key: bool,
    /// 503 says clearly that nothing was begun: so at a server of one's own, not behind a provider's gateway.
    pub refuses_by_503: bool,
    pub headers: Vec<(&'static str, String)>,
}

/// A provider's host. Connects, and looks for the key, at the first call.
pub(super) struct Http {
    site: Site,
    ready: OnceLock<Result<Ready, String>>,
}

struct Ready {
    base: Url,
    /// For reads; keeps its connections.
    reads: Client,
    /// For what must not be sent twice: a fresh connection each time, so that none is found closed half-way.
    once: Client,
    headers: HeaderMap,
    key: Option<Key>,
}

/// Why no reply's head came.
enum NoReply {
    /// No connection was made, so nothing was sent.
    NotSent(String),
    Lost(String),
}

impl Http {
    pub fn new(site: Site) -> Self {
        Self { site, ready: OnceLock::new() }
    }

    fn ready(&self) -> Result<&Ready, String> {
        self.ready.get_or_init(|| Ready::new(&self.site)).as_ref().map_err(Clone::clone)
    }

    fn stop(&self) -> Result<&Ready, TeacherError> {
        self.ready().map_err(TeacherError::fatal)
    }

    fn call(&self, ready: &Ready, method: &Method, path: &str) -> Call {
        let path = path.split('?').next().unwrap_or_default();
        let key = ready.key.as_ref().map_or_else(|| "no key".into(), |k| format!("the key in {}", k.source()));
        let what = format!("{}, {method} {path}", self.site.provider);
        Call { what, key, refuses_by_503: self.site.refuses_by_503 }
    }

    /// Makes something that costs money, once.
    pub async fn post_once(&self, path: &str, body: Vec<u8>, wait: Duration) -> Result<Vec<u8>, SubmitError> {
        let ready = self.ready().map_err(final_refusal)?;
        let call = self.call(ready, &Method::POST, path);
        let wait = wait + upload_time(body.len());
        let url = ready.url(path).map_err(final_refusal)?;
        let request = ready.json(&ready.once, Method::POST, url, body).timeout(wait);
        match ready.exchange(request).await {
            Ok(reply) => ready.scrubbed(reply).created(&call),
            Err(NoReply::NotSent(why)) => Err(SubmitError::Refused {
                why: format!("{}: cannot reach {}: {why}. Nothing was sent", call.what, ready.host()),
                kind: Refusal::Busy { after: None },
            }),
            Err(NoReply::Lost(why)) => Err(SubmitError::Unclear(format!("{}: no reply from {}: {why}", call.what, ready.host()))),
        }
    }

    pub async fn get(&self, path: &str) -> Result<Value, TeacherError> {
        let ready = self.stop()?;
        let url = ready.url(path).map_err(TeacherError::fatal)?;
        let call = self.call(ready, &Method::GET, path);
        ready.read_json(ready.reads.get(url).headers(ready.headers.clone()), ANSWER, &call).await
    }

    /// A POST that makes nothing: counting, cancelling.
    pub async fn post_free(&self, path: &str, body: &Value) -> Result<Value, TeacherError> {
        let ready = self.stop()?;
        let url = ready.url(path).map_err(TeacherError::fatal)?;
        let call = self.call(ready, &Method::POST, path);
        let bytes = body.to_string().into_bytes();
        let wait = ANSWER + upload_time(bytes.len());
        ready.read_json(ready.json(&ready.reads, Method::POST, url, bytes), wait, &call).await
    }

    /// Uploads a form: free, so losing the reply costs nothing.
    pub async fn post_form(&self, path: &str, form: multipart::Form, size: usize) -> Result<Value, SubmitError> {
        let ready = self.ready().map_err(final_refusal)?;
        let url = ready.url(path).map_err(final_refusal)?;
        let call = self.call(ready, &Method::POST, path);
        let request = ready.once.post(url).headers(ready.headers.clone()).multipart(form);
        ready.upload(request, size, &call).await.and_then(|reply| json_of_upload(reply, &call))
    }

    /// One step of a resumable upload, to a path of ours or to the url that an earlier step gave.
    pub async fn post_step(
        &self,
        to: &str,
        headers: &[(&'static str, String)],
        body: Vec<u8>,
    ) -> Result<(Option<String>, Value), SubmitError> {
        let ready = self.ready().map_err(final_refusal)?;
        let absolute = to.contains("://");
        let url = if absolute { ready.own("the upload url", to) } else { ready.url(to) }.map_err(final_refusal)?;
        let call = self.call(ready, &Method::POST, url.path());
        let size = body.len();
        let mut request = ready.once.post(url).headers(ready.headers.clone()).body(body);
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        let reply = ready.upload(request, size, &call).await?;
        let next = reply.upload_url.clone();
        let body = reply.created(&call)?;
        Ok((next, serde_json::from_slice(&body).unwrap_or(Value::Null)))
    }

    /// Writes a file of the provider's, byte for byte. `to` is a path, or an absolute url that the provider named.
    pub async fn download(&self, to: &str, into: &mut (dyn Write + Send)) -> Result<(), TeacherError> {
        let ready = self.stop()?;
        let absolute = to.contains("://");
        let url = if absolute { ready.own("results_url", to) } else { ready.url(to) }.map_err(TeacherError::fatal)?;
        let call = self.call(ready, &Method::GET, url.path());
        let request = ready.reads.get(url).headers(ready.headers.clone());
        let sent = tokio::time::timeout(ANSWER, request.send()).await;
        let response = match sent {
            Ok(Ok(response)) => response,
            Ok(Err(e)) => return Err(TeacherError::passing(format!("{}: {}", call.what, ready.scrub(&chain(e))))),
            Err(_) => return Err(TeacherError::passing(format!("{}: no answer within {} s", call.what, ANSWER.as_secs()))),
        };
        if !response.status().is_success() {
            return ready.scrubbed(take(response).await).read(&call).map(|_| ());
        }
        save(response, into).await.map_err(|error| TeacherError { why: format!("{}: {}", call.what, error.why), ..error })
    }
}

impl Ready {
    fn new(site: &Site) -> Result<Self, String> {
        install_crypto();
        let base = Url::parse(site.base_url.trim_end_matches('/'))
            .map_err(|e| format!("base_url of {} is not a url: {e}; mend it in stratos.toml", site.provider))?;
        let named = site.key_env.as_deref();
        let key = match &site.key {
            Some(key) => Some(key.clone()),
            None if site.needs_key => Some(Key::need(&site.provider, named).map_err(|e| e.to_string())?),
            None => None,
        };
        let mut headers = HeaderMap::new();
        for (name, value) in &site.headers {
            let value =
                HeaderValue::from_str(value).map_err(|_| format!("the header {name} of {} cannot be sent", site.provider))?;
            headers.insert(*name, value);
        }
        if let Some(key) = &key {
            let (name, value) = credentials(site.auth, key)
                .ok_or_else(|| format!("the key in {} cannot be sent in a header; set it again", key.source()))?;
            headers.insert(name, value);
        }
        let client = |keep: usize| {
            let built = Client::builder()
                .redirect(reqwest::redirect::Policy::none())
                .retry(reqwest::retry::never())
                .connect_timeout(CONNECT)
                .pool_max_idle_per_host(keep)
                .user_agent(concat!("stratos/", env!("CARGO_PKG_VERSION")));
            // A proxy would read what goes in the clear.
            let built = if base.scheme() == "http" { built.no_proxy() } else { built };
            built.build().map_err(|e| format!("cannot prepare a connection to {}: {}", site.provider, chain(e)))
        };
        Ok(Self { reads: client(4)?, once: client(0)?, base, headers, key })
    }

    /// A path below the base.
    fn url(&self, path: &str) -> Result<Url, String> {
        let text = format!("{}{path}", self.base.as_str().trim_end_matches('/'));
        Url::parse(&text).map_err(|e| format!("'{}' is not a url: {e}", one_line(&text, 200)))
    }

    /// An absolute url, if it is at our host.
    fn own(&self, what: &str, text: &str) -> Result<Url, String> {
        let shown = || one_line(text.split('?').next().unwrap_or_default(), 200);
        let url = Url::parse(text).map_err(|e| format!("the provider names '{}', which is not a url: {e}", shown()))?;
        if url.origin() == self.base.origin() && url.username().is_empty() && url.password().is_none() {
            return Ok(url);
        }
        Err(format!(
            "{what} {} points at another host than {}; refused, the key stays here. If the API moved, set base_url in stratos.toml",
            shown(),
            self.host()
        ))
    }

    fn host(&self) -> String {
        self.base.origin().ascii_serialization()
    }

    fn json(&self, client: &Client, method: Method, url: Url, body: Vec<u8>) -> RequestBuilder {
        client.request(method, url).headers(self.headers.clone()).header("content-type", "application/json").body(body)
    }

    async fn exchange(&self, request: RequestBuilder) -> Result<Reply, NoReply> {
        match request.send().await {
            Ok(response) => Ok(take(response).await),
            Err(e) if e.is_connect() || e.is_builder() => Err(NoReply::NotSent(self.scrub(&chain(e)))),
            Err(e) => Err(NoReply::Lost(self.scrub(&chain(e)))),
        }
    }

    async fn read_json(&self, request: RequestBuilder, wait: Duration, call: &Call) -> Result<Value, TeacherError> {
        let reply = self.exchange(request.timeout(wait)).await.map_err(|no| match no {
            NoReply::NotSent(why) => TeacherError::passing(format!("{}: cannot reach {}: {why}", call.what, self.host())),
            NoReply::Lost(why) => TeacherError::passing(format!("{}: no reply from {}: {why}", call.what, self.host())),
        })?;
        let status = reply.status;
        let body = self.scrubbed(reply).read(call)?;
        serde_json::from_slice(&body)
            .map_err(|e| TeacherError::fatal(format!("{}: the reply ({status}) is not JSON: {e}; is base_url right?", call.what)))
    }

    async fn upload(&self, request: RequestBuilder, size: usize, call: &Call) -> Result<Reply, SubmitError> {
        let sent = self.exchange(request.timeout(ANSWER + upload_time(size))).await;
        let reply = sent.map_err(|no| match no {
            NoReply::NotSent(why) | NoReply::Lost(why) => lost_upload(&format!("{}: {why}", call.what)),
        })?;
        if reply.status >= 500 || reply.status == 408 {
            return Err(lost_upload(&format!("{}: the reply was {}", call.what, reply.status)));
        }
        Ok(self.scrubbed(reply))
    }

    /// A reply whose error body does not repeat the key: gateways do that.
    fn scrubbed(&self, mut reply: Reply) -> Reply {
        if (200..300).contains(&reply.status) {
            return reply;
        }
        if let Ok(body) = &reply.body {
            reply.body = Ok(self.scrub(&String::from_utf8_lossy(body)).into_bytes());
        }
        reply.location = reply.location.map(|to| self.scrub(&to));
        reply
    }

    fn scrub(&self, text: &str) -> String {
        match self.key.as_ref().map(Key::expose).filter(|secret| secret.len() >= SHORTEST_SECRET) {
            Some(secret) => text.replace(secret, "(key)"),
            None => text.to_owned(),
        }
    }
}

fn credentials(auth: Auth, key: &Key) -> Option<(HeaderName, HeaderValue)> {
    let (name, text) = match auth {
        Auth::Bearer => (reqwest::header::AUTHORIZATION, format!("Bearer {}", key.expose())),
        Auth::Header(name) => (HeaderName::from_static(name), key.expose().to_owned()),
    };
    let mut value = HeaderValue::from_str(&text).ok()?;
    value.set_sensitive(true);
    Some((name, value))
}

fn upload_time(bytes: usize) -> Duration {
    Duration::from_secs((bytes / SLOWEST) as u64)
}

fn final_refusal(why: String) -> SubmitError {
    SubmitError::Refused { why, kind: Refusal::Final }
}

fn lost_upload(why: &str) -> SubmitError {
    SubmitError::Refused {
        why: format!("{why}. The upload came to no clear end; it costs nothing and can be made again"),
        kind: Refusal::Busy { after: None },
    }
}

fn json_of_upload(reply: Reply, call: &Call) -> Result<Value, SubmitError> {
    let body = match reply.created(call) {
        Err(SubmitError::Unclear(why)) => return Err(lost_upload(&why)),
        other => other?,
    };
    serde_json::from_slice(&body).map_err(|e| lost_upload(&format!("{}: the reply is not JSON: {e}", call.what)))
}

/// A response's head and, as far as it comes, its body.
async fn take(mut response: Response) -> Reply {
    let header = |name: &str| response.headers().get(name).and_then(|v| v.to_str().ok()).map(str::to_owned);
    let mut reply = Reply {
        status: response.status().as_u16(),
        location: header("location"),
        retry_after: header("retry-after").and_then(|text| retry_after(&text)),
        upload_url: header("x-goog-upload-url"),
        body: Err(String::new()),
    };
    let mut bytes = Vec::new();
    reply.body = loop {
        match response.chunk().await {
            Ok(Some(chunk)) if bytes.len() + chunk.len() > LARGEST_REPLY => break Err("it is too long".into()),
            Ok(Some(chunk)) => bytes.extend_from_slice(&chunk),
            Ok(None) => break Ok(bytes),
            Err(e) => break Err(chain(e)),
        }
    };
    reply
}

async fn save(response: Response, into: &mut (dyn Write + Send)) -> Result<(), TeacherError> {
    let promised = response.headers().get("content-length").and_then(|v| v.to_str().ok()?.parse::<u64>().ok());
    let of = promised.map_or_else(String::new, |n| format!(" of {n}"));
    let mut stream = response.bytes_stream();
    let mut got = 0_u64;
    loop {
        let next = tokio::time::timeout(IDLE, stream.next()).await;
        let chunk = match next {
            Ok(Some(Ok(chunk))) => chunk,
            Ok(None) => break,
            Ok(Some(Err(e))) => {
                return Err(TeacherError::passing(format!("the download was cut after {got}{of} bytes: {}", chain(e))));
            }
            Err(_) => {
                let idle = IDLE.as_secs();
                return Err(TeacherError::passing(format!("the download stood still for {idle} s after {got}{of} bytes")));
            }
        };
        into.write_all(&chunk).map_err(|e| TeacherError::fatal(format!("the download could not be written: {e}")))?;
        got += chunk.len() as u64;
    }
    match promised {
        Some(n) if n != got => Err(TeacherError::passing(format!("the download was cut after {got} of {n} bytes"))),
        _ => Ok(()),
    }
}
