//! A chat template as Ollama says it: from the jinja of a model's files to a Go template that writes the same bytes, and the
//! proof that it does. Owns what Ollama puts into a template; the student's own rendering is `student::ChatTemplate`'s.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::ModelfileError;
use super::go::{GoError, GoTemplate, Value};
use super::go_parse::{Expr, Node};
use crate::domain::{ChatMessage, Role};
use crate::student::ChatTemplate;

/// Texts of probes: several lines, quotes, braces, markup, no white space around them.
const SYSTEM: &str = "Sy5tem «prompt»\n\n- a {{ b }} \"c\" <d>";
const USER: &str = "U5er's article:\ntitle & {% raw %} </x>";
const ANSWER: &str = "An5wer: 7.5 | REASON: it's so.";
const AGAIN: &str = "Once m0re\n\nplease?";

/// Conversations that both sides render.
pub fn probes() -> Vec<(&'static str, Vec<ChatMessage>)> {
    let (system, user) = (ChatMessage::new(Role::System, SYSTEM), ChatMessage::new(Role::User, USER));
    let (answer, again) = (ChatMessage::new(Role::Assistant, ANSWER), ChatMessage::new(Role::User, AGAIN));
    vec![
        ("a system prompt and a question", vec![system.clone(), user.clone()]),
        ("a question without a system prompt", vec![user.clone()]),
        ("a second question", vec![system.clone(), user.clone(), answer.clone(), again]),
        ("an answer that was begun", vec![system, user, answer]),
    ]
}

/// What the student reads for a conversation, without what the server writes itself at the beginning.
pub fn trained(template: &ChatTemplate, bos: Option<&str>, messages: &[ChatMessage]) -> Result<String, ModelfileError> {
    let (asked, begun) = match messages.split_last() {
        Some((last, before)) if last.role == Role::Assistant => (before, last.content.as_str()),
        _ => (messages, ""),
    };
    let text = template.render(asked, true)? + begun;
    Ok(bos.and_then(|bos| text.strip_prefix(bos)).map(str::to_owned).unwrap_or(text))
}

/// What a server with this template reads for a conversation: Ollama's way of filling templates, those that go over
/// messages and those of before that know one prompt and one response.
pub fn served(template: &GoTemplate, messages: &[ChatMessage]) -> Result<String, GoError> {
    let mentions = |name: &str| mentions(template.nodes(), name);
    let mut nodes = template.nodes().to_vec();
    let response = Node::Print(Expr::Dot(vec!["Response".into()]));
    if mentions("Messages") {
        return template.render(&conversation(messages));
    }
    if !mentions("Response") {
        nodes.push(response);
    }
    let whole = GoTemplate::of_nodes(nodes.clone());
    let (mut out, mut parts) = (String::new(), [const { String::new() }; 3]);
    for message in messages {
        let role = match message.role {
            Role::System => 0,
            Role::User => 1,
            Role::Assistant => 2,
        };
        if parts[(role + 1).min(3)..].iter().any(|p| !p.is_empty()) {
            out += &whole.render(&exchange(&std::mem::take(&mut parts)))?;
        }
        parts[role].clone_from(&message.content);
    }
    let mut cut = false;
    out += &GoTemplate::of_nodes(up_to_response(&nodes, &mut cut)).render(&exchange(&parts))?;
    Ok(out)
}

fn text(text: &str) -> Value {
    Value::Text(text.into())
}

fn map<const N: usize>(entries: [(&str, Value); N]) -> Value {
    Value::Map(Rc::new(entries.into_iter().map(|(k, v)| (k.to_owned(), v)).collect::<BTreeMap<_, _>>()))
}

fn conversation(messages: &[ChatMessage]) -> Value {
    let role = |role: Role| match role {
        Role::System => "system",
        Role::User => "user",
        Role::Assistant => "assistant",
    };
    let turn = |m: &ChatMessage| map([("Role", text(role(m.role))), ("Content", text(&m.content)), ("Thinking", text(""))]);
    let system: Vec<&str> = messages.iter().filter(|m| m.role == Role::System).map(|m| m.content.as_str()).collect();
    let turns = Value::List(messages.iter().map(turn).collect());
    map([("System", text(&system.join("\n\n"))), ("Messages", turns), ("Response", text(""))])
}

fn exchange(parts: &[String; 3]) -> Value {
    map([("System", text(&parts[0])), ("Prompt", text(&parts[1])), ("Response", text(&parts[2]))])
}

