//! Untrusted text: making articles and model answers safe to draw and easy to count.

/// Removes what can move a cursor or hide text (C0/C1 controls, bidi overrides, zero-width marks except the
/// joiners that scripts and emoji need); tabs become spaces, line feeds stay.
pub fn safe_text(text: &str) -> String {
    text.chars()
        .filter_map(|c| match c {
            '\n' => Some('\n'),
            '\t' => Some(' '),
            c if c.is_control() => None,
            '\u{202A}'..='\u{202E}'
            | '\u{2066}'..='\u{2069}'
            | '\u{200B}'
            | '\u{200E}'
            | '\u{200F}'
            | '\u{FEFF}'
            | '\u{2028}'
            | '\u{2029}' => None,
            c => Some(c),
        })
        .collect()
}

/// [`safe_text`] on one line, at most `max_chars` long, ending in `…` where it was cut.
pub fn one_line(text: &str, max_chars: usize) -> String {
    let flat = safe_text(text).split_whitespace().collect::<Vec<_>>().join(" ");
    if flat.chars().count() <= max_chars {
        return flat;
    }
    let mut cut: String = flat.chars().take(max_chars.saturating_sub(1)).collect();
    cut.push('…');
    cut
}

/// Words as the depth rules count them: runs of non-white-space with at least one letter or digit.
pub fn word_count(text: &str) -> usize {
    text.split_whitespace().filter(|word| word.chars().any(char::is_alphanumeric)).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_escape_sequence_in_a_title_loses_its_teeth() {
        assert_eq!(safe_text("\u{1b}[31mred\u{1b}[0m\u{9b}2J"), "[31mred[0m2J");
        assert_eq!(one_line("a\r\nb\tc", 10), "a b c");
    }

    #[test]
    fn bidi_overrides_are_dropped_and_arabic_is_kept() {
        assert_eq!(safe_text("\u{202E}برومو"), "برومو");
    }

    #[test]
    fn a_long_line_is_cut_with_an_ellipsis() {
        assert_eq!(one_line("abcdef", 4), "abc…");
        assert_eq!(one_line("abcd", 4), "abcd");
    }

    #[test]
    fn punctuation_alone_is_not_a_word() {
        assert_eq!(word_count("one - two | 3."), 3);
    }
}
