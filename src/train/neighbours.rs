//! Model servers next door: who else holds the memory that a training run needs.
//!
//! Owns finding and naming them, and asking Ollama to unload a model once the operator has consented. Never ends a
//! process, and never asks anything of a server without the caller's url.

use std::collections::BTreeMap;
use std::time::Duration;

use reqwest::{Client, RequestBuilder, Url};
use serde::Deserialize;
use serde_json::json;
use sysinfo::{ProcessRefreshKind, ProcessesToUpdate, System};
use thiserror::Error;

use crate::domain::{Digest, Finding, one_line};
use crate::net::install_crypto;

pub const OLLAMA_URL: &str = "http://127.0.0.1:11434";
/// A server on this machine answers at once or not at all.
const ASK: Duration = Duration::from_secs(2);
/// Unloading waits for what is being answered.
const UNLOAD: Duration = Duration::from_secs(30);
const SERVERS: [&str; 3] = ["ollama", "llama-server", "vllm"];
const LARGEST_REPLY: usize = 1 << 20;

#[derive(Debug, Error)]
pub enum NeighbourError {
    #[error("'{shown}' is not the address of an Ollama server; use one such as {OLLAMA_URL}")]
    Url { shown: String },
    #[error("{url}: '{model}' was not unloaded: {why}; unload it there with 'ollama stop {model}'")]
    Unload { url: String, model: String, why: String },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerProcess {
    pub pid: u32,
    pub name: String,
}

/// A model that Ollama keeps loaded.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct LoadedModel {
    pub name: String,
    #[serde(default)]
    pub size_vram: u64,
}

/// Who was found at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Neighbours {
    pub processes: Vec<ServerProcess>,
    /// The url that was asked, and its loaded models.
    pub ollama: String,
    pub models: Vec<LoadedModel>,
}

/// The operator's word that the models shown to them may be unloaded. Made by [`Neighbours::consent`] alone, for just these
/// models, and used up by [`unload`].
#[derive(Debug)]
pub struct Consent {
    ollama: String,
    models: Vec<String>,
}

/// Looks for model servers on this machine, and asks the Ollama at `url` what it holds.
pub fn find(url: &str) -> Result<Neighbours, NeighbourError> {
    let base = base(url)?;
    let models = block_on(loaded(&base)).unwrap_or_default();
    Ok(Neighbours { processes: processes(), ollama: base.to_string(), models })
}

impl Neighbours {
    /// What the operator is told before training begins (guard T20).
    pub fn finding(&self) -> Finding {
        let mib = |bytes: u64| bytes.div_ceil(1 << 20);
        let held: Vec<&LoadedModel> = self.models.iter().filter(|m| m.size_vram > 0).collect();
        if !held.is_empty() {
            let names: Vec<String> =
                held.iter().map(|m| format!("{} ({} MiB)", one_line(&m.name, 60), mib(m.size_vram))).collect();
            let all = mib(held.iter().map(|m| m.size_vram).sum());
            let saw = format!("Ollama at {} holds {all} MiB of the GPU's memory: {}", self.ollama, names.join(", "));
            return Finding::fail(
                "T20",
                saw,
                "Unload the models with 'stratos models unload' (they come back when asked), or train later.",
            );
        }
        let others: Vec<String> = self.processes.iter().map(|p| format!("{} (process {})", p.name, p.pid)).collect();
        let others = others.join(", ");
        let unknown = self.processes.iter().any(|p| p.name != "ollama");
        if unknown {
            let saw = format!("a model server runs here and may hold the GPU's memory: {others}");
            return Finding::fail("T20", saw, "Stop it where it was started, or train if the memory suffices.");
        }
        let saw = if others.is_empty() { "no model server runs here".into() } else { format!("{others} holds no GPU memory") };
        Finding::pass("T20", saw)
    }

    /// Identity of what was shown, for the question that the operator confirms.
    pub fn digest(&self) -> Digest {
        let names: BTreeMap<&str, u64> = self.models.iter().map(|m| (m.name.as_str(), m.size_vram)).collect();
        Digest::of_json(&(&self.ollama, names))
    }

    /// Consent to unload these models; none if what was confirmed is not what is here.
    pub fn consent(&self, confirmed: &Digest) -> Option<Consent> {
        let models: Vec<String> = self.models.iter().map(|m| m.name.clone()).collect();
        (*confirmed == self.digest() && !models.is_empty()).then(|| Consent { ollama: self.ollama.clone(), models })
    }
}

