//! A report as headings, sentences, tables and plots, and its two forms: Markdown and one HTML page that needs nothing else.
//! Owns escaping and style; what is said is `report_parts`'.

use std::fmt::Write as _;

use super::plots::escape;
use crate::domain::safe_text;

/// A part of a section. All texts are raw: each form escapes them in its own way.
#[derive(Debug, Clone, PartialEq)]
pub enum Block {
    Text(String),
    List(Vec<String>),
    Table(Grid),
    /// A drawing made by `plots`, and the figures behind it.
    Plot {
        caption: String,
        svg: String,
        data: Grid,
    },
    /// Text kept as it is written.
    Quote(String),
}

/// A table: a head, and rows of as many cells.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Grid {
    pub head: Vec<String>,
    pub rows: Vec<Vec<String>>,
    /// Places of rows that rest on too little to lean on.
    pub weak: Vec<usize>,
}

impl Grid {
    pub fn new(head: &[&str]) -> Self {
        Self { head: head.iter().map(|h| (*h).to_owned()).collect(), ..Self::default() }
    }

    pub fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }

    /// A row that is greyed out.
    pub fn weak_row(&mut self, cells: Vec<String>, weak: bool) {
        if weak {
            self.weak.push(self.rows.len());
        }
        self.rows.push(cells);
    }
}

#[derive(Debug, Clone, PartialEq)]
pub struct Section {
    pub title: String,
    pub blocks: Vec<Block>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Document {
    pub title: String,
    /// Under the title.
    pub lead: Vec<String>,
    pub sections: Vec<Section>,
}

/// Text on one line of Markdown, with nothing in it that Markdown or HTML would take for its own.
pub fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in safe_text(text).split_whitespace().collect::<Vec<_>>().join(" ").chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '#' | '!' | '~' | '$' => {
                out.push('\\');
                out.push(c);
            }
            c => out.push(c),
        }
    }
    // What begins a list or a rule only at the start of a line.
    let digits = out.len() - out.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    if out.starts_with(['-', '+', '=']) {
        out.insert(0, '\\');
    } else if digits > 0 && out[digits..].starts_with(['.', ')']) && out[digits + 1..].starts_with(' ') {
        out.insert(digits, '\\');
    }
    out
}

impl Document {
    pub fn markdown(&self) -> String {
        let mut out = format!("# {}\n", plain(&self.title));
        for line in &self.lead {
            let _ = write!(out, "\n{}\n", plain(line));
        }
        for section in &self.sections {
            let _ = write!(out, "\n## {}\n", plain(&section.title));
            section.blocks.iter().for_each(|block| markdown_block(block, &mut out));
        }
        out
    }

    /// One page: style and drawings inside, no script, nothing fetched.
    pub fn html(&self) -> String {
        let title = escape(&self.title);
        let mut out = format!(
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta name=\"color-scheme\" content=\"light dark\">\n\
             <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
             <title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n<h1>{title}</h1>\n"
        );
        for line in &self.lead {
            let _ = writeln!(out, "<p class=\"lead\">{}</p>", escape(line));
        }
        out.push_str("<nav><ul>\n");
        for (place, section) in self.sections.iter().enumerate() {
            let _ = writeln!(out, "<li><a href=\"#s{place}\">{}</a></li>", escape(&section.title));
        }
        out.push_str("</ul></nav>\n");
        for (place, section) in self.sections.iter().enumerate() {
            let _ = writeln!(out, "<section id=\"s{place}\">\n<h2>{}</h2>", escape(&section.title));
            section.blocks.iter().for_each(|block| html_block(block, &mut out));
            out.push_str("</section>\n");
        }
        out.push_str("</main>\n</body>\n</html>\n");
        out
    }
}

fn markdown_block(block: &Block, out: &mut String) {
    let _ = match block {
        Block::Text(text) => write!(out, "\n{}\n", plain(text)),
        Block::List(items) => {
            out.push('\n');
            for item in items {
                let _ = writeln!(out, "- {}", plain(item));
            }
            Ok(())
        }
        Block::Table(grid) => {
            markdown_table(grid, out);
            Ok(())
        }
        Block::Plot { caption, data, .. } => {
            let _ = write!(out, "\n{} (drawn in the HTML report)\n", plain(caption));
            markdown_table(data, out);
            Ok(())
        }
        Block::Quote(text) => {
            out.push('\n');
            safe_text(text).lines().for_each(|line| {
                let _ = writeln!(out, "> {}  ", plain(line));
            });
            Ok(())
        }
    };
}

