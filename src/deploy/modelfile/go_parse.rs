//! Reading a Go template: from text to nodes. Owns the grammar; what nodes mean is `go`'s.

use super::go::{GoError, Value};

/// Blocks in blocks. No chat template comes near it.
const DEEPEST: usize = 48;

#[derive(Debug, Clone)]
pub enum Node {
    Text(String),
    Print(Expr),
    Set { name: String, new: bool, value: Expr },
    If { test: Expr, then: Vec<Node>, other: Vec<Node> },
    With { test: Expr, then: Vec<Node>, other: Vec<Node> },
    Range { names: Vec<String>, over: Expr, body: Vec<Node>, other: Vec<Node> },
}

#[derive(Debug, Clone)]
pub enum Expr {
    Literal(Value),
    /// A path from the dot.
    Dot(Vec<String>),
    /// A path from a variable; the root has no name.
    Variable(String, Vec<String>),
    Chain(Box<Expr>, Vec<String>),
    Call(String, Vec<Expr>),
}

/// A piece of the source between, or in, braces.
enum Piece {
    Text(String),
    Action(Vec<Token>),
}

#[derive(Debug, Clone, PartialEq)]
enum Token {
    Word(String),
    /// `.A.B`; whether it stands right behind what is before it.
    Path(Vec<String>, bool),
    Variable(String, Vec<String>),
    Text(String),
    Int(i64),
    Open,
    Close,
    Pipe,
    Comma,
    Define,
    Assign,
}

fn syntax(why: impl Into<String>) -> GoError {
    GoError::Syntax(why.into())
}

pub fn parse(source: &str) -> Result<Vec<Node>, GoError> {
    let mut pieces = pieces(source)?.into_iter();
    let (nodes, end) = block(&mut pieces, 0)?;
    match end {
        End::Source => Ok(nodes),
        _ => Err(syntax("an {{ end }} or {{ else }} belongs to nothing")),
    }
}

/// What ended a list of nodes.
enum End {
    Source,
    Closed,
    Else(Vec<Token>),
}

fn block(pieces: &mut std::vec::IntoIter<Piece>, depth: usize) -> Result<(Vec<Node>, End), GoError> {
    if depth > DEEPEST {
        return Err(syntax("its blocks are nested too deeply"));
    }
    let mut nodes = Vec::new();
    while let Some(piece) = pieces.next() {
        let tokens = match piece {
            Piece::Text(text) => {
                nodes.push(Node::Text(text));
                continue;
            }
            Piece::Action(tokens) => tokens,
        };
        let word = match tokens.first() {
            Some(Token::Word(word)) => word.as_str(),
            None => continue,
            _ => "",
        };
        match word {
            "end" => return Ok((nodes, End::Closed)),
            "else" => return Ok((nodes, End::Else(tokens[1..].to_vec()))),
            "if" | "with" => nodes.push(branch(word, &tokens[1..], pieces, depth)?),
            "range" => nodes.push(range(&tokens[1..], pieces, depth)?),
            "template" | "define" | "block" | "break" | "continue" => {
                return Err(GoError::Beyond(format!("it uses '{word}'")));
            }
            _ => nodes.push(statement(&tokens)?),
        }
    }
    Ok((nodes, End::Source))
}

fn branch(word: &str, test: &[Token], pieces: &mut std::vec::IntoIter<Piece>, depth: usize) -> Result<Node, GoError> {
    let test = whole(test)?;
    let (then, end) = block(pieces, depth + 1)?;
    let other = match end {
        End::Source => return Err(syntax(format!("an {{{{ {word} }}}} has no {{{{ end }}}}"))),
        End::Closed => Vec::new(),
        End::Else(rest) => match rest.split_first() {
            None => closed(pieces, depth)?,
            Some((Token::Word(next), test)) if ["if", "with"].contains(&next.as_str()) => {
                vec![branch(next, test, pieces, depth + 1)?]
            }
            Some(_) => return Err(syntax("an {{ else }} is followed by something that is no if")),
        },
    };
    Ok(if word == "if" { Node::If { test, then, other } } else { Node::With { test, then, other } })
}

fn range(head: &[Token], pieces: &mut std::vec::IntoIter<Piece>, depth: usize) -> Result<Node, GoError> {
    let mut names = Vec::new();
    let mut over = head;
    if let Some(at) = head.iter().position(|t| *t == Token::Define) {
        for token in &head[..at] {
            match token {
                Token::Variable(name, path) if path.is_empty() && !name.is_empty() => names.push(name.clone()),
                Token::Comma => {}
                _ => return Err(syntax("a range has an odd head")),
            }
        }
        over = &head[at + 1..];
    }
    let over = whole(over)?;
    let (body, end) = block(pieces, depth + 1)?;
    let other = match end {
        End::Closed => Vec::new(),
        End::Else(rest) if rest.is_empty() => closed(pieces, depth)?,
        _ => return Err(syntax("a {{ range }} has no {{ end }}")),
    };
    Ok(Node::Range { names, over, body, other })
}

