//! Names of articles that come without one: made of what stays the same when the article comes again.

use reqwest::Url;

use crate::domain::Digest;

/// Digits of a made id.
const DIGITS: usize = 16;

/// Parameters that say how somebody came to a page, and not which page it is.
const TRACKING: [&str; 8] = ["fbclid", "gclid", "msclkid", "mc_cid", "mc_eid", "igshid", "ref_src", "cmpid"];

/// The id of an article by its address, else by its title and its source.
pub fn made_id(url: &str, title: &str, source: &str) -> String {
    match canonical(url) {
        Some(page) => id_of(&("url", page)),
        None => id_of(&("title", title.trim().to_lowercase(), source.trim().to_lowercase())),
    }
}

/// The id of an entry that its feed names. Names like `1234` are a feed's own, so its place is part of them.
pub fn guid_id(guid: &str, feed: &str) -> String {
    if guid.contains(':') { id_of(&("guid", guid)) } else { id_of(&("guid", guid, canonical(feed).unwrap_or_default())) }
}

fn id_of(parts: &impl serde::Serialize) -> String {
    Digest::of_json(parts).as_str()[..DIGITS].to_owned()
}

/// An address without what does not change the page: scheme, fragment, tracking, the last slash.
fn canonical(text: &str) -> Option<String> {
    let url = Url::parse(text.trim()).ok().filter(|url| matches!(url.scheme(), "http" | "https"))?;
    let host = url.host_str()?.trim_start_matches("www.").to_owned();
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    let mut pairs: Vec<(String, String)> = url
        .query_pairs()
        .filter(|(key, _)| !key.starts_with("utm_") && !TRACKING.contains(&key.as_ref()))
        .map(|(k, v)| (k.into_owned(), v.into_owned()))
        .collect();
    pairs.sort();
    let query: Vec<String> = pairs.into_iter().map(|(key, value)| format!("{key}={value}")).collect();
    Some(format!("{host}{port}{}?{}", url.path().trim_end_matches('/'), query.join("&")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_page_has_one_id_however_it_was_reached() {
        let id = made_id("https://www.example.org/news/1?b=2&a=1", "T", "S");
        for url in ["http://example.org/news/1/?a=1&b=2", "https://EXAMPLE.org:443/news/1?a=1&utm_source=x&b=2#top"] {
            assert_eq!(made_id(url, "another title", ""), id, "{url}");
        }
        for url in
            ["https://example.org/news/2?a=1&b=2", "https://example.org/news/1?a=1", "https://example.org:8443/news/1?a=1&b=2"]
        {
            assert_ne!(made_id(url, "T", "S"), id, "{url}");
        }
        assert_eq!(made_id("", " Title", "S"), made_id("no url", "title ", "s"));
        assert_ne!(made_id("", "Title", "S"), made_id("", "Title", "another"));
    }

    #[test]
    fn a_feeds_own_numbers_are_not_another_feeds() {
        assert_ne!(guid_id("17", "https://a.example/feed"), guid_id("17", "https://b.example/feed"));
        assert_eq!(guid_id("tag:a.example,2026:17", "https://a.example"), guid_id("tag:a.example,2026:17", "https://b.example"));
    }
}
