//! Keys of paid teachers: where one comes from, storing one in the OS keyring, forgetting it. A key is read without being
//! echoed, never taken as an argument (a shell keeps those), and never shown.

use std::io::{BufRead as _, IsTerminal as _};
use std::process::ExitCode;

use clap::Subcommand;
use color_eyre::eyre::{Result, bail};

use crate::engine::keys::{Key, SecretString, forget, store};
use crate::headless::say;

#[derive(Debug, Subcommand)]
pub enum Keys {
    /// Where each provider's key comes from
    Status,
    /// Store a provider's key in the OS keyring; it is typed without being shown, or read from standard input
    Set { provider: String },
    /// Remove a provider's key from the OS keyring
    Forget { provider: String },
}

const PROVIDERS: [&str; 4] = ["anthropic", "openai", "gemini", "compatible"];

pub fn keys(act: Keys) -> Result<ExitCode> {
    match act {
        Keys::Status => {
            for provider in PROVIDERS {
                let found = match Key::find(provider, None) {
                    Ok(Some(key)) => format!("from {}", key.source()),
                    Ok(None) => "none".into(),
                    Err(error) => error.to_string(),
                };
                say(&format!("{provider:<12} {found}"));
            }
            Ok(ExitCode::SUCCESS)
        }
        Keys::Set { provider } => {
            let provider = known(&provider)?;
            let secret = typed(provider)?;
            store(provider, &secret)?;
            say(&format!("the key for {provider} is in the keyring"));
            Ok(ExitCode::SUCCESS)
        }
        Keys::Forget { provider } => {
            let provider = known(&provider)?;
            let had = forget(provider)?;
            say(&if had { format!("the key for {provider} is forgotten") } else { format!("there was no key for {provider}") });
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn known(provider: &str) -> Result<&'static str> {
    match PROVIDERS.into_iter().find(|p| *p == provider) {
        Some(provider) => Ok(provider),
        None => bail!("there is no provider of that name with a key; use one of {}", PROVIDERS.join(", ")),
    }
}

fn typed(provider: &str) -> Result<SecretString> {
    let stdin = std::io::stdin();
    let text = if stdin.is_terminal() {
        rpassword::prompt_password(format!("key for {provider} (not shown): "))?
    } else {
        let mut line = String::new();
        stdin.lock().read_line(&mut line)?;
        line
    };
    let text = text.trim().to_owned();
    if text.is_empty() {
        bail!("no key was given; nothing was stored");
    }
    Ok(SecretString::from(text))
}
