//! The part of Go's `text/template` that chat templates are written in: text, fields, variables, `if`, `with`, `range`, and a
//! dozen functions. Owns reading such a template and what it renders; what Ollama puts into it is `turns`'.

use std::collections::BTreeMap;
use std::rc::Rc;

use thiserror::Error;

use super::go_parse::{Expr, Node, parse};

#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum GoError {
    #[error("{0}")]
    Syntax(String),
    /// Sound Go perhaps, but nothing that this reader knows.
    #[error("{0}, which this program cannot evaluate; write it with if, range, eq and fields")]
    Beyond(String),
}

#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Nil,
    Bool(bool),
    Int(i64),
    Text(Rc<str>),
    List(Rc<[Value]>),
    Map(Rc<BTreeMap<String, Value>>),
}

#[derive(Debug, Clone)]
pub struct GoTemplate {
    nodes: Vec<Node>,
}

impl GoTemplate {
    pub fn new(source: &str) -> Result<Self, GoError> {
        Ok(Self { nodes: parse(source)? })
    }

    pub(super) fn of_nodes(nodes: Vec<Node>) -> Self {
        Self { nodes }
    }

    pub(super) fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The text for these values of the dot.
    pub fn render(&self, dot: &Value) -> Result<String, GoError> {
        let mut run = Run { root: dot.clone(), variables: Vec::new(), out: String::new() };
        run.all(&self.nodes, dot)?;
        Ok(run.out)
    }
}

struct Run {
    root: Value,
    variables: Vec<(String, Value)>,
    out: String,
}

impl Run {
    /// A list of nodes has its own variables.
    fn all(&mut self, nodes: &[Node], dot: &Value) -> Result<(), GoError> {
        let outer = self.variables.len();
        for node in nodes {
            self.one(node, dot)?;
        }
        self.variables.truncate(outer);
        Ok(())
    }

    fn one(&mut self, node: &Node, dot: &Value) -> Result<(), GoError> {
        match node {
            Node::Text(text) => self.out.push_str(text),
            Node::Print(expr) => {
                let value = self.value(expr, dot)?;
                self.out.push_str(&printed(&value)?);
            }
            Node::Set { name, new, value } => {
                let value = self.value(value, dot)?;
                self.set(name, *new, value)?;
            }
            Node::If { test, then, other } => {
                let nodes = if truth(&self.value(test, dot)?) { then } else { other };
                self.all(nodes, dot)?;
            }
            Node::With { test, then, other } => {
                let value = self.value(test, dot)?;
                if truth(&value) { self.all(then, &value)? } else { self.all(other, dot)? }
            }
            Node::Range { names, over, body, other } => {
                let value = self.value(over, dot)?;
                self.range(names, &value, body, other, dot)?;
            }
        }
        Ok(())
    }

    fn range(&mut self, names: &[String], over: &Value, body: &[Node], other: &[Node], dot: &Value) -> Result<(), GoError> {
        let items = match over {
            Value::List(items) => Rc::clone(items),
            Value::Nil => Rc::from([]),
            _ => return Err(GoError::Beyond("it ranges over something that is no list".into())),
        };
        if items.is_empty() {
            return self.all(other, dot);
        }
        for (at, item) in items.iter().enumerate() {
            let outer = self.variables.len();
            match names {
                [] => {}
                [value] => self.variables.push((value.clone(), item.clone())),
                [key, value, ..] => {
                    self.variables.push((key.clone(), Value::Int(at as i64)));
                    self.variables.push((value.clone(), item.clone()));
                }
            }
            self.all(body, item)?;
            self.variables.truncate(outer);
        }
        Ok(())
    }

    fn set(&mut self, name: &str, new: bool, value: Value) -> Result<(), GoError> {
        if new {
            self.variables.push((name.to_owned(), value));
            return Ok(());
        }
        let variable = self.variables.iter_mut().rev().find(|(n, _)| n == name);
        variable.map(|(_, v)| *v = value).ok_or_else(|| GoError::Syntax(format!("${name} is not defined")))
    }

