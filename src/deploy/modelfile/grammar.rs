//! The grammar of Modelfiles, as Ollama reads them: commands by line, quoted values, heredocs. Owns the syntax; what commands
//! are worth is `lint`'s.

use super::ModelfileError;
use crate::domain::one_line;

/// A larger file is none.
const LARGEST: usize = 1 << 20;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Name {
    From,
    Parameter,
    Template,
    System,
    Adapter,
    Message,
    License,
    /// A renderer, parser or draft model inside Ollama, which version it wants, what the model is capable of.
    Renderer,
    Parser,
    Draft,
    Requires,
    Capability,
}

const NAMES: [(&str, Name); 12] = [
    ("from", Name::From),
    ("parameter", Name::Parameter),
    ("template", Name::Template),
    ("system", Name::System),
    ("adapter", Name::Adapter),
    ("message", Name::Message),
    ("license", Name::License),
    ("renderer", Name::Renderer),
    ("parser", Name::Parser),
    ("draft", Name::Draft),
    ("requires", Name::Requires),
    ("capability", Name::Capability),
];

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    pub name: Name,
    /// Of a parameter its name, of a message its role.
    pub key: String,
    pub value: String,
    /// Where it begins, from 1.
    pub line: usize,
}

/// All commands of a Modelfile.
pub fn read(text: &str) -> Result<Vec<Command>, ModelfileError> {
    if text.len() > LARGEST {
        return Err(ModelfileError::Syntax { line: 1, why: format!("it is larger than {} MiB", LARGEST >> 20) });
    }
    let text = text.trim_start_matches('\u{feff}').replace("\r\n", "\n");
    let mut commands = Vec::new();
    let mut lines = text.split('\n').enumerate().map(|(i, line)| (i + 1, line));
    while let Some((number, line)) = lines.next() {
        let line = line.trim_start_matches([' ', '\t']);
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        commands.push(command(number, line, &mut lines)?);
    }
    Ok(commands)
}

fn command<'a>(line: usize, text: &str, more: &mut impl Iterator<Item = (usize, &'a str)>) -> Result<Command, ModelfileError> {
    let wrong = |why: String| ModelfileError::Syntax { line, why };
    let (word, rest) = next_word(text);
    let lower = word.to_lowercase();
    let known = || NAMES.map(|(name, _)| name.to_uppercase()).join(", ");
    let name = NAMES.iter().find(|(name, _)| *name == lower).map(|(_, name)| *name);
    let name = name.ok_or_else(|| wrong(format!("'{}' is no command; there are {}", one_line(word, 40), known())))?;
    let (key, rest) = match name {
        Name::Parameter | Name::Message => next_word(rest),
        _ => ("", rest),
    };
    if name == Name::Message && !["system", "user", "assistant"].contains(&key) {
        return Err(wrong(format!("MESSAGE wants system, user or assistant, not '{}'", one_line(key, 40))));
    }
    let mut value = rest.to_owned();
    let unquoted = loop {
        if let Some(done) = unquote(value.trim()) {
            break done.to_owned();
        }
        // A quoted value goes on until its quotes are closed.
        let (_, next) = more.next().ok_or_else(|| wrong("its quotes are never closed".into()))?;
        value.push('\n');
        value.push_str(next);
    };
    if unquoted.is_empty() {
        return Err(wrong(format!("{} has no value", word.to_uppercase())));
    }
    Ok(Command { name, key: key.to_owned(), value: unquoted, line })
}

fn next_word(text: &str) -> (&str, &str) {
    let text = text.trim_start_matches([' ', '\t']);
    text.split_once([' ', '\t']).unwrap_or((text, ""))
}

/// A value without its quotes; `None`: they are still open.
fn unquote(text: &str) -> Option<&str> {
    if let Some(rest) = text.strip_prefix("\"\"\"") {
        return rest.strip_suffix("\"\"\"");
    }
    match text.strip_prefix('"') {
        Some(rest) => rest.strip_suffix('"'),
        None => Some(text),
    }
}

/// A value as it is written: quoted where it has to be.
pub fn quote(value: &str) -> String {
    let plain = !value.contains(['\n', '"', '#']) && value.trim() == value && !value.is_empty();
    match () {
        () if plain => value.to_owned(),
        () if value.contains('"') => format!("\"\"\"{value}\"\"\""),
        () => format!("\"{value}\""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_read_as_ollama_reads_them() {
        let text = "# a comment\n\nfrom ./a b.gguf\nPARAMETER stop \"<|im_end|>\"\nPARAMETER num_ctx 2048 \n\
                    TEMPLATE \"\"\"\na \"\" b\n\"\"\"\nSYSTEM \"one\ntwo\"\nMESSAGE user hello there\n  LICENSE x";
        let commands = read(text).expect("sound");
        let all: Vec<_> = commands.iter().map(|c| (c.name, c.key.as_str(), c.value.as_str(), c.line)).collect();
        assert_eq!(
            all,
            [
                (Name::From, "", "./a b.gguf", 3),
                (Name::Parameter, "stop", "<|im_end|>", 4),
                (Name::Parameter, "num_ctx", "2048", 5),
                (Name::Template, "", "\na \"\" b\n", 6),
                (Name::System, "", "one\ntwo", 9),
                (Name::Message, "user", "hello there", 11),
                (Name::License, "", "x", 12),
            ]
        );
    }

    #[test]
    fn what_is_no_modelfile_is_an_error_with_its_line() {
        for (text, words) in [
            ("FROM x\nFORM y", "line 2: 'FORM' is no command"),
            ("FROM x\n\nTEMPLATE \"\"\"a\nb", "line 3: its quotes are never closed"),
            ("FROM", "line 1: FROM has no value"),
            ("MESSAGE robot x", "not 'robot'"),
            ("FR\u{1b}[2J x", "is no command"),
        ] {
            let error = read(text).expect_err(text).to_string();
            assert!(error.contains(words) && !error.contains('\u{1b}'), "{error}");
        }
    }

    #[test]
    fn what_is_quoted_is_read_back() {
        for value in ["a", " a ", "a\nb", "a\"b", "\n", "<|im_end|>", "#x", "say \"\" it\n"] {
            let text = format!("SYSTEM {}", quote(value));
            assert_eq!(read(&text).expect("sound")[0].value, value, "{text}");
        }
    }
}