/// Asks Ollama to let go of the models that were consented to; returns their names.
pub fn unload(consent: Consent) -> Result<Vec<String>, NeighbourError> {
    let base = base(&consent.ollama)?;
    for model in &consent.models {
        let fail = |why: String| NeighbourError::Unload { url: base.to_string(), model: one_line(model, 60), why };
        let body = json!({"model": model, "keep_alive": 0}).to_string();
        let post = async {
            let request = client()?.post(join(&base, "api/generate")).header("content-type", "application/json").body(body);
            reply(request, UNLOAD).await
        };
        block_on(post).map_err(fail)?;
    }
    Ok(consent.models)
}

fn processes() -> Vec<ServerProcess> {
    let mut system = System::new();
    // The command line is needed: vllm runs under the name of its interpreter.
    let kind = ProcessRefreshKind::nothing().with_cmd(sysinfo::UpdateKind::Always).without_tasks();
    system.refresh_processes_specifics(ProcessesToUpdate::All, true, kind);
    let of = |process: &sysinfo::Process| {
        let words = process.cmd().iter().take(3).map(|word| word.to_string_lossy());
        let command: Vec<String> = words.map(std::borrow::Cow::into_owned).collect();
        server_name(&process.name().to_string_lossy(), &command)
    };
    let mut found: Vec<ServerProcess> = system
        .processes()
        .iter()
        .filter_map(|(pid, process)| Some(ServerProcess { pid: pid.as_u32(), name: of(process)?.to_owned() }))
        .collect();
    found.sort_by(|a, b| a.name.cmp(&b.name).then(a.pid.cmp(&b.pid)));
    found
}

/// The server that a process is, by its name or the program it interprets.
fn server_name(name: &str, command: &[String]) -> Option<&'static str> {
    let stem = |text: &str| {
        let last = text.rsplit(['/', '\\']).next().unwrap_or_default().to_ascii_lowercase();
        last.trim_end_matches(".exe").to_owned()
    };
    let interpreted = stem(name).starts_with("python");
    let is_server = |server: &&str| {
        let module = |word: &String| stem(word) == **server || word.starts_with(&format!("{server}."));
        stem(name) == **server || (interpreted && command.iter().skip(1).any(module))
    };
    SERVERS.iter().find(|server| is_server(server)).copied()
}

fn base(url: &str) -> Result<Url, NeighbourError> {
    let refuse = || NeighbourError::Url { shown: one_line(url.rsplit('@').next().unwrap_or_default(), 80) };
    let parsed = Url::parse(url).map_err(|_| refuse())?;
    let plain = parsed.username().is_empty() && parsed.password().is_none() && parsed.query().is_none();
    if parsed.host_str().is_none() || !["http", "https"].contains(&parsed.scheme()) || !plain {
        return Err(refuse());
    }
    Ok(parsed)
}

fn join(base: &Url, path: &str) -> String {
    format!("{}/{path}", base.as_str().trim_end_matches('/'))
}

#[derive(Deserialize)]
struct Loaded {
    #[serde(default)]
    models: Vec<LoadedModel>,
}

async fn loaded(base: &Url) -> Result<Vec<LoadedModel>, String> {
    let body = reply(client()?.get(join(base, "api/ps")), ASK).await?;
    let loaded: Loaded = serde_json::from_slice(&body).map_err(|e| e.to_string())?;
    Ok(loaded.models)
}

async fn reply(request: RequestBuilder, wait: Duration) -> Result<Vec<u8>, String> {
    let mut response = request.timeout(wait).send().await.map_err(|e| e.without_url().to_string())?;
    if !response.status().is_success() {
        return Err(format!("the reply was {}", response.status()));
    }
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|e| e.without_url().to_string())? {
        body.extend_from_slice(&chunk);
        if body.len() > LARGEST_REPLY {
            return Err("the reply is too long".into());
        }
    }
    Ok(body)
}

fn client() -> Result<Client, String> {
    install_crypto();
    let built = Client::builder().redirect(reqwest::redirect::Policy::none()).connect_timeout(ASK).no_proxy();
    built.build().map_err(|e| e.to_string())
}

