//! Files of judgements in foreign shapes: score rows, chat rows, earlier training files.
//!
//! Owns telling the shapes apart by their content and taking a row to pieces: who judged, which texts or ids it names,
//! what it says. Does not decide what can be taught from (`labels`), nor which stored reader or article is meant
//! (`identity`).

use serde_json::{Map, Value};

use crate::domain::{Digest, LabelBody, LabelKind};

/// The article as a chat turn writes it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Turn {
    pub title: String,
    pub content: String,
    pub source: String,
    pub category: String,
    pub keywords: String,
}

/// A row taken to pieces.
#[derive(Debug, Clone, PartialEq)]
pub struct RawRow {
    pub line: usize,
    pub kind: LabelKind,
    /// Who judged, where the row says so.
    pub annotator: Option<String>,
    pub article_id: Option<String>,
    pub profile_id: Option<String>,
    /// The prompt that describes the reader; empty where the row has none.
    pub system: String,
    pub turn: Option<Turn>,
    pub body: LabelBody,
}

impl RawRow {
    /// A row of which nothing but a defect is known.
    pub fn broken(line: usize, kind: LabelKind, defect: impl Into<String>) -> Self {
        let body = LabelBody { defect: Some(defect.into()), ..LabelBody::default() };
        Self { line, kind, annotator: None, article_id: None, profile_id: None, system: String::new(), turn: None, body }
    }

    /// Names its pair by ids, not by texts alone.
    pub fn has_ids(&self) -> bool {
        self.article_id.is_some() && self.profile_id.is_some()
    }
}

/// Why a row is none of the shapes, in words an operator can act on.
pub const SHAPES: &str = "it is neither a score row (article_id, profile_id, score) nor a chat row (messages, conversations) \
                          nor a prompt with its completion";

/// Takes one row to pieces; `Err`: it has none of the shapes.
pub fn read_row(line: usize, value: &Value) -> Result<RawRow, &'static str> {
    let fields = value.as_object().ok_or(SHAPES)?;
    let chat = messages(fields);
    let ids = (id(fields, &["article_id", "article"]), id(fields, &["profile_id", "profile", "reader_id"]));
    let Some(chat) = chat else {
        if ids.0.is_none() && ids.1.is_none() || !fields.contains_key("score") {
            return Err(SHAPES);
        }
        return Ok(score_row(line, fields, ids));
    };
    let kind = if ids.0.is_some() || fields.contains_key("completion") { LabelKind::Training } else { LabelKind::Chat };
    let mut body = read_answer(&chat.assistant);
    if chat.turns > 1 {
        body.defect = Some("several answers in one row".into());
    }
    facts(fields, &mut body);
    if body.prompt_digest.is_none() && !chat.system.is_empty() {
        body.prompt_digest = Some(Digest::of_json(&(&chat.system, &chat.user)));
    }
    Ok(RawRow {
        line,
        kind,
        annotator: text(fields, &["annotator"]),
        article_id: ids.0,
        profile_id: ids.1,
        turn: read_turn(&chat.user),
        system: chat.system,
        body,
    })
}

fn score_row(line: usize, fields: &Map<String, Value>, (article_id, profile_id): (Option<String>, Option<String>)) -> RawRow {
    let mut body = LabelBody {
        score: fields.get("score").and_then(number),
        reason: text(fields, &["reason", "rationale"]).unwrap_or_default(),
        think: text(fields, &["think", "reasoning"]).unwrap_or_default(),
        ..LabelBody::default()
    };
    if body.score.is_none() {
        body.defect = Some("the score is not a number".into());
    } else if article_id.is_none() || profile_id.is_none() {
        body.defect = Some("an id is missing".into());
    }
    facts(fields, &mut body);
    let annotator = text(fields, &["annotator", "teacher"]);
    RawRow { line, kind: LabelKind::Scores, annotator, article_id, profile_id, system: String::new(), turn: None, body }
}

/// What a row says of where its judgement came from.
fn facts(fields: &Map<String, Value>, body: &mut LabelBody) {
    body.model = text(fields, &["model"]);
    body.calibrated_by = text(fields, &["calibrated_by", "calibrator"]);
    body.prompt_digest = text(fields, &["prompt_digest"]).map(Digest::from_hex);
}

fn text(fields: &Map<String, Value>, names: &[&str]) -> Option<String> {
    let found = names.iter().find_map(|name| fields.get(*name).and_then(Value::as_str));
    found.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
}

fn id(fields: &Map<String, Value>, names: &[&str]) -> Option<String> {
    names.iter().find_map(|name| match fields.get(*name) {
        Some(Value::String(text)) if !text.trim().is_empty() => Some(text.trim().to_owned()),
        Some(Value::Number(number)) => Some(number.to_string()),
        _ => None,
    })
}