    fn value(&self, expr: &Expr, dot: &Value) -> Result<Value, GoError> {
        match expr {
            Expr::Literal(value) => Ok(value.clone()),
            Expr::Dot(path) => field(dot, path),
            Expr::Variable(name, path) if name.is_empty() => field(&self.root, path),
            Expr::Variable(name, path) => {
                let found = self.variables.iter().rev().find(|(n, _)| n == name);
                field(&found.ok_or_else(|| GoError::Syntax(format!("${name} is not defined")))?.1, path)
            }
            Expr::Chain(inner, path) => field(&self.value(inner, dot)?, path),
            Expr::Call(name, args) => self.call(name, args, dot),
        }
    }

    fn call(&self, name: &str, args: &[Expr], dot: &Value) -> Result<Value, GoError> {
        if ["and", "or"].contains(&name) {
            let mut last = Value::Nil;
            for arg in args {
                last = self.value(arg, dot)?;
                if truth(&last) == (name == "or") {
                    break;
                }
            }
            return Ok(last);
        }
        let values = args.iter().map(|arg| self.value(arg, dot)).collect::<Result<Vec<_>, _>>()?;
        function(name, &values)
    }
}

fn function(name: &str, args: &[Value]) -> Result<Value, GoError> {
    let wrong = || GoError::Syntax(format!("{name} has the wrong arguments"));
    let compare = |holds: fn(i64, i64) -> bool| match args {
        [Value::Int(a), Value::Int(b)] => Ok(Value::Bool(holds(*a, *b))),
        _ => Err(wrong()),
    };
    match (name, args) {
        ("not", [value]) => Ok(Value::Bool(!truth(value))),
        ("eq", [first, rest @ ..]) if !rest.is_empty() => Ok(Value::Bool(rest.contains(first))),
        ("ne", [a, b]) => Ok(Value::Bool(a != b)),
        ("lt", _) => compare(|a, b| a < b),
        ("le", _) => compare(|a, b| a <= b),
        ("gt", _) => compare(|a, b| a > b),
        ("ge", _) => compare(|a, b| a >= b),
        ("len", [value]) => length(value).map(|n| Value::Int(n as i64)).ok_or_else(wrong),
        ("index", [Value::List(items), Value::Int(at)]) => {
            let item = usize::try_from(*at).ok().and_then(|at| items.get(at));
            item.cloned().ok_or_else(|| GoError::Syntax("index is out of range".into()))
        }
        ("slice", [Value::List(items), bounds @ ..]) => sliced(items, bounds).ok_or_else(wrong),
        _ => Err(GoError::Beyond(format!("it calls '{}'", crate::domain::one_line(name, 40)))),
    }
}

fn sliced(items: &Rc<[Value]>, bounds: &[Value]) -> Option<Value> {
    let bound = |at: usize, default: usize| match bounds.get(at) {
        Some(Value::Int(n)) => usize::try_from(*n).ok(),
        Some(_) => None,
        None => Some(default),
    };
    let part = items.get(bound(0, 0)?..bound(1, items.len())?)?;
    Some(Value::List(Rc::from(part)))
}

fn length(value: &Value) -> Option<usize> {
    match value {
        Value::Text(text) => Some(text.len()),
        Value::List(items) => Some(items.len()),
        Value::Map(map) => Some(map.len()),
        Value::Nil => Some(0),
        Value::Bool(_) | Value::Int(_) => None,
    }
}

/// What Go's `if` goes by.
fn truth(value: &Value) -> bool {
    match value {
        Value::Nil => false,
        Value::Bool(yes) => *yes,
        Value::Int(n) => *n != 0,
        other => length(other).is_some_and(|n| n > 0),
    }
}

