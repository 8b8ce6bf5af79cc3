//! The keys of paid teachers: where one is found, where it is kept, and that it is never shown.
//!
//! Owns the search (environment, then the keyring of the operating system) and the secret's wrapping. Never reads or
//! writes a workspace, and knows nothing of requests: `http` puts a key on the wire.

use std::ffi::OsString;
use std::fmt;
use std::sync::mpsc;
use std::time::Duration;

use secrecy::ExposeSecret;
pub use secrecy::SecretString;
use thiserror::Error;

/// The name under which the keyring keeps our secrets; the user is the provider.
const SERVICE: &str = "stratos";

/// A keyring without a daemon must not hold anybody up.
const LOOK: Duration = Duration::from_secs(3);

/// Storing may ask the person to unlock the keyring first.
const UNLOCK: Duration = Duration::from_secs(60);

/// Where a key was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeySource {
    Environment(String),
    Keyring,
}

impl fmt::Display for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Environment(name) => f.write_str(name),
            Self::Keyring => f.write_str("the keyring"),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum KeyError {
    #[error("there is no key for {provider}: set {variable}, or store one with 'stratos keys set {provider}'")]
    Missing { provider: String, variable: String },
    #[error("the key for {provider} in {place} is not one: {what}; set it again without quotes, spaces or line ends")]
    Malformed { provider: String, place: String, what: &'static str },
    #[error("the keyring did not {what} the key for {provider}: {why}; set {variable} instead")]
    Keyring { provider: String, what: &'static str, why: String, variable: String },
}

/// A provider's secret. `Debug` shows where it came from, nothing shows what it is.
#[derive(Clone)]
pub struct Key {
    secret: SecretString,
    source: KeySource,
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key(from {})", self.source)
    }
}

impl Key {
    /// Looks into the environment, then into the keyring. `env_name` takes the place of the provider's usual variables.
    /// A keyring that is missing, locked or silent holds no key; that is no error.
    pub fn find(provider: &str, env_name: Option<&str>) -> Result<Option<Self>, KeyError> {
        Self::find_in(provider, env_name, &|name| std::env::var_os(name), &|user| from_keyring(user))
    }

    /// [`Key::find`] where having none is an error that says what to do.
    pub fn need(provider: &str, env_name: Option<&str>) -> Result<Self, KeyError> {
        Self::find(provider, env_name)?.ok_or_else(|| missing(provider, env_name))
    }

    fn find_in(
        provider: &str,
        env_name: Option<&str>,
        environment: &dyn Fn(&str) -> Option<OsString>,
        keyring: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Option<Self>, KeyError> {
        for name in variables(provider, env_name) {
            let Some(value) = environment(&name).filter(|v| !v.is_empty()) else { continue };
            let source = KeySource::Environment(name);
            let Ok(secret) = value.into_string() else {
                return Err(malformed(provider, &source, "it is not text"));
            };
            return Self::new(provider, secret, source).map(Some);
        }
        keyring(provider).map(|secret| Self::new(provider, secret, KeySource::Keyring)).transpose()
    }

    /// A key that somebody else found.
    pub fn new(provider: &str, secret: String, source: KeySource) -> Result<Self, KeyError> {
        let secret = SecretString::from(secret);
        match fault(secret.expose_secret()) {
            Some(what) => Err(malformed(provider, &source, what)),
            None => Ok(Self { secret, source }),
        }
    }

    pub fn source(&self) -> &KeySource {
        &self.source
    }

    /// For the header alone.
    pub(super) fn expose(&self) -> &str {
        self.secret.expose_secret()
    }
}

/// Keeps a key in the keyring of the operating system.
pub fn store(provider: &str, secret: &SecretString) -> Result<(), KeyError> {
    if let Some(what) = fault(secret.expose_secret()) {
        return Err(malformed(provider, &KeySource::Keyring, what));
    }
    let secret = secret.clone();
    let kept = on_keyring(provider, UNLOCK, move |entry| entry.set_password(secret.expose_secret()));
    kept.map_err(|why| keyring_error(provider, "keep", why.text()))
}

/// Removes a key from the keyring; false where it held none.
pub fn forget(provider: &str) -> Result<bool, KeyError> {
    match on_keyring(provider, UNLOCK, keyring::Entry::delete_credential) {
        Ok(()) => Ok(true),
        Err(NoEntry::None) => Ok(false),
        Err(why) => Err(keyring_error(provider, "forget", why.text())),
    }
}

/// The environment variable that holds a provider's key, without looking at the key or asking the keyring. `Err`: none is
/// set; the one that could be, or nothing for a provider that needs no key.
pub fn variable_set(provider: &str, env_name: Option<&str>) -> Result<String, Option<String>> {
    let names = variables(provider, env_name);
    match names.iter().find(|name| std::env::var_os(name).is_some_and(|v| !v.is_empty())) {
        Some(name) => Ok(name.clone()),
        None => Err(names.into_iter().next()),
    }
}

/// The variables that may hold a provider's key, the first one set wins.
fn variables(provider: &str, env_name: Option<&str>) -> Vec<String> {
    let usual: &[&str] = match provider {
        "anthropic" => &["ANTHROPIC_API_KEY"],
        "openai" => &["OPENAI_API_KEY"],
        "gemini" => &["GEMINI_API_KEY", "GOOGLE_API_KEY"],
        _ => &[],
    };
    match env_name {
        Some(name) => vec![name.to_owned()],
        None => usual.iter().map(|&name| name.to_owned()).collect(),
    }
}

fn missing(provider: &str, env_name: Option<&str>) -> KeyError {
    KeyError::Missing { provider: provider.to_owned(), variable: variable(provider, env_name) }
}

fn variable(provider: &str, env_name: Option<&str>) -> String {
    variables(provider, env_name).into_iter().next().unwrap_or_else(|| "key_env in stratos.toml".into())
}

fn malformed(provider: &str, source: &KeySource, what: &'static str) -> KeyError {
    KeyError::Malformed { provider: provider.to_owned(), place: source.to_string(), what }
}

fn keyring_error(provider: &str, what: &'static str, why: String) -> KeyError {
    KeyError::Keyring { provider: provider.to_owned(), what, why, variable: variable(provider, None) }
}

/// What keeps a text from being a key, without showing it.
fn fault(secret: &str) -> Option<&'static str> {
    if secret.is_empty() {
        return Some("it is empty");
    }
    let odd = |c: char| c.is_whitespace() || c.is_control();
    if secret.chars().any(odd) {
        return Some("it holds white space or control characters");
    }
    (!secret.is_ascii()).then_some("it holds characters that no header can carry")
}

/// Why the keyring gave nothing.
enum NoEntry {
    None,
    /// No daemon, locked, too slow.
    Unreachable(String),
}

impl NoEntry {
    fn text(self) -> String {
        match self {
            Self::None => "it holds none".into(),
            Self::Unreachable(why) => why,
        }
    }
}

fn from_keyring(provider: &str) -> Option<String> {
    on_keyring(provider, LOOK, keyring::Entry::get_password).ok()
}

/// Talks to the keyring on a thread of its own: its daemon may never answer, and its client may not run inside ours.
fn on_keyring<T: Send + 'static>(
    provider: &str,
    limit: Duration,
    act: impl FnOnce(&keyring::Entry) -> keyring::Result<T> + Send + 'static,
) -> Result<T, NoEntry> {
    let (tell, told) = mpsc::channel();
    let user = provider.to_owned();
    let work = move || {
        let done = keyring::Entry::new(SERVICE, &user).and_then(|entry| act(&entry));
        // Nobody listens any more where the limit has passed.
        let _ = tell.send(done.map_err(|e| match e {
            keyring::Error::NoEntry => NoEntry::None,
            // Never the error's own text for bad data: it may hold the secret.
            keyring::Error::BadEncoding(_) | keyring::Error::BadDataFormat(..) => {
                NoEntry::Unreachable("its entry is not text".into())
            }
            keyring::Error::NoDefaultStore => NoEntry::Unreachable("this machine runs no keyring that answers".into()),
            other => NoEntry::Unreachable(other.to_string()),
        }));
    };
    if let Err(e) = std::thread::Builder::new().name("keyring".into()).spawn(work) {
        return Err(NoEntry::Unreachable(e.to_string()));
    }
    told.recv_timeout(limit).unwrap_or_else(|_| Err(NoEntry::Unreachable("it does not answer".into())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(provider: &str, named: Option<&str>, env: &[(&str, &str)], ring: Option<&str>) -> Result<Option<Key>, KeyError> {
        let environment = |name: &str| env.iter().find(|(n, _)| *n == name).map(|(_, v)| OsString::from(v));
        Key::find_in(provider, named, &environment, &|_| ring.map(str::to_owned))
    }

    fn source(found: Result<Option<Key>, KeyError>) -> Option<KeySource> {
        found.expect("reads").map(|k| k.source().clone())
    }

    #[test]
    fn the_environment_comes_before_the_keyring_and_a_named_variable_before_the_usual_ones() {
        let both = [("GEMINI_API_KEY", "g"), ("GOOGLE_API_KEY", "h"), ("MINE", "m")];
        let environment = |name: &str| Some(KeySource::Environment(name.into()));
        assert_eq!(source(find("gemini", None, &both, Some("r"))), environment("GEMINI_API_KEY"));
        assert_eq!(source(find("gemini", None, &both[1..], Some("r"))), environment("GOOGLE_API_KEY"));
        assert_eq!(source(find("gemini", Some("MINE"), &both, None)), environment("MINE"));
        assert_eq!(source(find("anthropic", None, &[("ANTHROPIC_API_KEY", "")], Some("r"))), Some(KeySource::Keyring));
        assert_eq!(source(find("anthropic", None, &[], None)), None);
    }

    #[test]
    fn the_keyring_is_not_asked_where_the_environment_has_a_key() {
        let found = Key::find_in("openai", None, &|_| Some("k".into()), &|_| panic!("asked"));
        assert!(found.is_ok());
    }

    #[test]
    fn a_key_with_white_space_is_refused_and_never_shown() {
        for bad in ["sk-secret\n", "sk secret", "\u{7f}sk-secret", "sk-secret-é"] {
            let error = find("openai", None, &[("OPENAI_API_KEY", bad)], None).expect_err("malformed");
            let shown = format!("{error} {error:?}");
            assert!(shown.contains("OPENAI_API_KEY") && !shown.contains("secret"), "{shown}");
        }
    }

    #[test]
    fn no_key_says_what_to_set_and_a_key_shows_only_its_source() {
        assert_eq!(
            missing("anthropic", None).to_string(),
            "there is no key for anthropic: set ANTHROPIC_API_KEY, or store one with 'stratos keys set anthropic'"
        );
        let key = find("openai", None, &[("OPENAI_API_KEY", "sk-secret")], None).expect("reads").expect("set");
        assert_eq!(format!("{key:?}"), "Key(from OPENAI_API_KEY)");
    }
}