fn markdown_table(grid: &Grid, out: &mut String) {
    if grid.rows.is_empty() {
        return;
    }
    let line = |cells: &[String]| format!("| {} |\n", cells.iter().map(|c| plain(c)).collect::<Vec<_>>().join(" | "));
    out.push('\n');
    out.push_str(&line(&grid.head));
    let rules: Vec<&str> = (0..grid.head.len()).map(|c| if c == 0 { "---" } else { "--:" }).collect();
    let _ = writeln!(out, "| {} |", rules.join(" | "));
    for (place, row) in grid.rows.iter().enumerate() {
        let weak = grid.weak.contains(&place);
        let cells: Vec<String> = row
            .iter()
            .enumerate()
            .map(|(c, cell)| if weak && c == 0 { format!("{cell} (few rows)") } else { cell.clone() })
            .collect();
        out.push_str(&line(&cells));
    }
}

fn html_block(block: &Block, out: &mut String) {
    let _ = match block {
        Block::Text(text) => writeln!(out, "<p>{}</p>", escape(text)),
        Block::List(items) => {
            out.push_str("<ul>\n");
            for item in items {
                let _ = writeln!(out, "<li>{}</li>", escape(item));
            }
            writeln!(out, "</ul>")
        }
        Block::Table(grid) => {
            html_table(grid, out);
            Ok(())
        }
        Block::Plot { caption, svg, data } => {
            let _ = writeln!(out, "<figure>\n{svg}\n<figcaption>{}</figcaption>", escape(caption));
            if !data.rows.is_empty() {
                out.push_str("<details><summary>figures</summary>\n");
                html_table(data, out);
                out.push_str("</details>\n");
            }
            writeln!(out, "</figure>")
        }
        Block::Quote(text) => writeln!(out, "<blockquote><pre>{}</pre></blockquote>", escape(text)),
    };
}

fn html_table(grid: &Grid, out: &mut String) {
    if grid.rows.is_empty() {
        return;
    }
    out.push_str("<div class=\"wide\"><table>\n<thead><tr>");
    for h in &grid.head {
        let _ = write!(out, "<th scope=\"col\">{}</th>", escape(h));
    }
    out.push_str("</tr></thead>\n<tbody>\n");
    for (place, row) in grid.rows.iter().enumerate() {
        let weak = grid.weak.contains(&place);
        out.push_str(if weak { "<tr class=\"weak\" title=\"few rows: do not lean on it\">" } else { "<tr>" });
        for cell in row {
            let _ = write!(out, "<td>{}</td>", escape(cell));
        }
        out.push_str("</tr>\n");
    }
    out.push_str("</tbody></table></div>\n");
}

