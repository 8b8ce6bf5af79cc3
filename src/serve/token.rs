//! Who may ask: a bearer token from the environment, compared in constant time.

use std::net::SocketAddr;

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use sha2::{Digest as _, Sha256};

use super::door::ServeError;

/// Where the token is read from.
pub const TOKEN_VARIABLE: &str = "STRATOS_TOKEN";
/// A shorter one is guessed.
const SHORTEST: usize = 16;

/// The digest of the token that opens, or an open door.
#[derive(Debug, Clone)]
pub struct Access(Option<[u8; 32]>);

impl Access {
    /// An open door is for this machine alone.
    pub fn new(token: Option<&str>, open: bool, address: SocketAddr) -> Result<Self, ServeError> {
        if open {
            return if address.ip().is_loopback() { Ok(Self(None)) } else { Err(ServeError::OpenToAll { address }) };
        }
        let token = token.map(str::trim).filter(|t| !t.is_empty()).ok_or(ServeError::NoToken)?;
        if token.len() < SHORTEST || !token.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(ServeError::WeakToken { shortest: SHORTEST });
        }
        Ok(Self(Some(digest(token.as_bytes()))))
    }

    pub fn allows(&self, headers: &HeaderMap) -> bool {
        let Some(wanted) = &self.0 else { return true };
        let given = headers.get(AUTHORIZATION).map_or(&b""[..], |value| value.as_bytes());
        let (scheme, token) = given.split_at(given.len().min(7));
        let token = if scheme.eq_ignore_ascii_case(b"bearer ") { token.trim_ascii() } else { b"" };
        same(&digest(token), wanted)
    }
}

fn digest(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// Looks at every byte, whatever it has seen.
fn same(a: &[u8; 32], b: &[u8; 32]) -> bool {
    std::hint::black_box(a.iter().zip(b).fold(0, |seen, (a, b)| seen | (a ^ b))) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "0123456789abcdef";

    fn asked(value: &str) -> HeaderMap {
        HeaderMap::from_iter([(AUTHORIZATION, value.parse().expect("a header"))])
    }

    #[test]
    fn only_the_token_opens() {
        let access = Access::new(Some(TOKEN), false, "0.0.0.0:1".parse().expect("an address")).expect("sound");
        assert!(access.allows(&asked("Bearer 0123456789abcdef")) && access.allows(&asked("bearer 0123456789abcdef ")));
        for wrong in
            ["Bearer 0123456789abcdeF", "Bearer 0123456789abcdef0", "Bearer", "0123456789abcdef", "Basic 0123456789abcdef", ""]
        {
            assert!(!access.allows(&asked(wrong)), "{wrong}");
        }
        assert!(!access.allows(&HeaderMap::new()));
    }

    #[test]
    fn a_door_is_never_open_by_accident() {
        let (here, all) = ("127.0.0.1:1".parse().expect("an address"), "0.0.0.0:1".parse().expect("an address"));
        assert!(Access::new(None, true, here).expect("open").allows(&HeaderMap::new()));
        for (token, open, address, words) in [
            (None, true, all, "only on this machine"),
            (Some(TOKEN), true, all, "only on this machine"),
            (None, false, here, "STRATOS_TOKEN"),
            (Some(" "), false, here, "STRATOS_TOKEN"),
            (Some("short"), false, here, "16"),
            (Some("with a space in it"), false, here, "16"),
        ] {
            let error = Access::new(token, open, address).expect_err("refused").to_string();
            assert!(error.contains(words), "{error}");
        }
    }
}