/// A missing key is nothing, as Ollama sets its templates up.
fn field(value: &Value, path: &[String]) -> Result<Value, GoError> {
    path.iter().try_fold(value.clone(), |value, name| match &value {
        Value::Map(map) => Ok(map.get(name).cloned().unwrap_or(Value::Nil)),
        Value::Nil => Ok(Value::Nil),
        _ => Err(GoError::Syntax(format!("it asks for .{} of something that has no fields", crate::domain::one_line(name, 40)))),
    })
}

fn printed(value: &Value) -> Result<String, GoError> {
    match value {
        Value::Nil => Ok("<no value>".into()),
        Value::Bool(yes) => Ok(yes.to_string()),
        Value::Int(n) => Ok(n.to_string()),
        Value::Text(text) => Ok(text.to_string()),
        Value::List(_) | Value::Map(_) => Err(GoError::Beyond("it prints a list".into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dot() -> Value {
        let text = |s: &str| Value::Text(s.into());
        let turn = |role: &str| Value::Map(Rc::new(BTreeMap::from([("Role".to_owned(), text(role))])));
        let turns = Value::List(Rc::from([turn("system"), turn("user")]));
        Value::Map(Rc::new(BTreeMap::from([("M".to_owned(), turns), ("S".to_owned(), text("s\"<x>"))])))
    }

    #[test]
    fn the_subset_renders_as_go_does() {
        for (source, wanted) in [
            ("a {{ .S }} b", "a s\"<x> b"),
            ("a \n {{- .S -}} \n b", "as\"<x>b"),
            ("{{ if .S }}1{{ else if .M }}2{{ else }}3{{ end }}", "1"),
            ("{{ if .None }}1{{ else if .M }}2{{ else }}3{{ end }}", "2"),
            ("{{ if not .S }}1{{ else }}3{{ end }}", "3"),
            ("{{ range .M }}[{{ .Role }}]{{ end }}", "[system][user]"),
            ("{{ range $i, $t := .M }}{{ $i }}{{ $t.Role }}{{ if eq $i 1 }}{{ len $.M }}{{ end }}{{ end }}", "0system1user2"),
            (
                "{{- range $i, $_ := .M }}{{ $last := eq (len (slice $.M $i)) 1 }}{{ if $last }}{{ .Role }}{{ end }}{{ end }}",
                "user",
            ),
            ("{{ range .None }}x{{ else }}empty{{ end }}", "empty"),
            ("{{ $x := 1 }}{{ if .S }}{{ $x = 2 }}{{ end }}{{ $x }}", "2"),
            ("{{ if and .S (ne .S \"t\") }}y{{ end }}{{ if or .None (not .S) }}z{{ end }}", "y"),
            ("{{ (index .M 1).Role }}{{/* a comment */}}{{ .M | len }}", "user2"),
            ("{{ with .S }}{{ . }}{{ else }}none{{ end }}{{ `raw }}` }}", "s\"<x>raw }}"),
            ("{{ .None }}", "<no value>"),
            ("{{ if eq .S \"a\" \"s\\\"<x>\" }}y{{ end }}", "y"),
        ] {
            assert_eq!(GoTemplate::new(source).and_then(|t| t.render(&dot())).as_deref(), Ok(wanted), "{source}");
        }
    }

    #[test]
    fn what_is_broken_or_beyond_is_an_error_not_a_guess() {
        let say = |source: &str| GoTemplate::new(source).and_then(|t| t.render(&dot())).expect_err(source);
        for broken in
            ["{{ if .S }}", "{{ end }}", "{{ .S", "{{ $x }}", "{{ if }}x{{ end }}", "{{ .S.T }}", "{{ \"a }}", "{{ index .M 9 }}"]
        {
            assert!(matches!(say(broken), GoError::Syntax(_)), "{broken}: {:?}", say(broken));
        }
        for beyond in ["{{ json .M }}", "{{ template \"x\" }}", "{{ .M }}", "{{ range .M }}{{ break }}{{ end }}"] {
            assert!(matches!(say(beyond), GoError::Beyond(_)), "{beyond}: {:?}", say(beyond));
        }
    }
}
