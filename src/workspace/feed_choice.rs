//! `[[feeds]]` of `stratos.toml`: where articles are fetched from.

use serde::{Deserialize, Serialize};

use crate::domain::{SourceType, one_line};

/// One feed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FeedChoice {
    pub url: String,
    /// What its articles' source is called, if not by the feed's own title.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// What kind of voice it is; absent: as the operator says of each article.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_type: Option<SourceType>,
}

impl FeedChoice {
    pub fn check(&self) -> Result<(), String> {
        let url = reqwest::Url::parse(&self.url).ok().filter(|url| ["http", "https"].contains(&url.scheme()));
        match url {
            Some(url) if !url.username().is_empty() || url.password().is_some() => {
                Err("feeds.url may hold no user or password".into())
            }
            Some(_) => Ok(()),
            None => Err(format!("feeds.url '{}' is no address; it begins with http:// or https://", one_line(&self.url, 80))),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::workspace::Config;

    #[test]
    fn feeds_are_read_proved_and_written_back() {
        let text = "[[feeds]]\nurl='https://a.example/rss'\n[[feeds]]\nurl='http://b.example/'\nsource='B'\nsource_type='blog'";
        let config = Config::from_toml(text).expect("valid");
        assert_eq!((config.feeds.len(), config.feeds[1].source.as_deref()), (2, Some("B")));
        assert_eq!(Config::from_toml(&config.to_toml()), Ok(config));
        for (feed, wanted) in [("url='ftp://a'", "no address"), ("url='https://me:secret@a/'", "no user"), ("source='B'", "url")]
        {
            let error = Config::from_toml(&format!("[[feeds]]\n{feed}")).expect_err(feed);
            assert!(error.contains(wanted), "{feed}: {error}");
        }
    }
}
