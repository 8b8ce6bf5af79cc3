//! What makes two articles comparable: canonical url, normalised words, shingles.
//!
//! Owns the normalisation. Does not decide which articles belong together; that is `cluster`'s.

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

use super::seeded::{hash, mix};

/// Words in one shingle of a text with spaces.
const WORDS: usize = 3;
/// Characters in one shingle of a text without.
const CHARS: usize = 5;

/// A url by which two rows can be told to be the same page: no scheme, `www.`, port, user, fragment, tracking
/// parameters or trailing slash; host in lower case, parameters sorted. `None` where it names no page (empty, a bare
/// host): many articles share a front page.
pub fn canonical_url(url: &str) -> Option<String> {
    let url = url.trim();
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let rest = rest.split('#').next().unwrap_or_default();
    let (before_query, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, path) = before_query.split_once('/').unwrap_or((before_query, ""));
    let host = authority.rsplit('@').next().unwrap_or_default().to_lowercase();
    let host = host.split(':').next().unwrap_or_default().trim_end_matches('.');
    let host = host.strip_prefix("www.").unwrap_or(host);
    let path = path.trim_matches('/');
    let mut parameters: Vec<&str> = query.split('&').filter(|p| !p.is_empty() && !is_tracking(p)).collect();
    parameters.sort_unstable();
    if host.is_empty() || (path.is_empty() && parameters.is_empty()) {
        return None;
    }
    let mut out = format!("{host}/{path}");
    if !parameters.is_empty() {
        out.push('?');
        out.push_str(&parameters.join("&"));
    }
    Some(out)
}

/// Says where a reader came from, not what is read.
fn is_tracking(parameter: &str) -> bool {
    const NAMES: [&str; 24] = [
        "fbclid",
        "gclid",
        "dclid",
        "gbraid",
        "wbraid",
        "msclkid",
        "yclid",
        "twclid",
        "igshid",
        "mc_cid",
        "mc_eid",
        "_hsenc",
        "_hsmi",
        "cmpid",
        "cmp",
        "ref",
        "ref_src",
        "referrer",
        "smid",
        "soc_src",
        "soc_trk",
        "spm",
        "ocid",
        "guccounter",
    ];
    let name = parameter.split('=').next().unwrap_or_default().to_ascii_lowercase();
    name.starts_with("utm_") || name.starts_with("guce_") || NAMES.contains(&name.as_str())
}

/// Lower-case words of letters and digits, compatibility forms folded, accents and vowel marks dropped.
pub fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    for c in text.nfkd().flat_map(char::to_lowercase) {
        if c.is_alphanumeric() && !is_combining_mark(c) && c != '\u{0640}' {
            word.push(c);
        } else if !(word.is_empty() || is_combining_mark(c) || matches!(c, '\u{0640}' | '\'' | '\u{2019}')) {
            words.push(std::mem::take(&mut word));
        }
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

/// Scripts that put no spaces between words.
fn is_unspaced(c: char) -> bool {
    matches!(c,
        '\u{0E00}'..='\u{0EFF}' | '\u{1000}'..='\u{109F}' | '\u{1780}'..='\u{17FF}' | '\u{3040}'..='\u{30FF}'
        | '\u{3400}'..='\u{4DBF}' | '\u{4E00}'..='\u{9FFF}' | '\u{F900}'..='\u{FAFF}' | '\u{20000}'..='\u{3FFFF}')
}

/// More than three tenths of the characters belong to scripts without spaces.
pub fn reads_without_spaces(words: &[String]) -> bool {
    let (mut all, mut unspaced) = (0usize, 0usize);
    for c in words.iter().flat_map(|w| w.chars()) {
        all += 1;
        unspaced += usize::from(is_unspaced(c));
    }
    unspaced * 10 > all * 3
}

/// A title long enough that two articles hardly share it by chance: 4 words, or 8 characters without spaces.
pub fn is_telling_title(words: &[String]) -> bool {
    if reads_without_spaces(words) { words.iter().map(|w| w.chars().count()).sum::<usize>() >= 8 } else { words.len() >= 4 }
}

/// The set of shingles of a text: sorted, unique hashes. A text shorter than one shingle is its own.
pub fn shingles(words: &[String]) -> Vec<u64> {
    let mut out: Vec<u64> = if words.is_empty() {
        Vec::new()
    } else if reads_without_spaces(words) {
        let chars: Vec<u64> = words.iter().flat_map(|w| w.chars()).map(|c| mix(u64::from(u32::from(c)))).collect();
        windows(&chars, CHARS)
    } else {
        let hashes: Vec<u64> = words.iter().map(|w| hash(w.as_bytes())).collect();
        windows(&hashes, WORDS)
    };
    out.sort_unstable();
    out.dedup();
    out
}

fn windows(parts: &[u64], size: usize) -> Vec<u64> {
    let join = |window: &[u64]| window.iter().fold(0u64, |h, &part| mix(h.rotate_left(5) ^ part));
    if parts.len() < size { vec![join(parts)] } else { parts.windows(size).map(join).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_spellings_of_one_address_are_one() {
        let plain = canonical_url("https://example.com/news/a");
        for same in [
            "http://www.Example.COM/news/a/",
            "https://example.com:443/news/a#top",
            "https://example.com/news/a?utm_source=x&fbclid=1&UTM_medium=y",
            "example.com/news/a",
        ] {
            assert_eq!(canonical_url(same), plain, "{same}");
        }
        assert_ne!(canonical_url("https://example.com/news/a?id=7"), plain);
        assert_eq!(canonical_url("https://e.com/?b=2&a=1"), canonical_url("http://e.com?a=1&b=2"));
    }

    #[test]
    fn a_front_page_names_no_article() {
        assert_eq!(canonical_url("https://www.example.com/"), None);
        assert_eq!(canonical_url(""), None);
        assert_eq!(canonical_url("://"), None);
    }

    #[test]
    fn words_are_folded_across_accents_widths_and_quotes() {
        assert_eq!(words("Ｃafé’s  RÉSUMÉ—x!"), ["cafes", "resume", "x"]);
        assert_eq!(words("مُـحَمَّد"), ["محمد"]);
        assert!(words("—!?").is_empty());
    }

    #[test]
    fn a_text_without_spaces_is_cut_by_characters() {
        assert!(reads_without_spaces(&words("東京で新しい半導体工場が開業")));
        assert!(!reads_without_spaces(&words("افتتاح مصنع جديد")));
        assert!(shingles(&words("東京で新しい半導体工場が開業")).len() > 5);
        assert_eq!(shingles(&words("two words")).len(), 1);
    }
}
