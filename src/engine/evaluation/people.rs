//! Stored readers and articles by id, and which articles are the same article.

use std::collections::HashMap;

use super::super::job::Failure;
use crate::dataset::{Clusters, cluster};
use crate::domain::{Article, ArticleId, PairKey, Profile, ProfileId};
use crate::workspace::{Ledger, WorkspaceError};

pub(in super::super) struct People {
    profiles: HashMap<ProfileId, Profile>,
    articles: HashMap<ArticleId, Article>,
    clusters: Clusters,
}

impl People {
    pub fn load(ledger: &Ledger) -> Result<Self, WorkspaceError> {
        let articles: Vec<Article> = ledger.articles()?.into_iter().map(|(a, _)| a).collect();
        Ok(Self {
            profiles: ledger.profiles()?.into_iter().map(|(p, _)| (p.id.clone(), p)).collect(),
            clusters: cluster(&articles),
            articles: articles.into_iter().map(|a| (a.id.clone(), a)).collect(),
        })
    }

    pub fn profile(&self, id: &ProfileId) -> Option<&Profile> {
        self.profiles.get(id)
    }

    pub fn article(&self, id: &ArticleId) -> Option<&Article> {
        self.articles.get(id)
    }

    /// Reader and article of a row of the dataset.
    pub fn of(&self, pair: &PairKey) -> Result<(&Profile, &Article), Failure> {
        match (self.profile(&pair.profile), self.article(&pair.article)) {
            (Some(profile), Some(article)) => Ok((profile, article)),
            _ => Err(Failure::new(
                format!("{pair} is in the dataset but no longer stored"),
                "Run 'stratos dataset build --again'.",
            )),
        }
    }

    /// The name of the article's cluster of near-duplicates.
    pub fn cluster(&self, article: &ArticleId) -> String {
        self.clusters.cluster_of(article).as_str().to_owned()
    }
}
