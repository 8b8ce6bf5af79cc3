use std::fs;

use proptest::prelude::*;

use super::*;
use crate::engine::library::{Answer, Query};
use crate::workspace::{Config, Origin, Workspace};

fn bands() -> Bands {
    Bands::new([("noise".into(), 0.0), ("low".into(), 2.0), ("high".into(), 7.0)]).expect("bands")
}

fn index() -> ArticleIndex {
    let readers = ["texas_nurse", "kuwait_cpeg"].map(|id| ProfileId::new(id).expect("id")).to_vec();
    let mut index = ArticleIndex::for_readers(readers);
    let mut interned = HashMap::new();
    let row = |id, title, source, kind, language, published, takes_part| Brief {
        id,
        title,
        source,
        kind,
        language,
        published,
        takes_part,
    };
    let rows = [
        row("a1", "Ward opens", "Gazette", SourceType::Official, Some("en"), Some("2026-03-01"), true),
        row("a2", "Équipe de nuit", "Le Soir", SourceType::News, Some("fr"), Some("2026-04-01"), true),
        row("a3", "Chip rumours", "Gazette", SourceType::Blog, None, None, false),
    ];
    for row in &rows {
        index.push(row, &mut interned);
    }
    for (row, reader, score) in [(0, 0, 8.5), (0, 1, 0.5), (1, 0, 2.0)] {
        index.set_score(row, reader, score);
    }
    index
}

fn found(filter: &str) -> Vec<usize> {
    let (index, terms) = (index(), Terms::read(filter, &bands()));
    let says = |row: usize| terms.words.iter().all(|word| index.says(row, word));
    (0..index.len()).filter(|row| index.passes(*row, &terms) && says(*row)).collect()
}

#[test]
fn a_filter_asks_for_kinds_bands_readers_languages_and_words_together() {
    let cases: [(&str, &[usize]); 17] = [
        ("", &[0, 1, 2]),
        ("WARD", &[0]),
        ("équipe", &[1]),
        ("gazette", &[0, 2]),
        ("a3", &[2]),
        ("source:off", &[0]),
        ("source:", &[0, 1, 2]),
        ("lang:fr", &[1]),
        ("profile:texas", &[0]),
        ("band:high", &[0]),
        ("band:low profile:texas", &[1]),
        ("band:noise profile:kuwait", &[0]),
        ("band:nonsense", &[]),
        ("is:selected", &[0, 1]),
        ("not:selected", &[2]),
        ("not:scored", &[2]),
        ("source:official ward nothing", &[]),
    ];
    for (filter, expected) in cases {
        assert_eq!(found(filter), expected, "{filter:?}");
    }
}

#[test]
fn a_word_of_the_filter_that_means_nothing_is_said() {
    let remark = |filter: &str| Terms::read(filter, &bands()).remark;
    assert_eq!(remark("band:lo is:sel lang:x words"), None);
    assert!(remark("band:huge").is_some_and(|r| r.contains("noise, low, high")));
    assert!(remark("is:odd").is_some_and(|r| r.contains("selected and scored")));
}

#[test]
fn rows_are_ordered_by_what_is_asked_for_and_equal_ones_stay() {
    let index = index();
    let order = |sort| {
        let mut rows = vec![0, 1, 2];
        index.sort(&mut rows, sort);
        rows
    };
    assert_eq!(order(ArticleSort::Order), [0, 1, 2]);
    assert_eq!(order(ArticleSort::Title), [2, 0, 1]);
    assert_eq!(order(ArticleSort::Source), [0, 2, 1]);
    assert_eq!(order(ArticleSort::Newest), [1, 0, 2]);
    assert_eq!(order(ArticleSort::Highest), [0, 1, 2]);
    assert_eq!(order(ArticleSort::Spread), [0, 1, 2]);
}

#[test]
fn the_library_reads_what_is_stored_and_looks_into_summaries_only_when_asked_deeply() {
    let folder = tempfile::tempdir().expect("folder");
    Workspace::init(folder.path(), &Config::default()).expect("inits");
    let workspace = Workspace::open(folder.path()).expect("opens");
    let article = |id: &str, title: &str, summary: &str| -> Article {
        let row = serde_json::json!({"id": id, "title": title, "summary": summary, "source": "Gazette", "url": ""});
        serde_json::from_value(row).expect("article")
    };
    let text = "The port authority said on Monday that the new crane would lift containers before the summer begins. It was \
                built abroad, came by ship in four parts and was put together on the quay by forty engineers, who will \
                train the first drivers in spring, while the old one goes to a smaller harbour further up the coast.";
    let rows = [
        article("a1", "Port gets a crane", text),
        article("a2", "A crane for the port", &format!("{text} It is blue.")),
        article("a3", "Football", "Eleven players on each side and one ball, as ever before."),
    ];
    workspace.ledger().expect("opens").put_articles(&rows, Origin::Imported).expect("stores");
    let mut library = Library::open(workspace).expect("opens");
    let Ok(Answer::ArticleIndex(index)) = library.answer(&Query::ArticleIndex) else { panic!("an index") };
    assert_eq!((index.len(), index.selected(), index.title(2), index.language(0)), (3, 3, "Football", Some("en")));
    let mut rows = |filter: &str, deep| {
        let query = Query::FindArticles { filter: filter.into(), sort: ArticleSort::Order, deep };
        match library.answer(&query) {
            Ok(Answer::Found(found)) => found.rows.clone(),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!((rows("containers", false), rows("containers", true)), (vec![], vec![0, 1]));
    assert_eq!(rows("crane containers", true), [0, 1]);
    let id = ArticleId::new("a1").expect("id");
    let Ok(Answer::Neighbours(near)) = library.answer(&Query::Neighbours(id)) else { panic!("neighbours") };
    assert_eq!(near.iter().map(|n| n.id.as_str()).collect::<Vec<_>>(), ["a2"]);
    let gone = library.answer(&Query::Article(ArticleId::new("zz").expect("id")));
    assert!(gone.is_err_and(|why| why.contains("not stored")));
}

#[test]
fn a_library_cannot_write() {
    let folder = tempfile::tempdir().expect("folder");
    Workspace::init(folder.path(), &Config::default()).expect("inits");
    let workspace = Workspace::open(folder.path()).expect("opens");
    let row = serde_json::json!({"id": "a", "title": "t", "summary": "s", "source": "g", "url": ""});
    let row: Article = serde_json::from_value(row).expect("article");
    assert!(workspace.reader().expect("opens").put_articles(&[row], Origin::Imported).is_err());
    assert!(fs::metadata(folder.path().join(".stratos/ledger.sqlite")).is_ok());
}

proptest! {
    #[test]
    fn a_word_is_found_in_any_case_and_any_script(before in "\\PC{0,12}", word in "[a-zéя日]{1,5}", after in "\\PC{0,12}") {
        let text = format!("{before}{}{after}", word.to_uppercase());
        prop_assert!(contains(&text, &word.to_uppercase().to_lowercase()));
    }

    #[test]
    fn any_filter_is_read_without_panic(filter in "\\PC{0,40}") {
        let _ = found(&filter);
    }
}