/// A number, or a text that is one.
fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
    .filter(|score: &f64| score.is_finite())
}

/// The three voices of one row.
#[derive(Default)]
struct Chat {
    system: String,
    user: String,
    assistant: String,
    /// Answers in it.
    turns: usize,
}

/// `messages`, `conversations` as `ShareGPT` writes them, or `prompt` and `completion`, each as text or as messages.
fn messages(fields: &Map<String, Value>) -> Option<Chat> {
    let mut chat = Chat::default();
    for list in ["messages", "conversations"] {
        if let Some(items) = fields.get(list).and_then(Value::as_array) {
            chat.take(items);
            return Some(chat);
        }
    }
    let (prompt, completion) = (fields.get("prompt")?, fields.get("completion")?);
    match prompt {
        Value::Array(items) => chat.take(items),
        Value::String(text) => {
            let at = turn_start(text);
            text[..at].trim().clone_into(&mut chat.system);
            text[at..].trim().clone_into(&mut chat.user);
        }
        _ => return None,
    }
    match completion {
        Value::Array(items) => chat.take(items),
        Value::String(text) => {
            chat.assistant.clone_from(text);
            chat.turns += 1;
        }
        _ => return None,
    }
    Some(chat)
}

impl Chat {
    fn take(&mut self, items: &[Value]) {
        for item in items {
            let get =
                |names: [&str; 2]| names.iter().find_map(|name| item.get(*name).and_then(Value::as_str)).unwrap_or_default();
            let content = get(["content", "value"]);
            match get(["role", "from"]) {
                "system" => content.clone_into(&mut self.system),
                "user" | "human" => content.clone_into(&mut self.user),
                "assistant" | "gpt" => {
                    content.clone_into(&mut self.assistant);
                    self.turns += 1;
                }
                _ => {}
            }
        }
    }
}

const TURN_LABELS: [&str; 5] = ["Score this article", "Category:", "Keywords:", "Source:", "Title:"];

/// Where in a prompt of one text the article begins; its end where it does not.
fn turn_start(prompt: &str) -> usize {
    let mut at = 0;
    for line in prompt.split_inclusive('\n') {
        if TURN_LABELS.iter().any(|label| line.trim_start().starts_with(label)) {
            return at;
        }
        at += line.len();
    }
    prompt.len()
}

/// The article of a user turn: labelled lines, then the text. `None`: it has no title.
pub fn read_turn(user: &str) -> Option<Turn> {
    let mut turn = Turn::default();
    let mut lines = user.lines();
    while let Some(line) = lines.next() {
        let labelled = line.split_once(':').map(|(label, rest)| (label.trim(), rest.trim()));
        match labelled {
            Some(("Title", rest)) => {
                rest.clone_into(&mut turn.title);
                let rest: Vec<&str> = lines.collect();
                let text = rest.join("\n");
                let text = text.trim();
                text.strip_prefix("Content:").unwrap_or(text).trim().clone_into(&mut turn.content);
                break;
            }
            Some(("Category", rest)) => rest.clone_into(&mut turn.category),
            Some(("Keywords", rest)) => rest.clone_into(&mut turn.keywords),
            // Our own prompts write "Source: NAME (type)".
            Some(("Source", rest)) => rest.rsplit_once(" (").map_or(rest, |(name, _)| name).clone_into(&mut turn.source),
            _ => {}
        }
    }
    (!turn.title.is_empty()).then_some(turn)
}

