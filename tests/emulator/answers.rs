//! What the emulated models say: a judgement drawn from the hash of the prompt, as text or as JSON, and the mix of bad answers.
//! Knows no protocol; every dialect turns its request into an [`Ask`] and this module's [`Said`] into its reply.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// Shares of answers that are not good ones, drawn by (seed, custom id): another attempt, with another id, draws anew.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct AnswerMix {
    /// Cut by the token limit.
    pub truncated: f64,
    /// Stopped as a refusal, with no content.
    pub refused: f64,
    /// A pleasant sentence without a score.
    pub malformed: f64,
    /// "SCORE: 5.0".
    pub forbidden: f64,
    /// Failed at the provider; not billed.
    pub errored: f64,
    /// Not reached within the batch's time; not billed.
    pub expired: f64,
}

/// A request, whatever dialect it came in.
#[derive(Debug, Clone, Default)]
pub struct Ask {
    pub model: String,
    pub system: String,
    pub user: String,
    pub max_tokens: Option<u64>,
    /// The JSON schema the answer must follow.
    pub schema: Option<Value>,
    /// Text that the request marks as cacheable, and for how many seconds; `None`: not marked.
    pub prefix: Option<(String, i64)>,
}

impl Ask {
    /// sha256 of system and user text, one after the other.
    pub fn digest(&self) -> String {
        hex(&Sha256::new().chain_update(self.system.as_bytes()).chain_update(self.user.as_bytes()).finalize())
    }

    /// What its text counts for.
    pub fn tokens(&self) -> u64 {
        tokens(self.system.len() + self.user.len())
    }

    /// The article's title line, or nothing.
    pub fn title(&self) -> String {
        line(&self.user, "Title: ").or_else(|| line(&self.system, "Title: ")).unwrap_or_default()
    }

    /// The reader: role and location.
    pub fn reader(&self) -> String {
        let of = |key| line(&self.system, key).or_else(|| line(&self.user, key)).unwrap_or_default();
        format!("Role: {}\nLocation: {}", of("Role: "), of("Location: "))
    }
}

/// Why an answer stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stop {
    End,
    Length,
    Refusal,
}

/// What a model said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Said {
    pub text: String,
    pub stop: Stop,
    pub output: u64,
}

/// How one request ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Fate {
    Said(Said),
    Errored,
    Expired,
}

pub fn tokens(bytes: usize) -> u64 {
    bytes.div_ceil(4) as u64
}

pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut out, b| {
        let _ = write!(out, "{b:02x}");
        out
    })
}

/// A number drawn from a seed and some words.
pub fn draw(seed: u64, words: &[&str]) -> u64 {
    let mut hash = Sha256::new().chain_update(seed.to_le_bytes());
    for word in words {
        hash = hash.chain_update((word.len() as u64).to_le_bytes()).chain_update(word.as_bytes());
    }
    let digest = hash.finalize();
    digest.iter().take(8).fold(0, |n, b| (n << 8) | u64::from(*b))
}

/// A share in [0, 1) drawn from a seed and some words.
pub fn share(seed: u64, words: &[&str]) -> f64 {
    (draw(seed, words) >> 11) as f64 / (1_u64 << 53) as f64
}

fn line(text: &str, key: &str) -> Option<String> {
    text.lines().find_map(|l| l.strip_prefix(key)).map(|l| l.trim().to_owned())
}

/// How the request with this custom id ends.
pub fn fate(seed: u64, mix: &AnswerMix, custom_id: &str, ask: &Ask) -> Fate {
    let good = good(seed, ask);
    let limit = ask.max_tokens.unwrap_or(u64::MAX);
    let restated = ask.system.contains(RESTATED) || ask.user.contains(RESTATED);
    if restated || ask.max_tokens.is_some_and(|m| m > 1000) {
        return Fate::Said(capped(good, limit));
    }
    let mut at = share(seed, &["mix", custom_id]);
    let mut falls_in = |width: f64| {
        at -= width;
        at < 0.0 && at >= -width && width > 0.0
    };
    if falls_in(mix.errored) {
        return Fate::Errored;
    }
    if falls_in(mix.expired) {
        return Fate::Expired;
    }
    if falls_in(mix.refused) {
        return Fate::Said(Said { text: String::new(), stop: Stop::Refusal, output: 3 });
    }
    if falls_in(mix.truncated) {
        return Fate::Said(cut(&good, limit));
    }
    if falls_in(mix.malformed) {
        return Fate::Said(capped(
            "I am glad to help. This article looks rather interesting for this reader, I would say.".into(),
            limit,
        ));
    }
    if falls_in(mix.forbidden) {
        return Fate::Said(capped(
            if ask.schema.is_some() { judged(seed, ask, Some(5.0)) } else { written(seed, ask, Some(5.0)) },
            limit,
        ));
    }
    Fate::Said(capped(good, limit))
}