fn mentions(nodes: &[Node], name: &str) -> bool {
    let path = |path: &[String]| path.iter().any(|part| part.eq_ignore_ascii_case(name));
    nodes.iter().any(|node| match node {
        Node::Text(_) => false,
        Node::Print(expr) | Node::Set { value: expr, .. } => any(expr, &path),
        Node::If { test, then, other } | Node::With { test, then, other } => {
            any(test, &path) || mentions(then, name) || mentions(other, name)
        }
        Node::Range { over, body, other, .. } => any(over, &path) || mentions(body, name) || mentions(other, name),
    })
}

/// Whether a field of an expression is such a one.
fn any(expr: &Expr, path: &dyn Fn(&[String]) -> bool) -> bool {
    match expr {
        Expr::Literal(_) => false,
        Expr::Dot(p) | Expr::Variable(_, p) => path(p),
        Expr::Chain(inner, p) => path(p) || any(inner, path),
        Expr::Call(_, args) => args.iter().any(|arg| any(arg, path)),
    }
}

/// Nothing behind the place where the model goes on.
fn up_to_response(nodes: &[Node], cut: &mut bool) -> Vec<Node> {
    let mut kept = Vec::new();
    for node in nodes {
        if *cut {
            break;
        }
        kept.push(match node.clone() {
            Node::Print(Expr::Dot(path)) if path == ["Response"] => {
                *cut = true;
                node.clone()
            }
            Node::If { test, then, other } => {
                Node::If { test, then: up_to_response(&then, cut), other: up_to_response(&other, cut) }
            }
            Node::With { test, then, other } => {
                Node::With { test, then: up_to_response(&then, cut), other: up_to_response(&other, cut) }
            }
            Node::Range { names, over, body, other } => {
                Node::Range { names, over, body: up_to_response(&body, cut), other: up_to_response(&other, cut) }
            }
            other => other,
        });
    }
    kept
}

/// Where two renderings part: what both have, what the server would read, what the student was trained on.
pub fn difference(served: &str, trained: &str) -> Option<String> {
    if served == trained {
        return None;
    }
    let same = served.char_indices().zip(trained.chars()).find(|((_, a), b)| a != b).map(|((at, _), _)| at);
    let same = same.unwrap_or(served.len().min(trained.len()));
    let before: String = served[..same].chars().rev().take(24).collect::<Vec<_>>().into_iter().rev().collect();
    let show = |text: &str| {
        let part: String = text[same..].chars().take(32).collect();
        if part.is_empty() { "nothing".to_owned() } else { format!("{:?}", one_line_kept(&part)) }
    };
    Some(format!("after {:?} it writes {}, training wrote {}", one_line_kept(&before), show(served), show(trained)))
}

/// Control characters other than line ends taken out: what `{:?}` shows of those is telling.
fn one_line_kept(text: &str) -> String {
    text.chars().filter(|c| !c.is_control() || *c == '\n' || *c == '\t').collect()
}

/// The pieces that a family's template writes around what people say.
struct Pieces {
    without_system: String,
    system: (String, String),
    /// The system prompt stands at the beginning of the first question.
    inline: bool,
    user: (String, String),
    assistant: (String, String),
}

/// The Go template of a chat template. It is proved on every probe; what cannot be said is an error that says why.
pub fn go_template(template: &ChatTemplate, bos: Option<&str>) -> Result<String, ModelfileError> {
    let cannot = |why: String| ModelfileError::Template { why };
    let source = Pieces::of(template, bos)?.source();
    if let Some(odd) = source.chars().find(|c| c.is_control() && *c != '\n' && *c != '\t') {
        return Err(cannot(format!("it holds the control character {odd:?}, which Ollama drops")));
    }
    if source.contains("\"\"\"") {
        return Err(cannot("it holds \"\"\", which ends a text in a Modelfile".into()));
    }
    let go = GoTemplate::new(&source).map_err(|e| cannot(e.to_string()))?;
    for (what, messages) in probes() {
        let have = served(&go, &messages).map_err(|e| cannot(e.to_string()))?;
        if let Some(why) = difference(&have, &trained(template, bos, &messages)?) {
            return Err(cannot(format!("for {what}, {why}")));
        }
    }
    Ok(source)
}

