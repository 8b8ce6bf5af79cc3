//! What every HTTP client here shares, whoever it talks to: the TLS provider, and an error with its causes.

mod download;

pub use download::{DownloadError, download};

use std::sync::Once;

use crate::domain::one_line;

/// Makes ring the TLS provider of this process; clients are built after it.
pub fn install_crypto() {
    static ONCE: Once = Once::new();
    // Somebody else in this process may have installed one already; any will do.
    ONCE.call_once(|| drop(rustls::crypto::ring::default_provider().install_default()));
}

/// An error with its causes, without its url.
pub fn chain(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text = format!("{text}: {inner_text}");
        }
        cause = inner.source();
    }
    one_line(&text, 300)
}
