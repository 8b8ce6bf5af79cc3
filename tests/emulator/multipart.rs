//! Multipart bodies, read in one piece: what an upload form holds.

pub struct Part<'a> {
    pub name: String,
    pub file_name: Option<String>,
    pub content: &'a [u8],
}

/// The parts of a body; nothing if it is not what its content type says.
pub fn read<'a>(content_type: &str, body: &'a [u8]) -> Option<Vec<Part<'a>>> {
    let boundary = content_type.strip_prefix("multipart/form-data")?.split("boundary=").nth(1)?;
    let boundary = boundary.split(';').next()?.trim().trim_matches('"');
    let mark = format!("--{boundary}").into_bytes();
    let mut rest = body.get(find(body, &mark)? + mark.len()..)?;
    let mut parts = Vec::new();
    while !rest.starts_with(b"--") {
        let after_line = rest.strip_prefix(b"\r\n")?;
        let split = find(after_line, b"\r\n\r\n")?;
        let (head, content) = (after_line.get(..split)?, after_line.get(split + 4..)?);
        let end = find(content, &[b"\r\n".as_slice(), &mark].concat())?;
        let head = String::from_utf8_lossy(head);
        let facts = head.lines().find(|l| l.to_ascii_lowercase().starts_with("content-disposition:"))?;
        parts.push(Part { name: fact(facts, "name")?, file_name: fact(facts, "filename"), content: content.get(..end)? });
        rest = content.get(end + 2 + mark.len()..)?;
    }
    Some(parts)
}

/// `key="value"` among the facts behind semicolons.
fn fact(facts: &str, key: &str) -> Option<String> {
    let of = |part: &str| part.trim().strip_prefix(key)?.strip_prefix('=').map(|v| v.trim_matches('"').to_owned());
    facts.split(';').find_map(of)
}

fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    text.windows(wanted.len()).position(|w| w == wanted)
}
