//! Tests of files of articles: each format by table, bad files by their words.

use super::*;
use crate::domain::SourceType;

fn read(bytes: &[u8]) -> Result<Vec<ArticleRow>, String> {
    let dir = tempfile::tempdir().expect("temp dir");
    let path = dir.path().join("articles");
    std::fs::write(&path, bytes).expect("writes");
    let rows = ArticleFile::open(&path, &FeedTerms::default()).map_err(|e| e.to_string())?;
    rows.collect::<Result<_, _>>().map_err(|e| e.to_string())
}

#[test]
fn a_file_is_told_by_its_content() {
    let table = [
        ("json lines", "{\"id\":\"a\",\"title\":\"T\",\"summary\":\"s\"}\n"),
        ("json array", "\n [{\"id\":\"a\",\"title\":\"T\",\"description\":\"s\"}]"),
        ("csv", "id,title,summary\na,T,s\n"),
        (
            "csv with a mark, quotes and windows' lines",
            "\u{feff}\"Article ID\",\"Headline\",\"Description\"\r\na,\"T\",\"s\"\r\n",
        ),
        ("semicolons", "title;content;id\nT;s;a"),
        ("tsv", "id\ttitle\tsummary\na\tT\ts\n"),
    ];
    for (name, text) in table {
        let rows = read(text.as_bytes()).expect(name);
        let [row] = rows.as_slice() else { panic!("{name}: {rows:?}") };
        let article = &row.article;
        assert_eq!((article.id.as_str(), article.title.as_str(), article.summary.as_str()), ("a", "T", "s"), "{name}");
    }
}

#[test]
fn a_table_keeps_quoted_texts_whole_and_names_what_has_no_id() {
    let text = "title,link,source_type,tags,content,description\n\"Oil, \"\"up\"\"\",https://e.org/1?utm_source=x,News,\"oil; gas\",no,\"two\nlines\"\nT,,,,,\n";
    let rows = read(text.as_bytes()).expect("reads");
    let (first, second) = (&rows[0], &rows[1]);
    assert_eq!((first.article.title.as_str(), first.article.summary.as_str()), ("Oil, \"up\"", "two\nlines"));
    assert_eq!((first.article.source_type, first.typed, second.typed), (SourceType::News, true, false));
    assert_eq!(first.article.keywords, ["oil", "gas"]);
    assert_eq!((first.line, second.line), (2, 4));
    assert_eq!(first.article.id.as_str(), identity::made_id("http://www.e.org/1", "", ""));
}

#[test]
fn what_is_bad_is_named_with_its_line() {
    let long = format!("id,title\na,T\nb,\"{}", "x".repeat(6 << 20));
    let big = format!("{{\"id\":\"a\",\"title\":\"T\",\"summary\":\"{}\"}}", "x".repeat(MAX_FIELD + 1));
    let table: [(&[u8], &str); 9] = [
        (b"id,title\na,T\nb,T,x\n", "line 3: it has 3 fields and the header 2"),
        (b"id,title\na,T\n\xff,T\n", "line 3: the id is not UTF-8"),
        (b"id,title\na,\n", "line 2: the article has no 'title'"),
        (b"id,title,source_type\na,T,radio\n", "line 2: unknown variant"),
        (long.as_bytes(), "is a quote left open"),
        (big.as_bytes(), "line 1: its summary is longer than 200000 characters"),
        (b"<!DOCTYPE html>\n<html><body></body></html>", "a web page, not RSS or Atom"),
        (b"<rss><channel>\n<item></channel></rss>", "line 2: the XML is broken"),
        (b"some words", "line 1"),
    ];
    for (bytes, wanted) in table {
        let error = read(bytes).expect_err(wanted);
        assert!(error.contains(wanted) && error.contains("import again"), "{wanted}: {error}");
    }
}

