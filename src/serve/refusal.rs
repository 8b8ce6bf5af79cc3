//! What is said to whoever asks wrongly, too much or too late: a status, what happened, what to do next.

use axum::Json;
use axum::http::header::{CONNECTION, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::scores::Trouble;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// Not JSON, or not what is asked for here.
    Malformed {
        what: String,
    },
    NotJson,
    NoToken,
    NoSuchPath,
    WrongMethod {
        allowed: &'static str,
    },
    /// The body, the articles or a text of them.
    TooLarge {
        what: String,
    },
    /// The body does not come.
    Slow {
        seconds: u64,
    },
    UnknownReaders {
        names: String,
    },
    Full {
        waiting: usize,
        again_in: u64,
    },
    Loading,
    Draining,
    /// The scores did not come in time.
    Late {
        seconds: u64,
    },
    Failed(Trouble),
}

impl Refusal {
    pub fn malformed(what: impl Into<String>) -> Self {
        Self::Malformed { what: what.into() }
    }

    pub fn status(&self) -> StatusCode {
        match self {
            Self::Malformed { .. } => StatusCode::BAD_REQUEST,
            Self::NotJson => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::NoToken => StatusCode::UNAUTHORIZED,
            Self::NoSuchPath | Self::UnknownReaders { .. } => StatusCode::NOT_FOUND,
            Self::WrongMethod { .. } => StatusCode::METHOD_NOT_ALLOWED,
            Self::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Slow { .. } => StatusCode::REQUEST_TIMEOUT,
            Self::Full { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::Loading | Self::Draining => StatusCode::SERVICE_UNAVAILABLE,
            Self::Late { .. } => StatusCode::GATEWAY_TIMEOUT,
            Self::Failed(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// What happened, and what to do next.
    fn words(&self) -> (String, String) {
        let both = |what: &str, next: &str| (what.to_owned(), next.to_owned());
        match self {
            Self::Malformed { what } => (what.clone(), "Send {\"profile\": \"…\", \"articles\": [{\"title\": \"…\"}]}.".into()),
            Self::NotJson => both("the body is not declared as JSON", "Send content-type: application/json."),
            Self::NoToken => {
                both("the bearer token is missing or wrong", "Send authorization: Bearer, with the service's token.")
            }
            Self::NoSuchPath => both("there is nothing at this path", "POST /v1/score; GET /healthz; GET /metrics."),
            Self::WrongMethod { allowed } => (format!("this path takes {allowed} only"), format!("Use {allowed}.")),
            Self::TooLarge { what } => (what.clone(), "Send fewer or shorter articles at once.".into()),
            Self::Slow { seconds } => {
                (format!("the request did not come whole within {seconds} s"), "Send it again, in one go.".into())
            }
            Self::UnknownReaders { names } => (format!("there is no profile {names}"), "See 'stratos profiles list'.".into()),
            Self::Full { waiting, again_in } => {
                (format!("{waiting} requests wait already"), format!("Ask again in {again_in} s."))
            }
            Self::Loading => both("the model is still being loaded", "Ask again in a moment; /healthz says when it is ready."),
            Self::Draining => both("the service is ending", "Ask another instance, or this one when it is back."),
            Self::Late { seconds } => {
                (format!("the scores were not there within {seconds} s"), "Send fewer articles, or raise --timeout.".into())
            }
            Self::Failed(trouble) => (trouble.what.clone(), trouble.next.clone()),
        }
    }

    /// `None`: asking again is no use, or nobody knows when.
    fn again_in(&self) -> Option<u64> {
        match self {
            Self::Full { again_in, .. } => Some(*again_in),
            Self::Loading => Some(2),
            Self::Draining => Some(5),
            _ => None,
        }
    }

    /// Whether the connection is of no more use: its body was not read to the end, or the service ends.
    fn closes(&self) -> bool {
        matches!(self, Self::TooLarge { .. } | Self::Slow { .. } | Self::NoToken | Self::NotJson | Self::Draining)
    }

    pub fn body(&self) -> String {
        let (what, next) = self.words();
        json!({"error": {"what": what, "next": next}}).to_string()
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let (what, next) = self.words();
        let mut response = (self.status(), Json(json!({"error": {"what": what, "next": next}}))).into_response();
        let headers = response.headers_mut();
        if let Some(seconds) = self.again_in() {
            headers.insert(RETRY_AFTER, seconds.into());
        }
        if self == Self::NoToken {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if self.closes() {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}
