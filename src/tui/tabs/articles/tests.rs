//! Tests of the Articles tab: the list, hostile titles, the page of one article, a list of 200,000.

use std::sync::Arc;

use super::*;
use crate::domain::{Article, ProfileId, SourceType};
use crate::engine::{ArticleView, Found, Neighbour, ReaderScore};
use crate::tui::tabs::TabState;
use crate::tui::testing::{SIZES, Stage, article_index};

const HERE: Phase = Phase::Articles;

fn id(text: &str) -> ArticleId {
    ArticleId::new(text).expect("id")
}

fn stage(tab: &TabState) -> Stage {
    let index = article_index(
        &["texas_nurse", "kuwait_cpeg"],
        &[
            ("a1", "Hospital opens ward", SourceType::Official, true, &[8.5, 0.5]),
            ("a2", "\u{1b}[2J\u{1b}]0;owned\u{7}\u{202e}Chip plant", SourceType::News, true, &[2.0]),
            ("a3", "日本語の記事 rumour", SourceType::Blog, false, &[]),
        ],
    );
    let row = serde_json::json!({"id": "a1", "title": "Hospital opens ward", "summary": "Night shifts in Houston.",
        "source": "Gazette", "source_type": "official"});
    let article: Article = serde_json::from_value(row).expect("article");
    let score = |reader: &str, score| ReaderScore {
        reader: ProfileId::new(reader).expect("id"),
        score,
        by: "rehearsal".into(),
        reason: "A ward needs nurses.\u{1b}[31m".into(),
    };
    let scores = vec![score("texas_nurse", 8.5), score("kuwait_cpeg", 0.5)];
    let near = Neighbour { id: id("a9"), title: "A ward opens".into(), why: "near text (84 %)".into() };
    Stage::of(&Snapshot::default(), tab)
        .answered(&Query::ArticleIndex, index)
        .answered(&Query::Article(id("a1")), Answer::Article(Arc::new(ArticleView { article, scores })))
        .answered(&Query::Neighbours(id("a1")), Answer::Neighbours(Arc::new(vec![near])))
}

use crate::engine::Snapshot;

#[test]
fn the_list_and_the_page_of_an_article_at_three_sizes() {
    let mut stage = stage(&TabState::default());
    stage.own.articles.marks.insert("a2".into());
    stage.own.articles.sort = ArticleSort::Order;
    for size in SIZES {
        insta::assert_snapshot!(format!("articles_{}x{}", size.0, size.1), stage.styled(HERE, size));
    }
}

#[test]
fn the_page_of_an_article_has_every_score_its_giver_and_its_near_duplicates() {
    let drawn = stage(&TabState { detail: true, ..TabState::default() }).text(HERE, (80, 24));
    for text in ["█  8.5 texas_nurse", "·  0.5 kuwait_cpeg", "by rehearsal", "A ward needs nurses.", "a9 A ward opens · near text (84 %)"] {
        assert!(drawn.contains(text), "{text} in\n{drawn}");
    }
}

#[test]
fn escape_sequences_in_a_title_or_a_reason_are_harmless() {
    for detail in [false, true] {
        let drawn = stage(&TabState { detail, ..TabState::default() }).text(HERE, (120, 40));
        assert!(!drawn.chars().any(|c| (c.is_control() && c != '\n') || c == '\u{202e}'), "{drawn}");
    }
}

#[test]
fn what_was_found_last_stays_until_the_new_search_is_answered() {
    let tab = TabState { filter: "ward".into(), ..TabState::default() };
    let mut stage = stage(&tab);
    let wanted = (TAB.wants)(&stage.look());
    let asked = stage.shelf.missing(wanted, &[0; 8]);
    assert_eq!(asked.len(), 2, "titles at once, summaries too: {asked:?}");
    assert_eq!(stage.rows(HERE), 3, "everything until something is found");
    stage.shelf.put(&asked[0], Some(Ok(Answer::Found(Arc::new(Found { rows: vec![2], remark: None })))));
    assert_eq!(stage.rows(HERE), 1);
    assert!(stage.text(HERE, (80, 24)).contains("searching…"));
    stage.shelf.put(&asked[1], Some(Ok(Answer::Found(Arc::new(Found { rows: vec![0, 2], remark: None })))));
    assert_eq!(stage.rows(HERE), 2);
    assert_eq!(selected_id(&stage.look()), Some(id("a1")));
}

#[test]
fn no_size_panics_and_a_stale_search_points_nowhere() {
    let mut stage = stage(&TabState { filter: "x".into(), ..TabState::default() });
    let wanted = (TAB.wants)(&stage.look());
    let asked = stage.shelf.missing(wanted, &[0; 8]);
    stage.shelf.put(&asked[0], Some(Ok(Answer::Found(Arc::new(Found { rows: vec![7, 1], remark: None })))));
    for size in [(1, 1), (2, 2), (3, 3), (5, 1), (1, 9), (13, 7), (40, 4), (99, 12), (100, 2)] {
        stage.text(HERE, size);
    }
    assert_eq!(selected_id(&stage.look()), None);
}
