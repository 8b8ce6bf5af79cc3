//! Who speaks: the article's own source type, or what its source name and address tell.

use super::lexicon::SourceTells;
use super::phrases::Phrase;
use super::phrases::tokenise;
use crate::domain::{Article, SourceType};

/// The source type given, or inferred where it is unknown.
pub fn infer(tells: &SourceTells, article: &Article) -> SourceType {
    if article.source_type != SourceType::Unknown {
        return article.source_type;
    }
    let host = host(&article.url);
    let path = article.url.to_ascii_lowercase();
    let on = |hosts: &[String]| {
        let dotted = format!(".{host}.");
        !host.is_empty()
            && hosts.iter().any(|h| if h.starts_with('.') { dotted.contains(h.as_str()) } else { is_label(&dotted, h) })
    };
    let name = tokenise(&article.source);
    let called = |words: &[String]| words.iter().filter_map(|w| Phrase::new(w)).any(|w| w.is_in(&name));
    if on(&tells.blog_hosts) || path.contains("/blog/") || called(&tells.blog_words) {
        SourceType::Blog
    } else if on(&tells.official_hosts)
        || path.contains("/newsroom/")
        || path.contains("/press-release")
        || called(&tells.official_words)
    {
        SourceType::Official
    } else if on(&tells.news_hosts) || called(&tells.news_words) {
        SourceType::News
    } else {
        SourceType::Unknown
    }
}

/// `x.com` must not match `netflix.com`; words such as `news` may stand anywhere in a host.
fn is_label(dotted: &str, tell: &str) -> bool {
    if tell.contains('.') { dotted.contains(&format!(".{tell}")) } else { dotted.contains(tell) }
}

/// Host of an address, small letters, without `www.`.
pub fn host(url: &str) -> String {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let host = rest.split(['/', '?', '#', ':']).next().unwrap_or_default().to_ascii_lowercase();
    host.strip_prefix("www.").map_or(host.clone(), str::to_owned)
}

/// The name a host was registered under, capitalised as in the address; empty for a bare word.
pub fn label(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let host = rest.split(['/', '?', '#', ':']).next().unwrap_or_default();
    let mut parts = host.rsplit('.');
    let _top = parts.next();
    match parts.next() {
        Some("co" | "com" | "org" | "gov" | "edu" | "ac") => parts.next().unwrap_or_default(),
        Some(name) => name,
        None => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::teacher::rehearsal::lexicon::Lexicon;

    fn kind(source: &str, url: &str) -> SourceType {
        let json = serde_json::json!({ "title": "t", "source": source, "url": url });
        let article = serde_json::from_value(json).expect("an article");
        infer(&Lexicon::shipped().expect("reads").sources, &article)
    }

    #[test]
    fn the_address_and_the_name_tell_who_speaks() {
        use SourceType as S;
        let cases = [
            ("Serper/Google", "https://smartjobs.qld.gov.au/x", S::Official),
            ("Serper/Google", "https://www.nasa.gov/x", S::Official),
            ("Serper/Google", "https://drbobsutor.substack.com/p/x", S::Blog),
            ("LinkedIn", "https://www.linkedin.com/pulse/x", S::Blog),
            ("Detroit Free Press", "https://www.freep.com/x", S::News),
            ("Serper/Google", "https://www.netflix.com/x", S::Unknown),
            ("NVIDIA Newsroom", "", S::Official),
        ];
        for (source, url, expected) in cases {
            assert_eq!(kind(source, url), expected, "{source} {url}");
        }
    }

    #[test]
    fn a_host_is_known_by_the_name_it_was_registered_under() {
        assert_eq!(label("https://press.bmw.com/x"), "bmw");
        assert_eq!(label("https://a.b.co.uk"), "b");
        assert_eq!(label("nonsense"), "");
    }
}
