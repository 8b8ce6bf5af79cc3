//! Text of feeds: UTF-8, or one of the Western encodings that a document may declare instead.

/// What Windows put where Latin-1 has control characters; `\u{fffd}` where it put nothing.
const WINDOWS: [char; 32] = [
    '€', '\u{fffd}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{fffd}', 'Ž', '\u{fffd}', '\u{fffd}', '‘', '’',
    '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\u{fffd}', 'ž', 'Ÿ',
];

/// The text of an XML document, or the line where it cannot be read and why.
pub fn decode(bytes: Vec<u8>) -> Result<String, (usize, String)> {
    let head = String::from_utf8_lossy(&bytes[..bytes.len().min(200)]).to_ascii_lowercase();
    let western = ["iso-8859-1", "windows-1252", "latin1", "us-ascii"].iter().any(|name| head.contains(name));
    if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
        return Err((1, "the text is UTF-16; save it as UTF-8".into()));
    }
    let text = match String::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) if western && head.contains("encoding") => error.into_bytes().into_iter().map(windows).collect(),
        Err(error) => {
            let before = &error.as_bytes()[..error.utf8_error().valid_up_to()];
            return Err((before.iter().filter(|b| **b == b'\n').count() + 1, "the text is not UTF-8".into()));
        }
    };
    Ok(text.trim_start_matches('\u{feff}').to_owned())
}

fn windows(byte: u8) -> char {
    if (0x80..0xa0).contains(&byte) { WINDOWS[usize::from(byte) - 0x80] } else { char::from(byte) }
}