const RESTATED: &str = "previous answer was not usable";

fn capped(text: String, limit: u64) -> Said {
    let output = tokens(text.len());
    if output > limit { cut(&text, limit) } else { Said { text, stop: Stop::End, output } }
}

/// Half of an answer, stopped by the limit.
fn cut(text: &str, limit: u64) -> Said {
    let half: String = text.chars().take(text.chars().count() / 2).collect();
    let output = if limit == u64::MAX { tokens(half.len()) } else { limit };
    Said { text: half, stop: Stop::Length, output }
}

fn good(seed: u64, ask: &Ask) -> String {
    match &ask.schema {
        Some(schema) if has_property(schema, "articles") => articles(seed, ask),
        Some(_) => judged(seed, ask, None),
        None => written(seed, ask, None),
    }
}

fn has_property(schema: &Value, name: &str) -> bool {
    schema.get("properties").and_then(|p| p.get(name)).is_some()
}

/// A judgement in fields.
struct Judgement {
    profile: String,
    recognise: String,
    signals: Vec<(&'static str, &'static str, String)>,
    strongest: String,
    verdict: String,
    score: f64,
    reason: String,
}

const KINDS: [&str; 7] = ["ENTITY", "ROLE", "PLACE", "INTEREST", "ACTION", "TIMING", "SOURCE"];

const FILLER: [&str; 8] = [
    "The facts named in the text were weighed one by one against what this reader follows and can act on today.",
    "Nothing in the summary contradicts the headline, and the wording leaves little room for another reading of it.",
    "A neighbouring field would read the same lines with other eyes, which is why the profile decides and not the event.",
    "The distance between the event and the reader was considered, as were the dates that the article itself gives.",
    "Weak hints were noted but not added up, since several of them together still do not make a strong one.",
    "An official statement would carry more than a comment, and the kind of source was therefore taken into account.",
    "What the reader could do about it within the coming weeks was asked before how large the news is in itself.",
    "The same article would deserve another score for somebody with another trade, another town or another purpose.",
];

/// The score and the words, drawn from the prompt.
fn judgement(seed: u64, ask: &Ask, forced: Option<f64>) -> Judgement {
    let digest = ask.digest();
    let drawn = |what: &str| draw(seed, &[what, &digest]);
    let (low, high) = [(0, 19), (20, 49), (55, 69), (70, 89), (90, 100)][(drawn("band") % 5) as usize];
    let score = forced.unwrap_or((low + drawn("score") % (high - low + 1)) as f64 / 10.0);
    let title = Some(ask.title()).filter(|t| !t.is_empty()).unwrap_or_else(|| "this text".into());
    let short: String = title.split_whitespace().take(7).collect::<Vec<_>>().join(" ");
    let role = line(&ask.system, "Role: ").unwrap_or_else(|| "reader".into());
    let role = role.split_whitespace().take(4).collect::<Vec<_>>().join(" ");
    let place = line(&ask.system, "Location: ").unwrap_or_else(|| "nowhere in particular".into());
    let place = place.split_whitespace().take(3).collect::<Vec<_>>().join(" ");
    let kind = KINDS[(drawn("kind") % 7) as usize];
    let ending = ["at present", "this season", "as things stand", "on this evidence"][(drawn("ending") % 4) as usize];
    if score < 2.0 {
        return Judgement {
            profile: format!("{role}, {place}"),
            recognise: short.clone(),
            signals: vec![(kind, "NONE", "nothing shared".into())],
            strongest: format!("{kind}, absent here"),
            verdict: format!("does not concern this reader {ending}"),
            score,
            reason: format!("{title} offers this reader nothing to use {ending}."),
        };
    }
    let weights = if score >= 7.0 { ["STRONG", "WEAK", "WEAK"] } else { ["WEAK", "WEAK", "NONE"] };
    let first = drawn("first") as usize % 7;
    let signals = (0..3).map(|i| (KINDS[(first + 2 * i) % 7], weights[i], format!("as far as {short} says"))).collect::<Vec<_>>();
    let mut verdict =
        format!("{} for this reader {ending}", if score >= 5.5 { "a real connection" } else { "a faint connection" });
    let mut made = Judgement {
        profile: format!("{role} in {place}, who reads for what can be used at work and at home"),
        recognise: format!("{short}, from the kind of source that the article names, dated as the text says"),
        strongest: format!("{} decides, since the others only repeat it in weaker words", signals[0].0),
        signals,
        verdict: verdict.clone(),
        score,
        reason: format!(
            "{title} {} for this reader through its {} {ending}.",
            if score >= 5.5 { "matters" } else { "hardly matters" },
            kind.to_lowercase()
        ),
    };
    let goal = if score >= 9.0 { 135 } else { 95 } + (drawn("length") % 12) as usize;
    let start = drawn("filler") as usize % FILLER.len();
    for sentence in FILLER.iter().cycle().skip(start).take(FILLER.len()) {
        if think(&made).split_whitespace().count() >= goal {
            break;
        }
        verdict = format!("{}. {}", verdict.trim_end_matches('.'), sentence);
        made.verdict.clone_from(&verdict);
    }
    made
}