fn block_on<T>(work: impl Future<Output = Result<T, String>>) -> Result<T, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|e| e.to_string())?;
    runtime.block_on(work)
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;
    use std::sync::mpsc::{Receiver, channel};

    use super::*;

    /// An Ollama that gives one reply to each request and tells what it was asked.
    fn stub(status: u16, body: &'static str) -> (String, Receiver<String>) {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        let (sender, asked) = channel();
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let (mut text, mut buffer) = (String::new(), [0; 4096]);
                while !is_whole(&text) {
                    let n = stream.read(&mut buffer).expect("reads");
                    text.push_str(&String::from_utf8_lossy(&buffer[..n]));
                }
                let reply = format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len());
                stream.write_all(reply.as_bytes()).expect("writes");
                if sender.send(text).is_err() {
                    return;
                }
            }
        });
        (url, asked)
    }

    fn is_whole(request: &str) -> bool {
        let Some((head, body)) = request.split_once("\r\n\r\n") else { return false };
        let lower = head.to_ascii_lowercase();
        let length = lower.split("content-length: ").nth(1).and_then(|t| t.split("\r\n").next()?.parse().ok()).unwrap_or(0);
        body.len() >= length
    }

    const TWO: &str = r#"{"models":[{"name":"qwen3:8b","size":9,"size_vram":6442450944},{"name":"small","size_vram":1048576}]}"#;

    fn alone(mut neighbours: Neighbours) -> Neighbours {
        // The machine that runs the tests may run a server of its own.
        neighbours.processes.clear();
        neighbours
    }

    #[test]
    fn models_that_hold_the_gpus_memory_are_named() {
        let (url, asked) = stub(200, TWO);
        let finding = alone(find(&url).expect("asks")).finding();
        assert!(asked.recv().expect("asked").starts_with("GET /api/ps "));
        assert!(
            finding.failed() && finding.saw.contains("6145 MiB") && finding.saw.contains("qwen3:8b (6144 MiB)"),
            "{finding:?}"
        );
    }

    #[test]
    fn a_server_that_holds_nothing_or_is_not_there_is_no_fault() {
        let (empty, _asked) = stub(200, r#"{"models":[]}"#);
        let (odd, _asked2) = stub(500, "oops");
        let free = TcpListener::bind(("127.0.0.1", 0)).and_then(|l| l.local_addr()).expect("a port");
        for url in [empty, odd, format!("http://{free}")] {
            assert!(!alone(find(&url).expect("asks")).finding().failed(), "{url}");
        }
    }

    #[test]
    fn models_are_unloaded_only_with_consent_to_what_was_shown() {
        let (url, asked) = stub(200, TWO);
        let shown = find(&url).expect("asks");
        asked.recv().expect("asked");
        assert!(shown.consent(&Digest::of("something else")).is_none());
        let consent = shown.consent(&shown.digest()).expect("the same");
        assert_eq!(unload(consent).expect("unloads"), ["qwen3:8b", "small"]);
        let request = asked.recv().expect("asked");
        assert!(
            request.starts_with("POST /api/generate ") && request.ends_with(r#"{"model":"qwen3:8b","keep_alive":0}"#),
            "{request}"
        );
        let nothing = Neighbours { models: Vec::new(), ..shown };
        assert!(nothing.consent(&nothing.digest()).is_none());
    }

    #[test]
    fn a_model_that_stays_is_named_with_the_way_to_end_it() {
        let (url, _asked) = stub(404, "no");
        let models = vec![LoadedModel { name: "small".into(), size_vram: 1 }];
        let shown = Neighbours { processes: Vec::new(), ollama: url, models };
        let error = unload(shown.consent(&shown.digest()).expect("the same")).expect_err("refused").to_string();
        assert!(error.contains("ollama stop small") && error.contains("404"), "{error}");
    }

    #[test]
    fn servers_are_known_by_name_or_by_what_python_runs() {
        let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let table = [
            ("ollama", "ollama serve", Some("ollama")),
            ("llama-server", "/opt/llama-server -m x", Some("llama-server")),
            ("python3", "python3 -m vllm.entrypoints.openai.api_server", Some("vllm")),
            ("python3.11", "python3 /usr/bin/vllm serve", Some("vllm")),
            ("vim", "vim ollama", None),
            ("python3", "python3 notes-on-ollama.py", None),
        ];
        for (name, command, wanted) in table {
            assert_eq!(server_name(name, &words(command)), wanted, "{command}");
        }
    }

    #[test]
    fn another_server_is_reported_and_an_odd_address_refused() {
        let process = |name: &str| ServerProcess { pid: 7, name: name.into() };
        let with = |name| Neighbours { processes: vec![process(name)], ollama: OLLAMA_URL.into(), models: Vec::new() };
        assert!(with("vllm").finding().saw.contains("vllm (process 7)") && with("vllm").finding().failed());
        assert!(!with("ollama").finding().failed());
        for url in ["ftp://x", "nonsense", "http://me:secret@127.0.0.1"] {
            let error = find(url).expect_err(url).to_string();
            assert!(error.contains(OLLAMA_URL) && !error.contains("secret"), "{error}");
        }
    }
}
