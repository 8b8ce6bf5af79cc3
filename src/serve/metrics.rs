//! Figures of the service, as Prometheus reads them. Owns counting and the text format.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::scores::{About, Answer};

/// Upper edges of a request's seconds.
const EDGES: [f64; 10] = [0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0];
/// How much of the pace is the newest answer's.
const NEWEST: f64 = 0.1;

#[derive(Debug, Default)]
pub struct Metrics(Mutex<Figures>);

#[derive(Debug, Default)]
struct Figures {
    requests: BTreeMap<u16, u64>,
    /// Requests that took at most as long as each edge.
    within: [u64; EDGES.len()],
    timed: u64,
    seconds: f64,
    /// By pass, and whether it came from the cache.
    scores: BTreeMap<(&'static str, bool), u64>,
    unread: u64,
    prompt_tokens: u64,
    tokens: u64,
    /// Seconds of an answer, lately.
    pace: Option<f64>,
    about: About,
}

/// How the service stands now.
#[derive(Debug, Clone, Copy, Default)]
pub struct Standing {
    pub waiting: usize,
    pub room: usize,
    pub connections: usize,
    pub ready: bool,
    pub draining: bool,
}

impl Metrics {
    fn figures(&self) -> MutexGuard<'_, Figures> {
        // Counting is whole even if a thread died over it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A request for scores that was answered.
    pub fn request(&self, code: u16, seconds: f64) {
        let mut figures = self.figures();
        *figures.requests.entry(code).or_default() += 1;
        figures.timed += 1;
        figures.seconds += seconds;
        for (count, edge) in figures.within.iter_mut().zip(EDGES) {
            *count += u64::from(seconds <= edge);
        }
    }

    pub fn answer(&self, answer: &Answer) {
        let mut figures = self.figures();
        *figures.scores.entry((answer.pass, answer.cached)).or_default() += 1;
        figures.unread += u64::from(answer.score.is_none());
        if !answer.cached {
            figures.prompt_tokens += answer.prompt_tokens as u64;
            figures.tokens += answer.tokens as u64;
            let pace = figures.pace.map_or(answer.seconds, |pace| pace + NEWEST * (answer.seconds - pace));
            figures.pace = Some(pace);
        }
    }

    pub fn about(&self, about: &About) {
        self.figures().about.clone_from(about);
    }

    pub fn whose(&self) -> About {
        self.figures().about.clone()
    }

    /// Seconds that so many answers will take; `None`: there was none yet.
    pub fn forecast(&self, answers: usize) -> Option<f64> {
        self.figures().pace.map(|pace| pace * answers as f64)
    }

    pub fn text(&self, standing: Standing) -> String {
        let figures = self.figures();
        let mut out = String::new();
        let mut family = |name: &str, kind: &str, help: &str, samples: &[(String, f64)]| {
            let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
            for (labels, value) in samples {
                let _ = writeln!(out, "{name}{labels} {value}");
            }
        };
        let requests: Vec<_> = figures.requests.iter().map(|(code, n)| (format!("{{code=\"{code}\"}}"), *n as f64)).collect();
        family("stratos_requests_total", "counter", "Requests for scores by status.", &requests);
        let scores =
            figures.scores.iter().map(|((pass, cached), n)| (format!("{{pass=\"{pass}\",cached=\"{cached}\"}}"), *n as f64));
        family("stratos_scores_total", "counter", "Scores that were given.", &scores.collect::<Vec<_>>());
        let plain = |value: f64| [(String::new(), value)];
        let counter = "counter";
        family("stratos_parse_failures_total", counter, "Answers without a readable score.", &plain(figures.unread as f64));
        family("stratos_prompt_tokens_total", counter, "Tokens that were read.", &plain(figures.prompt_tokens as f64));
        family("stratos_answer_tokens_total", counter, "Tokens that were written.", &plain(figures.tokens as f64));
        let gauge = "gauge";
        family("stratos_queue_depth", gauge, "Requests that wait or are answered.", &plain(standing.waiting as f64));
        family("stratos_queue_room", gauge, "Requests that may wait.", &plain(standing.room as f64));
        family("stratos_connections", gauge, "Open connections.", &plain(standing.connections as f64));
        family("stratos_ready", gauge, "1: the model is loaded.", &plain(f64::from(u8::from(standing.ready))));
        family("stratos_draining", gauge, "1: nothing new is taken.", &plain(f64::from(u8::from(standing.draining))));
        let about = &figures.about;
        let release = about.release.as_deref().unwrap_or_default();
        let labels =
            format!("{{model=\"{}\",release=\"{}\",runtime=\"{}\"}}", label(&about.model), label(release), label(&about.runtime));
        family("stratos_model_info", gauge, "Whose answers these are.", &[(labels, 1.0)]);
        let _ = writeln!(
            out,
            "# HELP stratos_request_seconds Seconds of a request for scores.\n# TYPE stratos_request_seconds histogram"
        );
        for (count, edge) in figures.within.iter().zip(EDGES) {
            let _ = writeln!(out, "stratos_request_seconds_bucket{{le=\"{edge}\"}} {count}");
        }
        let _ = writeln!(out, "stratos_request_seconds_bucket{{le=\"+Inf\"}} {}", figures.timed);
        let _ = writeln!(out, "stratos_request_seconds_sum {}\nstratos_request_seconds_count {}", figures.seconds, figures.timed);
        out
    }
}

fn label(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