/// The text between the think tags, as the recipe renders it.
fn think(j: &Judgement) -> String {
    let signals: Vec<String> = j.signals.iter().map(|(kind, weight, evidence)| format!("{kind} {weight} ({evidence})")).collect();
    format!(
        "PROFILE: {}\nRECOGNISE: {}\nSIGNALS: {}\nSTRONGEST: {}\nMATCH: {}",
        j.profile,
        j.recognise,
        signals.join("; "),
        j.strongest,
        j.verdict
    )
}

fn written(seed: u64, ask: &Ask, forced: Option<f64>) -> String {
    let j = judgement(seed, ask, forced);
    format!("<think>\n{}\n</think>\nSCORE: {:.1} | REASON: {}", think(&j), j.score, j.reason)
}

fn judged(seed: u64, ask: &Ask, forced: Option<f64>) -> String {
    let j = judgement(seed, ask, forced);
    let signals: Vec<Value> =
        j.signals.iter().map(|(kind, weight, evidence)| json!({"kind": kind, "evidence": evidence, "weight": weight})).collect();
    json!({"profile": j.profile, "recognise": j.recognise, "signals": signals, "strongest": j.strongest,
        "match": j.verdict, "score": j.score, "reason": j.reason})
    .to_string()
}

const WHO: [&str; 10] = [
    "Gulf Ports Authority",
    "Northern Rail",
    "the City Hospital",
    "Aster Semiconductors",
    "the Space Agency",
    "Harbour Bank",
    "the Physics Institute",
    "Delta Games",
    "the Farmers' Union",
    "Solaris Energy",
];
const DID: [&str; 10] = [
    "opens applications",
    "publishes results",
    "cuts its prices",
    "delays a launch",
    "hires engineers",
    "warns of shortages",
    "signs an agreement",
    "closes a branch",
    "tests a prototype",
    "changes its rules",
];
const KIND_OF_SOURCE: [&str; 4] = ["official", "news", "blog", "unknown"];

/// As many articles as the prompt's first whole number says, with distinct titles.
fn articles(seed: u64, ask: &Ask) -> String {
    let wanted = first_number(&ask.user).or_else(|| first_number(&ask.system)).unwrap_or(1).clamp(1, 500);
    let digest = ask.digest();
    let list: Vec<Value> = (0..wanted)
        .map(|i| {
            let n = draw(seed, &["article", &digest, &i.to_string()]) as usize;
            let (who, did) = (WHO[n % 10], DID[n / 10 % 10]);
            let edition = format!("{}-{}", &digest[..4], i + 1);
            json!({
                "title": format!("{who} {did} (notice {edition})"),
                "summary": format!("In notice {edition}, {who} {did}. The change takes effect next month and concerns those who applied before."),
                "source": format!("{who} newsroom"),
                "source_type": KIND_OF_SOURCE[n / 100 % 4],
            })
        })
        .collect();
    json!({ "articles": list }).to_string()
}

fn first_number(text: &str) -> Option<u64> {
    text.split(|c: char| !c.is_ascii_digit()).find(|t| !t.is_empty()).and_then(|t| t.parse().ok())
}
