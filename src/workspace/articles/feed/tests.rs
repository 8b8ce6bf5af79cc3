//! Tests of feeds: one of each kind, and what real ones do wrong.

use super::*;

fn terms() -> FeedTerms {
    FeedTerms { address: "https://port.example/feeds/all.xml".into(), ..FeedTerms::default() }
}

const RSS: &str = r#"<?xml version="1.0" encoding="utf-8"?>
<rss version="2.0" xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:content="http://purl.org/rss/1.0/modules/content/"
     xmlns:media="http://search.yahoo.com/mrss/" xmlns:atom="http://www.w3.org/2005/Atom">
<channel>
  <title>Port News &amp; Tides</title><link>https://port.example/</link>
  <atom:link href="https://port.example/feeds/all.xml" rel="self"/>
  <image><title>logo</title><url>x.png</url></image>
  <item>
    <title><![CDATA[Quay <b>four</b> reopens]]></title>
    <link>/news/4?utm_source=rss</link>
    <guid isPermaLink="false">4711</guid>
    <description>&lt;p&gt;The crane&amp;nbsp;works&lt;/p&gt;&lt;p&gt;again &amp;amp; again.&lt;/p&gt;</description>
    <content:encoded><![CDATA[<p>Long text</p>]]></content:encoded>
    <pubDate>Tue, 03 Mar 2026 23:30:00 -0500</pubDate>
    <category>Shipping</category><category>Cranes</category><media:keywords>quay, crane</media:keywords>
    <media:content url="a.jpg"><media:title>a picture</media:title></media:content>
  </item>
  <item>
    <dc:title>Tide table</dc:title><guid>https://port.example/tides</guid><dc:date>2026-03-01T08:00:00Z</dc:date>
    <content:encoded><![CDATA[<script>x()</script>High water at <i>noon</i>]]></content:encoded>
  </item>
  <item><author>nobody</author></item>
</channel></rss>"#;

#[test]
fn rss_is_read_with_its_namespaces_and_relative_links() {
    let read = articles(RSS, &terms()).expect("a feed");
    let [quay, tide] = read.as_slice() else { panic!("{read:?}") };
    assert_eq!((quay.title.as_str(), quay.summary.as_str()), ("Quay four reopens", "The crane works again & again."));
    assert_eq!(quay.url, "https://port.example/news/4?utm_source=rss");
    assert_eq!((quay.source.as_str(), quay.published.as_deref()), ("Port News & Tides", Some("2026-03-03")));
    assert_eq!((quay.category.as_str(), quay.keywords.join(",")), ("Shipping", "Cranes,quay,crane".into()));
    assert_eq!(quay.id.as_str(), guid_id("4711", "https://port.example/"));
    assert_eq!((tide.title.as_str(), tide.summary.as_str()), ("Tide table", "High water at noon"));
    assert_eq!((tide.url.as_str(), tide.published.as_deref()), ("https://port.example/tides", Some("2026-03-01")));
    assert_eq!(articles(RSS, &terms()).expect("again"), read, "the same feed again is the same");
}

#[test]
fn rdf_is_read_although_its_items_stand_beside_the_channel() {
    let text = r#"<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns="http://purl.org/rss/1.0/">
        <channel rdf:about="https://a.example/"><title>A</title><link>https://a.example/</link><items/></channel>
        <item rdf:about="https://a.example/1"><title>One</title><link>https://a.example/1</link><dc:subject>Law</dc:subject>
        <description>First.</description></item></rdf:RDF>"#;
    let read = articles(text, &terms()).expect("a feed");
    let [one] = read.as_slice() else { panic!("{read:?}") };
    assert_eq!((one.title.as_str(), one.source.as_str(), one.category.as_str()), ("One", "A", "Law"));
    assert_eq!(one.id.as_str(), made_id("https://a.example/1", "", ""));
}

#[test]
fn atom_is_read_with_its_three_kinds_of_text() {
    let text = r#"<feed xmlns="http://www.w3.org/2005/Atom" xml:base="https://b.example/blog/"><title>B</title>
        <entry><title type="text">1 &lt; 2</title><id>tag:b.example,2026:1</id><link rel="edit" href="/no"/><link href="post/1"/>
          <updated>2026-02-28T10:00:00+01:00</updated><summary type="html">&lt;em&gt;So&lt;/em&gt; it is</summary>
          <source><title>elsewhere</title></source><category term="maths" label="Mathematics"/></entry>
        <entry><title type="html">x &amp;amp; y</title><id>tag:b.example,2026:2</id>
          <content type="xhtml"><div xmlns="http://www.w3.org/1999/xhtml"><p>One</p><p>Two &lt;b&gt;</p></div></content></entry></feed>"#;
    let terms = FeedTerms { source: Some("The blog".into()), source_type: Some(SourceType::Blog), ..terms() };
    let read = articles(text, &terms).expect("a feed");
    let [first, second] = read.as_slice() else { panic!("{read:?}") };
    assert_eq!((first.title.as_str(), first.summary.as_str()), ("1 < 2", "So it is"));
    assert_eq!((first.url.as_str(), first.category.as_str()), ("https://b.example/blog/post/1", "Mathematics"));
    assert_eq!((first.source.as_str(), first.source_type), ("The blog", SourceType::Blog));
    assert_eq!(first.published.as_deref(), Some("2026-02-28"));
    assert_eq!((second.title.as_str(), second.summary.as_str()), ("x & y", "One Two <b>"));
}

#[test]
fn a_bomb_stays_a_word_and_depth_has_an_end() {
    let bomb = "<!DOCTYPE r [<!ENTITY a \"boom boom\"><!ENTITY b \"&a;&a;&a;\">]><rss><channel><item><title>&b;</title></item></channel></rss>";
    assert_eq!(articles(bomb, &terms()).expect("a feed")[0].title, "&b;");
    let deep = format!("<rss>\n{}", "<x>".repeat(200));
    let error = articles(&deep, &terms()).expect_err("too deep");
    assert!(error.why.contains("deep") && error.line == 2, "{error:?}");
}

#[test]
fn what_is_no_feed_says_what_it_is_instead() {
    for (text, wanted) in [
        ("<html><body>", "a web page"),
        ("<svg/>", "another kind (<svg>)"),
        ("<rss><channel>\n\n<item>", "ends within <item>"),
        ("<rss><channel></rss>", "broken"),
    ] {
        let error = articles(text, &terms()).expect_err(text);
        assert!(error.why.contains(wanted), "{text}: {error:?}");
    }
    assert_eq!(articles("<rss/>", &terms()).expect("an empty feed"), []);
}
