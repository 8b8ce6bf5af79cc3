//! The paths: scores, health, figures. Owns reading a request's body within its limits.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use axum::{Json, Router};
use futures_util::StreamExt as _;
use serde_json::json;

use super::api::{Asked, Reply};
use super::door::Limits;
use super::metrics::Standing;
use super::queue::{Phase, Queue};
use super::refusal::Refusal;
use super::token::Access;

/// What every request sees.
#[derive(Debug)]
pub struct Shared {
    pub queue: Queue,
    pub limits: Limits,
    pub access: Access,
    pub connections: std::sync::atomic::AtomicUsize,
}

pub fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/v1/score", any(score))
        .route("/healthz", any(health))
        .route("/metrics", any(metrics))
        .fallback(async || Refusal::NoSuchPath)
        .with_state(shared)
}

impl Shared {
    fn standing(&self) -> Standing {
        Standing {
            waiting: self.queue.waiting(),
            room: self.queue.room(),
            connections: self.connections.load(Ordering::SeqCst),
            ready: *self.queue.phase.borrow() == Phase::Ready,
            draining: self.queue.draining.load(Ordering::SeqCst),
        }
    }
}

async fn score(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let began = Instant::now();
    let response = answered(&shared, request, began).await.map_or_else(IntoResponse::into_response, |r| Json(r).into_response());
    shared.queue.metrics.request(response.status().as_u16(), began.elapsed().as_secs_f64());
    response
}

async fn answered(shared: &Shared, request: Request, began: Instant) -> Result<Reply, Refusal> {
    if request.method() != Method::POST {
        return Err(Refusal::WrongMethod { allowed: "POST" });
    }
    let (head, body) = request.into_parts();
    if !shared.access.allows(&head.headers) {
        return Err(Refusal::NoToken);
    }
    // A page in somebody's browser cannot send this without being asked first.
    if !is_json(&head.headers) {
        return Err(Refusal::NotJson);
    }
    // Before its body is read: who is refused anyway need not send it.
    if shared.queue.draining.load(Ordering::SeqCst) {
        return Err(Refusal::Draining);
    }
    let limits = &shared.limits;
    let read = tokio::time::timeout(limits.body, bytes(body, &head.headers, limits.max_body));
    let bytes = read.await.map_err(|_| Refusal::Slow { seconds: limits.body.as_secs() })??;
    let asked = Arc::new(Asked::read(&bytes, limits.max_articles)?);
    let comes = shared.queue.put(Arc::clone(&asked), began + limits.answer)?;
    let late = || Refusal::Late { seconds: limits.answer.as_secs() };
    let left = limits.answer.saturating_sub(began.elapsed()).max(Duration::from_millis(1));
    let outcome = tokio::time::timeout(left, comes).await.map_err(|_| late())?;
    // A request whose time was up before its turn is dropped there.
    let (answers, about) = outcome.map_err(|_| late())??;
    Ok(asked.reply(answers, about))
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
}

/// The whole body, if it is not too large.
async fn bytes(body: Body, headers: &HeaderMap, limit: usize) -> Result<Vec<u8>, Refusal> {
    let large = || Refusal::TooLarge { what: format!("the body is larger than {} KiB", limit.div_ceil(1024)) };
    let said = headers.get(CONTENT_LENGTH).and_then(|v| v.to_str().ok()).and_then(|v| v.parse::<u64>().ok());
    if said.is_some_and(|said| said > limit as u64) {
        return Err(large());
    }
    let (mut all, mut pieces) = (Vec::new(), body.into_data_stream());
    while let Some(piece) = pieces.next().await {
        let piece = piece.map_err(|_| Refusal::malformed("the body broke off"))?;
        if all.len() + piece.len() > limit {
            return Err(large());
        }
        all.extend_from_slice(&piece);
    }
    Ok(all)
}

/// Whether it lives, is ready, and ends; open to all, since it says nothing else.
async fn health(State(shared): State<Arc<Shared>>, method: Method) -> Response {
    if ![Method::GET, Method::HEAD].contains(&method) {
        return Refusal::WrongMethod { allowed: "GET" }.into_response();
    }
    let standing = shared.standing();
    let status = if standing.ready && !standing.draining { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(json!({"live": true, "ready": standing.ready, "draining": standing.draining}))).into_response()
}

async fn metrics(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    if ![Method::GET, Method::HEAD].contains(request.method()) {
        return Refusal::WrongMethod { allowed: "GET" }.into_response();
    }
    if !shared.access.allows(request.headers()) {
        return Refusal::NoToken.into_response();
    }
    let text = shared.queue.metrics.text(shared.standing());
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
}