/// What an answer says, and why it cannot be read as one judgement if it cannot.
pub fn read_answer(text: &str) -> LabelBody {
    let mut body = LabelBody::default();
    let (opened, closed) = (text.matches("<think>").count(), text.matches("</think>").count());
    let mut rest = text.trim();
    if opened > 1 || closed > 1 {
        body.defect = Some("several think blocks".into());
        rest = rest.rsplit("</think>").next().unwrap_or_default();
    } else if opened == 1 && closed == 0 {
        body.defect = Some("the think block is not closed".into());
        rest = "";
    } else if let Some((think, after)) = rest.split_once("</think>") {
        let (before, think) = think.split_once("<think>").unwrap_or(("", think));
        if !before.trim().is_empty() {
            body.defect = Some("text before the think block".into());
        }
        think.trim().clone_into(&mut body.think);
        rest = after;
    }
    let lines = rest.matches("SCORE:").count();
    let Some((before, after)) = rest.split_once("SCORE:") else {
        body.defect.get_or_insert_with(|| "no score line".into());
        return body;
    };
    let (number, reason) = after.split_once('|').unwrap_or((after.lines().next().unwrap_or_default(), ""));
    body.score = number.trim().parse().ok().filter(|score: &f64| score.is_finite());
    let reason = reason.trim();
    reason.strip_prefix("REASON:").unwrap_or(reason).trim().clone_into(&mut body.reason);
    let defect = if lines > 1 {
        "several scores in one answer"
    } else if body.score.is_none() {
        "the score is not a number"
    } else if !before.trim().is_empty() {
        "text before the score line"
    } else if body.reason.is_empty() {
        "no reason"
    } else if body.reason.contains('\n') {
        "text after the score line"
    } else {
        return body;
    };
    body.defect.get_or_insert_with(|| defect.into());
    body
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn each_shape_is_told_by_its_content() {
        let answer = "<think>\nPROFILE: x\n</think>\nSCORE: 7.5 | REASON: It fits.";
        let user = "Score this article:\nCategory: research\nKeywords: a, b\nTitle: A title\nContent: Some\ntext";
        let chat = json!([{"role": "system", "content": "You are"}, {"role": "user", "content": user}, {"role": "assistant", "content": answer}]);
        let share =
            json!([{"from": "system", "value": "You are"}, {"from": "human", "value": user}, {"from": "gpt", "value": answer}]);
        let rows = [
            (
                json!({"article_id": "a", "profile_id": "p", "score": 7.5, "reason": "It fits.", "annotator": "x"}),
                LabelKind::Scores,
            ),
            (json!({"messages": chat}), LabelKind::Chat),
            (json!({"conversations": share}), LabelKind::Chat),
            (json!({"messages": chat, "article_id": "a", "profile_id": "p"}), LabelKind::Training),
            (json!({"prompt": format!("You are\n\n{user}"), "completion": answer}), LabelKind::Training),
            (json!({"prompt": chat.as_array().expect("list")[..2], "completion": [chat[2]]}), LabelKind::Training),
        ];
        for (value, kind) in rows {
            let row = read_row(1, &value).expect("a shape");
            assert_eq!((row.kind, row.body.score, row.body.defect.as_deref()), (kind, Some(7.5), None), "{value}");
            assert_eq!(row.body.reason, "It fits.");
            if kind != LabelKind::Scores {
                let turn = row.turn.expect("a turn");
                assert_eq!(
                    (turn.title.as_str(), turn.content.as_str(), turn.category.as_str()),
                    ("A title", "Some\ntext", "research")
                );
                assert_eq!((row.system.as_str(), row.body.think.as_str()), ("You are", "PROFILE: x"));
            }
        }
        for odd in [json!([1]), json!({"text": "x"}), json!({"article_id": "a", "profile_id": "p"}), json!(3)] {
            assert!(read_row(1, &odd).is_err(), "{odd}");
        }
    }

    #[test]
    fn our_own_prompt_reads_back_without_the_kind_of_its_source() {
        let turn = read_turn("Source: Gulf Wire (news)\nTitle: A title: with a colon\nThe text.\nMore.").expect("a turn");
        assert_eq!(
            (turn.source.as_str(), turn.title.as_str(), turn.content.as_str()),
            ("Gulf Wire", "A title: with a colon", "The text.\nMore.")
        );
        assert_eq!(read_turn("Nothing here"), None);
    }

    #[test]
    fn every_dirty_answer_has_its_reason() {
        let cases = [
            ("<think>a</think><think>b</think>SCORE: 1.0 | REASON: x", "several think blocks"),
            ("<think>a", "the think block is not closed"),
            ("hm <think>a</think>SCORE: 1.0 | REASON: x", "text before the think block"),
            ("<think>a</think> I say so.", "no score line"),
            ("SCORE: high | REASON: x", "the score is not a number"),
            ("SCORE: nan | REASON: x", "the score is not a number"),
            ("SCORE: 1.0", "no reason"),
            ("SCORE: 1.0 | REASON: x\nSCORE: 2.0 | REASON: y", "several scores in one answer"),
            ("SCORE: 1.0 | REASON: x\nand so on", "text after the score line"),
            ("Well. SCORE: 1.0 | REASON: x", "text before the score line"),
        ];
        for (text, defect) in cases {
            assert_eq!(read_answer(text).defect.as_deref(), Some(defect), "{text}");
        }
        let fine = read_answer("a</think>\nSCORE: 10.0 | REASON: x | y.");
        assert_eq!((fine.think.as_str(), fine.score, fine.reason.as_str(), fine.defect), ("a", Some(10.0), "x | y.", None));
    }

    proptest::proptest! {
        #[test]
        fn no_text_whatsoever_panics(text in ".{0,200}", tags in "(<think>|</think>|SCORE:|REASON:|Title:|\\||\n|x){0,12}") {
            for t in [&text, &tags] {
                let _ = read_answer(t);
                let _ = read_turn(t);
                let _ = read_row(1, &json!({"prompt": t, "completion": t}));
            }
        }
    }
}
