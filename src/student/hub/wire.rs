//! The wire to the hub: one client, one token, redirects followed by hand so that the token never leaves its host.

use std::net::IpAddr;
use std::time::Duration;

use reqwest::header::{ACCEPT_ENCODING, AUTHORIZATION, HeaderMap, HeaderValue, LOCATION};
use reqwest::{Client, Response, Url};
use secrecy::{ExposeSecret, SecretString};

use super::HubError;
use crate::domain::one_line;
use crate::net::{chain, install_crypto};

const CONNECT: Duration = Duration::from_secs(15);
const ANSWER: Duration = Duration::from_secs(60);
/// A download may take long, but not pause long.
pub(super) const IDLE: Duration = Duration::from_secs(60);
const MAX_REDIRECTS: usize = 5;
const LARGEST_LISTING: usize = 32 << 20;

pub(super) struct Wire {
    pub base: Url,
    client: Client,
    token: Option<SecretString>,
}

/// A reply's first byte, after all redirects, with what the hub itself said on the way.
pub(super) struct Opened {
    pub response: Response,
    /// The hub's name for the file's bytes: their sha256, for large files.
    pub linked_etag: Option<String>,
    pub linked_size: Option<u64>,
}

impl Wire {
    pub fn new(endpoint: &str, token: Option<SecretString>) -> Result<Self, HubError> {
        let refuse = |why: &str| HubError::Endpoint { shown: shown(endpoint), why: why.into() };
        let base = Url::parse(endpoint.trim_end_matches('/')).map_err(|e| refuse(&e.to_string()))?;
        if base.host_str().is_none() || !["http", "https"].contains(&base.scheme()) {
            return Err(refuse("it must begin with http:// or https:// and a host"));
        }
        if !base.username().is_empty() || base.password().is_some() || base.query().is_some() || base.fragment().is_some() {
            return Err(refuse("it may hold no user, password, query or fragment"));
        }
        if token.is_some() && base.scheme() == "http" && !is_this_machine(&base) {
            return Err(refuse("HF_TOKEN would travel in the clear; use https, or unset HF_TOKEN"));
        }
        if token.as_ref().is_some_and(|t| bearer(t).is_none()) {
            return Err(refuse("HF_TOKEN holds characters that no token has; set it again without quotes or line ends"));
        }
        install_crypto();
        let built = Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT)
            .read_timeout(IDLE)
            .user_agent(concat!("stratos/", env!("CARGO_PKG_VERSION")));
        let built = if is_this_machine(&base) { built.no_proxy() } else { built };
        let client = built.build().map_err(|e| refuse(&chain(e)))?;
        Ok(Self { base, client, token })
    }

    pub fn host(&self) -> String {
        self.base.origin().ascii_serialization()
    }

    /// A url below the endpoint; each part is one path segment, whatever it holds.
    pub fn url(&self, parts: &[&str]) -> Url {
        let mut url = self.base.clone();
        // An http url always has a path.
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(parts);
        }
        url
    }

    pub async fn listing(&self, asked: &str, page: &str, url: Url) -> Result<Vec<u8>, HubError> {
        let get = async {
            let mut opened = self.open(asked, page, url, &HeaderMap::new()).await?;
            let mut body = Vec::new();
            while let Some(chunk) = opened.response.chunk().await.map_err(|e| self.unreachable(asked, e))? {
                body.extend_from_slice(&chunk);
                if body.len() > LARGEST_LISTING {
                    return Err(self.reply(asked, "it is too long"));
                }
            }
            Ok(body)
        };
        let late = || HubError::Unreachable { asked: asked.into(), host: self.host(), why: "no reply in time".into() };
        tokio::time::timeout(ANSWER, get).await.unwrap_or_else(|_| Err(late()))
    }

    /// Asks for a url and follows redirects; only a success (or 416, which `fetch` reads) comes back.
    pub async fn open(&self, asked: &str, page: &str, url: Url, headers: &HeaderMap) -> Result<Opened, HubError> {
        let (mut url, mut linked_etag, mut linked_size) = (url, None, None);
        for _ in 0..=MAX_REDIRECTS {
            let request = self.client.get(url.clone()).headers(headers.clone()).header(ACCEPT_ENCODING, "identity");
            // The token belongs to the hub; the store that it sends us on to has its own signature in the url.
            let ours = url.origin() == self.base.origin();
            let request = match self.token.as_ref().filter(|_| ours).and_then(bearer) {
                Some(value) => request.header(AUTHORIZATION, value),
                None => request,
            };
            let response = request.send().await.map_err(|e| self.unreachable(asked, e))?;
            if ours {
                linked_etag = header(&response, "x-linked-etag").map(|t| bare_etag(&t)).or(linked_etag);
                linked_size = header(&response, "x-linked-size").and_then(|t| t.parse().ok()).or(linked_size);
            }
            let status = response.status();
            if status.is_redirection() {
                url = self.next(asked, &url, &response)?;
            } else if status.is_success() || status.as_u16() == 416 {
                return Ok(Opened { response, linked_etag, linked_size });
            } else {
                return Err(self.refusal(asked, page, &url, &response));
            }
        }
        Err(self.reply(asked, "it redirects in a circle"))
    }

    fn next(&self, asked: &str, from: &Url, response: &Response) -> Result<Url, HubError> {
        let place = header(response, LOCATION.as_str()).ok_or_else(|| self.reply(asked, "a redirect that leads nowhere"))?;
        let refuse =
            |why: &str| HubError::Redirect { asked: asked.into(), host: self.host(), to: shown(&place), why: why.into() };
        let to = from.join(&place).map_err(|_| refuse("that is no url"))?;
        if !["http", "https"].contains(&to.scheme()) || (from.scheme() == "https" && to.scheme() == "http") {
            return Err(refuse("that would go on in the clear"));
        }
        Ok(to)
    }

    fn refusal(&self, asked: &str, page: &str, url: &Url, response: &Response) -> HubError {
        let ours = url.origin() == self.base.origin();
        let (asked, host, status) = (asked.to_owned(), url.origin().ascii_serialization(), response.status().as_u16());
        let said = header(response, "x-error-message").or_else(|| header(response, "x-error-code"));
        let detail = said.map_or_else(String::new, |text| format!(": {}", self.scrub(&one_line(&text, 160))));
        match status {
            401 | 403 if ours => {
                let page = format!("{host}/{page}");
                HubError::Refused { asked, host, status, detail, had_token: self.token.is_some(), page }
            }
            404 | 410 if ours => HubError::NotFound { asked, host, detail },
            _ => HubError::Status { asked, host, status, detail },
        }
    }

    fn unreachable(&self, asked: &str, error: reqwest::Error) -> HubError {
        HubError::Unreachable { asked: asked.into(), host: self.host(), why: self.scrub(&chain(error)) }
    }

    fn reply(&self, asked: &str, why: &str) -> HubError {
        HubError::Reply { asked: asked.into(), host: self.host(), why: why.into() }
    }

    fn scrub(&self, text: &str) -> String {
        match self.token.as_ref().map(ExposeSecret::expose_secret).filter(|secret| secret.len() >= 6) {
            Some(secret) => text.replace(secret, "(token)"),
            None => text.to_owned(),
        }
    }
}

fn bearer(token: &SecretString) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(&format!("Bearer {}", token.expose_secret().trim())).ok()?;
    value.set_sensitive(true);
    Some(value)
}

pub(super) fn header(response: &Response, name: &str) -> Option<String> {
    response.headers().get(name).and_then(|v| v.to_str().ok()).map(str::to_owned)
}

/// An entity tag without quotes and weakness.
fn bare_etag(text: &str) -> String {
    text.trim_start_matches("W/").trim_matches('"').to_ascii_lowercase()
}

fn is_this_machine(url: &Url) -> bool {
    let address = |host: &str| host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
    url.host_str().is_some_and(|host| host == "localhost" || address(host))
}

/// An address without its query, which may hold a signature.
fn shown(text: &str) -> String {
    let bare = text.split(['?', '#']).next().unwrap_or_default();
    // A password stands before the '@'.
    one_line(bare.rsplit('@').next().unwrap_or_default(), 120)
}
