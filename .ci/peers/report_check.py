#!/usr/bin/env python3
"""Reads reports with a real HTML parser and checks that the page is well formed and needs nothing but itself.

  report_check.py [FILE.html ...]   default: what `cargo test --test compare_runs` left in target/tmp

Checks: html5lib finds no parse error; no script, link, iframe, image, form or event attribute; no address to fetch in any
attribute or style; every `href` is an anchor that exists; every drawing is named and well-formed XML; every table's rows have
as many cells as its head; the Markdown beside it (same name, .md), where there is one, has the same sections.
Exit 77 where html5lib or a report is missing; 1 where something is wrong.
"""
import pathlib
import re
import sys
import xml.etree.ElementTree as ET

ROOT = pathlib.Path(__file__).resolve().parents[2]
HTML = "{http://www.w3.org/1999/xhtml}"
SVG = "{http://www.w3.org/2000/svg}"
FORBIDDEN = {"script", "link", "iframe", "object", "embed", "img", "form", "input", "base", "audio", "video", "foreignObject"}


def skip(why):
    print(f"skipped: {why}")
    sys.exit(77)


def name(element):
    return element.tag.split("}")[-1] if isinstance(element.tag, str) else "comment"


def check(path, html5lib):
    text = path.read_text(encoding="utf-8")
    parser = html5lib.HTMLParser(tree=html5lib.getTreeBuilder("etree"))
    page = parser.parse(text)
    wrong = [f"parse error at {where}: {code} {values}" for where, code, values in parser.errors]
    ids = {e.get("id") for e in page.iter() if e.get("id")}
    for element in page.iter():
        tag = name(element)
        if tag in FORBIDDEN:
            wrong.append(f"<{tag}> is not allowed")
        for key, value in element.attrib.items():
            key = key.split("}")[-1]
            if key.lower().startswith("on"):
                wrong.append(f"<{tag} {key}> runs something")
            if key == "href":
                if not (value.startswith("#") and value[1:] in ids):
                    wrong.append(f"href {value!r} leads nowhere inside the page")
            elif re.search(r"(https?:|javascript:|data:|url\()", value):
                wrong.append(f"<{tag} {key}={value!r}> would fetch")
    style = "".join(e.text or "" for e in page.iter(HTML + "style"))
    if re.search(r"url\(|@import|https?:", style):
        wrong.append("the style fetches something")
    drawings = re.findall(r"<svg.*?</svg>", text, re.S)
    for drawing in drawings:
        root = ET.fromstring(drawing)  # raises on what is not well formed
        if not root.get("aria-label") or root.find("title") is None:
            wrong.append("a drawing without a name")
        for element in root.iter():
            for value in element.attrib.values():
                if "nan" in value.lower().split() or "inf" in value.lower().split(","):
                    wrong.append(f"a drawing with {value!r}")
    tables = list(page.iter(HTML + "table"))
    for table in tables:
        width = len(list(table.iter(HTML + "th")))
        for row in table.find(HTML + "tbody").iter(HTML + "tr"):
            if len(list(row.iter(HTML + "td"))) != width:
                wrong.append(f"a row of another width than its head ({width})")
    beside = path.with_suffix(".md")
    if beside.exists():
        heads = [h.text for h in page.iter(HTML + "h2")]
        there = [line[3:] for line in beside.read_text(encoding="utf-8").splitlines() if line.startswith("## ")]
        if len(heads) != len(there):
            wrong.append(f"{len(heads)} sections here, {len(there)} in {beside.name}")
    return wrong, len(drawings), len(tables)


def main():
    try:
        import html5lib
    except ImportError:
        skip("html5lib is not installed (pip install html5lib)")
    files = [pathlib.Path(f) for f in sys.argv[1:]] or [f for f in [ROOT / "target/tmp/report.html"] if f.exists()]
    if not files:
        skip("no report; run 'cargo test --test compare_runs' first")
    bad = 0
    for path in files:
        wrong, drawings, tables = check(path, html5lib)
        print(f"{path}: {drawings} drawings, {tables} tables, {len(wrong)} faults")
        for line in wrong[:20]:
            print(f"  {line}")
        bad += len(wrong)
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
