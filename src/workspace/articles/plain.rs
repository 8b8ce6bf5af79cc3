//! Markup as plain text: what a reader sees of a piece of HTML.

use quick_xml::escape::resolve_html5_entity;

/// Longest reference worth looking up, as in `&CounterClockwiseContourIntegral;`.
const MAX_REFERENCE: usize = 33;

/// Tags whose content nobody reads.
const HIDDEN: [&str; 3] = ["script", "style", "head"];

/// Tags inside a line; all others part words.
const INLINE: [&str; 14] = ["a", "abbr", "b", "cite", "code", "em", "font", "i", "mark", "small", "span", "strong", "sub", "sup"];

/// The text of a piece of HTML, broken or not. References are resolved once.
pub fn plain(html: &str) -> String {
    let mut text = String::with_capacity(html.len());
    let mut rest = html;
    while let Some(at) = rest.find('<') {
        text.push_str(&references(&rest[..at]));
        rest = &rest[at..];
        let Some((name, after)) = tag(rest) else {
            text.push('<');
            rest = &rest[1..];
            continue;
        };
        if !INLINE.contains(&name.as_str()) {
            text.push(' ');
        }
        rest = if HIDDEN.contains(&name.as_str()) { past_end(after, &name) } else { after };
    }
    text.push_str(&references(rest));
    text
}

/// The name of the tag or comment at the beginning, and what follows it. A closing tag's name has no slash.
fn tag(text: &str) -> Option<(String, &str)> {
    if let Some(comment) = text.strip_prefix("<!--") {
        return Some((String::new(), comment.split_once("-->").map_or("", |(_, after)| after)));
    }
    let inside = &text[1..];
    let named = inside.strip_prefix(['/', '!', '?']).unwrap_or(inside);
    if !named.starts_with(|c: char| c.is_ascii_alphabetic()) {
        return None;
    }
    let name: String = named.chars().take_while(char::is_ascii_alphanumeric).collect();
    let mut quote = None;
    for (at, c) in named.char_indices() {
        match (quote, c) {
            (None, '>') => {
                let closing = inside.starts_with('/');
                let after = &named[at + 1..];
                // What a closing tag hid is over.
                let name = name.to_ascii_lowercase();
                return Some((if closing && HIDDEN.contains(&name.as_str()) { String::new() } else { name }, after));
            }
            (None, '"' | '\'') => quote = Some(c),
            (Some(open), c) if c == open => quote = None,
            _ => {}
        }
    }
    // It never ends: the rest is no text.
    Some((name.to_ascii_lowercase(), ""))
}

/// What follows the end tag of `name`.
fn past_end<'a>(text: &'a str, name: &str) -> &'a str {
    let end = format!("</{name}");
    let found = text
        .char_indices()
        .find(|(at, _)| text.as_bytes()[*at..].get(..end.len()).is_some_and(|b| b.eq_ignore_ascii_case(end.as_bytes())));
    found.map_or("", |(at, _)| &text[at..])
}

/// Text with its references resolved; what is none stays.
fn references(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        out.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        let name = after.split_once(';').map(|(name, _)| name).filter(|name| name.len() <= MAX_REFERENCE);
        if let Some((name, value)) = name.and_then(|name| reference(name).map(|value| (name, value))) {
            out.push_str(&value);
            rest = &after[name.len() + 1..];
        } else {
            out.push('&');
            rest = after;
        }
    }
    out.push_str(rest);
    out
}

/// What `&name;` stands for. Entities that a document declares for itself are not known here.
pub fn reference(name: &str) -> Option<String> {
    let Some(number) = name.strip_prefix('#') else { return resolve_html5_entity(name).map(str::to_owned) };
    let hex = number.strip_prefix(['x', 'X']);
    let code = hex.map_or_else(|| number.parse().ok(), |hex| u32::from_str_radix(hex, 16).ok())?;
    char::from_u32(code).filter(|c| *c != '\0').map(String::from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::one_line;

    #[test]
    fn markup_becomes_what_a_reader_sees() {
        let table = [
            ("<p>Port <b>re</b>opens</p><p>Tuesday</p>", "Port reopens Tuesday"),
            ("a<br/>b &amp; c&nbsp;d &#8212; e &#x41;", "a b & c d — e A"),
            ("x<script>var a = '<b>';</script>y", "x y"),
            ("x<SCRIPT>bad</Script>y", "x y"),
            ("<!-- <p>no</p> -->yes <img alt=\"a > b\">too", "yes too"),
            ("3 < 4 && 5 > 4; AT&T &unknown; &", "3 < 4 && 5 > 4; AT&T &unknown; &"),
            ("never <a href='ended", "never"),
            ("&amp;lt;b&amp;gt;", "&lt;b&gt;"),
            ("<style>p{}", ""),
        ];
        for (html, wanted) in table {
            assert_eq!(one_line(&plain(html), 200), wanted, "{html}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_has_a_plain_form(text in "[<>&;/!\\-'\"a-zé# \n]{0,200}") {
            let _ = plain(&text);
        }
    }
}