/// The last part of a block.
fn closed(pieces: &mut std::vec::IntoIter<Piece>, depth: usize) -> Result<Vec<Node>, GoError> {
    match block(pieces, depth + 1)? {
        (nodes, End::Closed) => Ok(nodes),
        _ => Err(syntax("an {{ else }} has no {{ end }}")),
    }
}

fn statement(tokens: &[Token]) -> Result<Node, GoError> {
    if let [Token::Variable(name, path), sign @ (Token::Define | Token::Assign), rest @ ..] = tokens
        && path.is_empty()
    {
        return Ok(Node::Set { name: name.clone(), new: *sign == Token::Define, value: whole(rest)? });
    }
    Ok(Node::Print(whole(tokens)?))
}

/// An expression that takes all of the tokens.
fn whole(tokens: &[Token]) -> Result<Expr, GoError> {
    let mut reader = Reader { tokens, at: 0, depth: 0 };
    let expr = reader.pipeline()?;
    if reader.at == tokens.len() { Ok(expr) } else { Err(syntax("something is left over in an action")) }
}

struct Reader<'a> {
    tokens: &'a [Token],
    at: usize,
    depth: usize,
}

impl Reader<'_> {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at)
    }

    fn pipeline(&mut self) -> Result<Expr, GoError> {
        let mut expr = self.command()?;
        while self.peek() == Some(&Token::Pipe) {
            self.at += 1;
            match self.command()? {
                Expr::Call(name, mut args) => {
                    args.push(expr);
                    expr = Expr::Call(name, args);
                }
                _ => return Err(syntax("a pipe leads into something that is no function")),
            }
        }
        Ok(expr)
    }

    fn command(&mut self) -> Result<Expr, GoError> {
        let first = self.operand()?;
        let Expr::Call(name, mut args) = first else { return Ok(first) };
        while self.peek().is_some_and(|t| !matches!(t, Token::Close | Token::Pipe)) {
            args.push(self.operand()?);
        }
        Ok(Expr::Call(name, args))
    }

    fn operand(&mut self) -> Result<Expr, GoError> {
        let token = self.peek().cloned().ok_or_else(|| syntax("an action is empty or ends too early"))?;
        self.at += 1;
        Ok(match token {
            Token::Word(word) => match word.as_str() {
                "true" => Expr::Literal(Value::Bool(true)),
                "false" => Expr::Literal(Value::Bool(false)),
                "nil" => Expr::Literal(Value::Nil),
                _ => Expr::Call(word, Vec::new()),
            },
            Token::Path(path, _) => Expr::Dot(path),
            Token::Variable(name, path) => Expr::Variable(name, path),
            Token::Text(text) => Expr::Literal(Value::Text(text.into())),
            Token::Int(n) => Expr::Literal(Value::Int(n)),
            Token::Open => self.parenthesis()?,
            Token::Close | Token::Pipe | Token::Comma | Token::Define | Token::Assign => {
                return Err(syntax("an action has a sign where a value belongs"));
            }
        })
    }

    fn parenthesis(&mut self) -> Result<Expr, GoError> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(syntax("its parentheses are nested too deeply"));
        }
        let inner = self.pipeline()?;
        if self.peek() != Some(&Token::Close) {
            return Err(syntax("a parenthesis is not closed"));
        }
        self.at += 1;
        self.depth -= 1;
        match self.peek().cloned() {
            Some(Token::Path(path, true)) => {
                self.at += 1;
                Ok(Expr::Chain(Box::new(inner), path))
            }
            _ => Ok(inner),
        }
    }
}

/// Text and actions, white space trimmed where an action asks for it.
fn pieces(source: &str) -> Result<Vec<Piece>, GoError> {
    let mut pieces = Vec::new();
    let (mut rest, mut trim) = (source, false);
    loop {
        let (text, after) = match rest.split_once("{{") {
            Some((text, after)) => (text, Some(after)),
            None => (rest, None),
        };
        let mut text = if trim { text.trim_start_matches(is_space) } else { text };
        let action = after.map(|after| match after.strip_prefix('-').filter(|a| a.starts_with(is_space)) {
            Some(inner) => (inner, true),
            None => (after, false),
        });
        if action.is_some_and(|(_, trims)| trims) {
            text = text.trim_end_matches(is_space);
        }
        if !text.is_empty() {
            pieces.push(Piece::Text(text.to_owned()));
        }
        let Some((inner, _)) = action else { return Ok(pieces) };
        let (tokens, trims, after) = action_of(inner)?;
        pieces.push(Piece::Action(tokens));
        (rest, trim) = (after, trims);
    }
}