#[test]
fn a_western_feed_that_says_so_is_read_and_one_that_does_not_is_refused() {
    let feed = |head: &str| {
        let mut bytes = format!("{head}<rss><channel>\n<item><title>caf").into_bytes();
        bytes.extend(b"\xe9 \x97 bar</title></item></channel></rss>");
        bytes
    };
    let rows = read(&feed("<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?>")).expect("reads");
    assert_eq!(rows[0].article.title, "café — bar");
    assert!(read(&feed("<?xml version=\"1.0\"?>")).expect_err("not said").contains("line 2: the text is not UTF-8"));
}

proptest::proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..300)) {
        let _ = read(&bytes);
    }

    #[test]
    fn anything_that_looks_like_a_feed_is_read_or_refused(
        parts in proptest::collection::vec(proptest::sample::select(vec![
            "<rss>", "</rss>", "<feed xml:base='x'>", "</feed>", "<channel>", "<item>", "</item>", "<entry>", "<title>", "</title>",
            "<link href='/a'/>", "<![CDATA[<b>", "]]>", "&lt;", "&bomb;", "<!DOCTYPE a [<!ENTITY b \"c\">]>", "text", "<", "é", "\0",
            "<media:group>", "<description type='xhtml'>", "</description>", "<pubDate>Mon, 2 Jan 2006", "</pubDate>",
        ]), 0..30)
    ) {
        let _ = read(parts.concat().as_bytes());
    }
}

/// What pyarrow wrote (`.ci/peers/parquet_articles.py`).
fn written(name: &str) -> Result<Vec<ArticleRow>, String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/articles").join(name);
    read(&std::fs::read(path).expect("a fixture"))
}

#[test]
fn a_parquet_file_gives_what_its_columns_say() {
    let rows = written("snappy.parquet").expect("reads");
    let (first, second) = (&rows[0].article, &rows[1].article);
    assert_eq!((first.id.as_str(), first.title.as_str(), first.summary.as_str()), ("a", "Ölpreis steigt", "Barrel über 100 $"));
    assert_eq!((first.source_type, rows[0].typed, rows[1].typed), (SourceType::News, true, false));
    assert_eq!(first.keywords, ["oil", "gas"]);
    assert!(first.published.as_deref() == Some("2026-03-01T12:30:00Z"), "{:?}", first.published);
    assert!(second.title.starts_with("Nurses ") && !second.title.contains('\u{1b}'), "{:?}", second.title);
    assert_eq!(second.id.as_str(), identity::made_id("https://e.org/2", "", ""));
    assert_eq!((rows.len(), rows[1].line), (2, 2));

    let rows = written("zstd.parquet").expect("reads");
    let told: Vec<_> =
        rows.iter().map(|r| (r.article.id.as_str(), r.article.title.as_str(), r.article.summary.as_str())).collect();
    assert_eq!(told, [("7", "Seven", "bytes as text"), ("8", "Eight", "")]);
    assert_eq!(rows[0].article.published.as_deref(), Some("2026-03-01T12:30:00Z"));
}

#[test]
fn a_parquet_file_that_cannot_be_read_says_what_to_do() {
    let untitled = written("untitled.parquet").expect_err("has no title");
    assert!(untitled.contains("no column 'title'") && untitled.contains("name, body"), "{untitled}");
    let gzip = written("gzip.parquet").expect_err("is not read");
    assert!(gzip.contains("GZIP") && gzip.contains("snappy"), "{gzip}");
}

#[test]
fn a_parquet_file_that_was_cut_or_changed_never_panics() {
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/articles/snappy.parquet");
    let whole = std::fs::read(fixture).expect("a fixture");
    let dir = tempfile::tempdir().expect("temp dir");
    let path = dir.path().join("articles");
    for end in 4..whole.len() {
        assert!(read(&whole[..end]).is_err(), "cut at {end}");
    }
    for at in 4..whole.len() {
        for bit in [0x01, 0x80, 0xff] {
            let mut bytes = whole.clone();
            bytes[at] ^= bit;
            std::fs::write(&path, &bytes).expect("writes");
            // Some bytes hold nothing that counts. Whoever goes on after a bad row, as scoring does, comes to an end.
            if let Ok(rows) = ArticleFile::open(&path, &FeedTerms::default()) {
                assert!(rows.take(100).count() < 100, "byte {at} makes it endless");
            }
        }
    }
}