/// Light by default, dark where the reader's system is; plots take their colours from here.
const STYLE: &str = ":root{--ground:#fff;--ink:#1c2126;--soft:#5b6670;--rule:#d9dee3;--one:#1f5fa8;--two:#b8651b;--three:#2b8a5c;--bad:#b3261e;--heat:31,95,168}
@media(prefers-color-scheme:dark){:root{--ground:#14181c;--ink:#e6e9ec;--soft:#9aa5af;--rule:#333b43;--one:#6fb1ff;--two:#f0a35c;--three:#62c894;--bad:#ff8a80;--heat:111,177,255}}
body{margin:0;background:var(--ground);color:var(--ink);font:16px/1.5 system-ui,sans-serif}
main{max-width:60rem;margin:0 auto;padding:1.5rem}
h1{font-size:1.6rem;margin:.2rem 0 .6rem}h2{font-size:1.2rem;margin:2.2rem 0 .6rem;border-bottom:1px solid var(--rule)}
p.lead{margin:.2rem 0;color:var(--soft)}nav ul{padding:0;list-style:none;display:flex;flex-wrap:wrap;gap:.2rem 1rem}
a{color:var(--one)}.wide{overflow-x:auto}table{border-collapse:collapse;font-size:.9rem;font-variant-numeric:tabular-nums}
th,td{padding:.2rem .7rem;border-bottom:1px solid var(--rule);text-align:right;vertical-align:top}
th:first-child,td:first-child{text-align:left}th{color:var(--soft);font-weight:600}
tr.weak td{color:var(--soft);font-style:italic}
figure{margin:1rem 0}figcaption,summary{color:var(--soft);font-size:.9rem}svg{width:100%;max-width:48rem;height:auto;display:block}
blockquote{margin:.4rem 0 1rem;padding:.1rem 1rem;border-left:3px solid var(--rule)}pre{white-space:pre-wrap;overflow-wrap:anywhere;font-size:.85rem}
svg text{fill:var(--soft);font:12px system-ui,sans-serif}svg text.cell{fill:var(--ink)}svg .grid{stroke:var(--rule);stroke-width:.6}
svg .axis{stroke:var(--soft)}svg .ideal{stroke:var(--soft);stroke-dasharray:4 4}svg .interval{stroke:var(--ink);stroke-width:1.4}
svg polyline{fill:none;stroke-width:2}svg .line1{stroke:var(--one)}svg .line2{stroke:var(--two)}svg .line3{stroke:var(--three)}
svg .fill1{fill:var(--one)}svg .fill2{fill:var(--two)}svg .fill3{fill:var(--three)}
svg .heat0{fill:rgba(var(--heat),.05)}svg .heat1{fill:rgba(var(--heat),.15)}svg .heat2{fill:rgba(var(--heat),.28)}
svg .heat3{fill:rgba(var(--heat),.42)}svg .heat4{fill:rgba(var(--heat),.56)}svg .heat5{fill:rgba(var(--heat),.7)}
@media print{:root{--ground:#fff;--ink:#000}details{display:none}}
";

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn document(text: &str) -> Document {
        let mut grid = Grid::new(&["name", text]);
        grid.weak_row(vec![text.to_owned(), "1".to_owned()], true);
        let blocks = vec![
            Block::Text(text.to_owned()),
            Block::List(vec![text.to_owned()]),
            Block::Table(grid.clone()),
            Block::Plot { caption: text.to_owned(), svg: "<svg></svg>".into(), data: grid },
            Block::Quote(format!("{text}\nsecond")),
        ];
        Document {
            title: text.to_owned(),
            lead: vec![text.to_owned()],
            sections: vec![Section { title: text.to_owned(), blocks }],
        }
    }

    #[test]
    fn nothing_from_outside_becomes_markup() {
        let nasty = "<script>alert(1)</script> | [x](javascript:y) ![i](http://z) `c` *b* &amp; \"q\" '\u{1b}[31m\u{202e}";
        let document = document(nasty);
        let (html, markdown) = (document.html(), document.markdown());
        for text in [&html, &markdown] {
            assert!(!text.contains("<script") && !text.contains('\u{1b}') && !text.contains('\u{202e}'), "{text}");
        }
        assert!(html.contains("&lt;script&gt;alert(1)&lt;/script&gt;") && html.contains("&amp;amp;"));
        assert!(markdown.contains("\\[x\\](javascript:y)") && markdown.contains("\\!\\[i\\]") && markdown.contains("\\|"));
    }

    #[test]
    fn the_page_needs_nothing_from_anywhere() {
        let html = document("x").html();
        for word in ["http:", "https:", "src=", "url(", "@import", "<script", "<link", "onload"] {
            let found = html.replace("http-equiv", "").replace("default-src", "").replace("style-src", "");
            assert!(!found.contains(word), "{word}");
        }
        assert!(html.contains("prefers-color-scheme:dark"));
    }

    #[test]
    fn a_line_that_looks_like_a_list_stays_a_line() {
        for (text, expected) in
            [("- a", "\\- a"), ("+ a", "\\+ a"), ("12. a", "12\\. a"), ("1) a", "1\\) a"), ("12.5", "12.5"), ("# a", "\\# a")]
        {
            assert_eq!(plain(text), expected);
        }
    }

    #[test]
    fn a_weak_row_is_greyed_and_said() {
        let document = document("few");
        assert!(document.html().contains("<tr class=\"weak\"") && document.markdown().contains("few (few rows)"));
    }

    proptest! {
        #[test]
        fn markup_of_any_text_is_the_same(text in ".{0,80}") {
            let tags = |html: &str| html.split('<').skip(1).map(|t| t.split(['>', ' ']).next().unwrap_or_default().to_owned()).collect::<Vec<_>>();
            prop_assert_eq!(tags(&document(&text).html()), tags(&document("x").html()));
            let table_cells = |md: &str| md.lines().filter(|l| l.starts_with("| ")).map(|l| l.replace("\\|", "").matches('|').count()).collect::<Vec<_>>();
            prop_assert_eq!(table_cells(&document(&text).markdown()), table_cells(&document("x").markdown()));
        }
    }
}