fn is_space(c: char) -> bool {
    [' ', '\t', '\r', '\n'].contains(&c)
}

/// The tokens of an action, whether it trims what is behind it, and what is behind it.
fn action_of(inner: &str) -> Result<(Vec<Token>, bool, &str), GoError> {
    if let Some(comment) = inner.trim_start_matches(is_space).strip_prefix("/*") {
        let (_, after) = comment.split_once("*/").ok_or_else(|| syntax("a comment is not closed"))?;
        let after = after.trim_start_matches(is_space);
        let (after, trims) = after.strip_prefix('-').map_or((after, false), |a| (a, true));
        return after.strip_prefix("}}").map(|after| (Vec::new(), trims, after)).ok_or_else(|| syntax("a comment is not closed"));
    }
    let mut lexer = Lexer { text: inner, at: 0, tokens: Vec::new() };
    let trims = lexer.run()?;
    let at = lexer.at;
    Ok((lexer.tokens, trims, &inner[at..]))
}

struct Lexer<'a> {
    text: &'a str,
    at: usize,
    tokens: Vec<Token>,
}

impl Lexer<'_> {
    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    /// Up to and with the closing braces; whether they trim.
    fn run(&mut self) -> Result<bool, GoError> {
        loop {
            let spaced = self.at > 0 && self.text[..self.at].ends_with(is_space);
            if self.rest().starts_with("}}") {
                self.at += 2;
                return Ok(false);
            }
            if spaced && self.rest().starts_with("-}}") {
                self.at += 3;
                return Ok(true);
            }
            let Some(c) = self.rest().chars().next() else { return Err(syntax("an action is not closed")) };
            let token = match c {
                c if is_space(c) => {
                    self.at += 1;
                    continue;
                }
                '(' => self.sign(Token::Open),
                ')' => self.sign(Token::Close),
                '|' => self.sign(Token::Pipe),
                ',' => self.sign(Token::Comma),
                '=' => self.sign(Token::Assign),
                ':' if self.rest().starts_with(":=") => {
                    self.at += 1;
                    self.sign(Token::Define)
                }
                '.' => Token::Path(self.path(), !spaced),
                '$' => {
                    self.at += 1;
                    let name = self.word();
                    Token::Variable(name, self.path())
                }
                '"' => self.quoted()?,
                '`' => self.raw()?,
                c if c.is_ascii_digit() || c == '-' => self.number()?,
                c if c.is_alphabetic() || c == '_' => Token::Word(self.word()),
                c => return Err(syntax(format!("an action holds '{}'", crate::domain::one_line(&c.to_string(), 4)))),
            };
            self.tokens.push(token);
        }
    }

    fn sign(&mut self, token: Token) -> Token {
        self.at += 1;
        token
    }

    fn word(&mut self) -> String {
        let word: String = self.rest().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        self.at += word.len();
        word
    }

    /// `.A.B`, or the dot alone.
    fn path(&mut self) -> Vec<String> {
        let mut path = Vec::new();
        while self.rest().starts_with('.') {
            self.at += 1;
            match self.word() {
                name if name.is_empty() => break,
                name => path.push(name),
            }
        }
        path
    }

    fn number(&mut self) -> Result<Token, GoError> {
        let digits: String = self
            .rest()
            .chars()
            .enumerate()
            .take_while(|(i, c)| c.is_ascii_digit() || (*i == 0 && *c == '-'))
            .map(|(_, c)| c)
            .collect();
        self.at += digits.len();
        digits.parse().map(Token::Int).map_err(|_| syntax("an action holds a number that is none"))
    }

    fn raw(&mut self) -> Result<Token, GoError> {
        let text = self.rest()[1..].split_once('`').map(|(text, _)| text.to_owned());
        let text = text.ok_or_else(|| syntax("a text in an action is not closed"))?;
        self.at += text.len() + 2;
        Ok(Token::Text(text))
    }

    fn quoted(&mut self) -> Result<Token, GoError> {
        let mut text = String::new();
        let mut chars = self.rest().char_indices().skip(1);
        while let Some((at, c)) = chars.next() {
            match c {
                '"' => {
                    self.at += at + 1;
                    return Ok(Token::Text(text));
                }
                '\n' => break,
                '\\' => match chars.next() {
                    Some((_, 'n')) => text.push('\n'),
                    Some((_, 't')) => text.push('\t'),
                    Some((_, c @ ('"' | '\\'))) => text.push(c),
                    _ => return Err(GoError::Beyond("it escapes a character in a text".into())),
                },
                c => text.push(c),
            }
        }
        Err(syntax("a text in an action is not closed"))
    }
}