/// Whether the chat template takes white space away around what people say; a Go template cannot.
pub fn trims(template: &ChatTemplate) -> Result<bool, ModelfileError> {
    let ask = |system: &str, user: &str| {
        template.render(&[ChatMessage::new(Role::System, system), ChatMessage::new(Role::User, user)], true)
    };
    Ok(ask(SYSTEM, USER)? == ask(&format!("{SYSTEM}\n "), &format!(" \n{USER}\n"))?)
}

impl Pieces {
    /// Found by rendering: what stands before, between and after the probes' texts.
    fn of(template: &ChatTemplate, bos: Option<&str>) -> Result<Self, ModelfileError> {
        let all = probes();
        let (asked, open) = (&all[0].1, &all[1].1);
        let render = |messages: &[ChatMessage], ask: bool| -> Result<String, ModelfileError> {
            let text = template.render(messages, ask)?;
            Ok(bos.and_then(|bos| text.strip_prefix(bos)).map(str::to_owned).unwrap_or(text))
        };
        let odd = |what: &str| ModelfileError::Template { why: format!("{what} is not where one message follows the other") };
        let split = |text: &str, at: &str, what: &str| {
            text.split_once(at).map(|(a, b)| (a.to_owned(), b.to_owned())).ok_or_else(|| odd(what))
        };
        let (before_system, rest) = split(&render(asked, true)?, SYSTEM, "the system prompt")?;
        let (between, tail) = split(&rest, USER, "the question")?;
        let (_, user_end) = split(&render(asked, false)?, USER, "the question")?;
        let opening = tail.strip_prefix(user_end.as_str()).ok_or_else(|| odd("the beginning of an answer"))?.to_owned();
        let (_, answered) = split(&render(&all[3].1, false)?, ANSWER, "the answer")?;
        let (_, second) = split(&render(&all[2].1, true)?, ANSWER, "the answer")?;
        let (more, _) = split(&second, AGAIN, "the second question")?;
        let user_begin = more.strip_prefix(answered.as_str()).ok_or_else(|| odd("the end of an answer"))?.to_owned();
        let (before_user, _) = split(&render(open, true)?, USER, "the question")?;
        let without = before_user.strip_suffix(user_begin.as_str()).ok_or_else(|| odd("the first question"))?.to_owned();
        let (system, inline) = match between.strip_suffix(user_begin.as_str()) {
            Some(end) => ((before_system, end.to_owned()), false),
            None => {
                let head = before_system.strip_suffix(user_begin.as_str()).ok_or_else(|| odd("the system prompt"))?;
                ((head.to_owned(), between), true)
            }
        };
        Ok(Self { without_system: without, system, inline, user: (user_begin, user_end), assistant: (opening, answered) })
    }

    /// As Ollama's own templates are written: an answer that was begun is gone on with.
    fn source(&self) -> String {
        let mut go = Go::default();
        let (user, assistant) = (&self.user, &self.assistant);
        if !self.without_system.is_empty() {
            go.act("if not .System").text(&self.without_system).act("end");
        }
        if self.inline && !self.system.0.is_empty() {
            go.act("if .System").text(&self.system.0).act("end");
        }
        go.act("range $i, $_ := .Messages").act("$last := eq (len (slice $.Messages $i)) 1");
        if self.inline {
            go.act("if eq .Role \"user\"").text(&user.0);
            go.act("if and $.System (eq $i 1)").act("$.System").text(&self.system.1).act("end");
        } else {
            go.act("if eq .Role \"system\"").text(&self.system.0).act(".Content").text(&self.system.1);
            go.act("else if eq .Role \"user\"").text(&user.0);
        }
        go.act(".Content").text(&user.1);
        go.act("else if eq .Role \"assistant\"").text(&assistant.0).act(".Content");
        go.act("if not $last").text(&assistant.1).act("end").act("end");
        go.act("if and $last (ne .Role \"assistant\")").text(&assistant.0).act("end");
        go.act("end");
        go.0
    }
}

/// A template as it is written: an action that follows an action stands on a line of its own, which trims itself away.
#[derive(Default)]
struct Go(String);

impl Go {
    fn act(&mut self, code: &str) -> &mut Self {
        self.0 += if self.0.ends_with("}}") { "\n{{- " } else { "{{ " };
        self.0 += code;
        self.0 += " }}";
        self
    }

    fn text(&mut self, text: &str) -> &mut Self {
        self.0 += text;
        self
    }
}
