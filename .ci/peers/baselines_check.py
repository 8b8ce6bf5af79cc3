#!/usr/bin/env python3
"""Recomputes the baselines of `stratos validate` with numpy and scikit-learn, independently of the Rust code.

  baselines_check.py --write                   makes tests/fixtures/baselines/* (synthetic, seeded)
  baselines_check.py                           checks that expected.json is what numpy and scikit-learn say
  baselines_check.py [--drop=ID,ID] ARTICLES PROFILES FIT JUDGED [RUN.json …]
      prints the figures of the three baselines fitted on FIT and judged on JUDGED (JSON lines of article_id, profile_id,
      score), articles of JUDGED and of --drop taken out of FIT (StratOS takes out their near-duplicates too); with runs (`stratos validate show RUN --json > RUN.json`), compares every prediction and figure to 1e-9

The lexical baseline is a ridge regression (penalty 1 on every weight but the bias) of the training scores on five features
of a pair; `docs/metrics.md` defines them. Here the features are made anew and scikit-learn's `Ridge(alpha=1)` fits them.
Needs numpy, scipy, scikit-learn and regex (a virtual environment is enough).
"""
import json
import math
import pathlib
import random
import sys

try:
    import numpy as np
    import regex
    from sklearn.linear_model import Ridge
except ImportError as missing:
    print(f"skipped: {missing}; 'pip install numpy scipy scikit-learn regex' and run again")
    sys.exit(77)

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from metrics_check import NOT_REPORTED, measure  # noqa: E402

HERE = pathlib.Path(__file__).resolve().parents[2] / "tests" / "fixtures" / "baselines"
SCALE = (0.0, 10.0)
FORBIDDEN = 5.0
WORD = regex.compile(r"[\p{Alphabetic}\p{N}]+")
STOP = set(
    "a about after all an and are as at be by for from has have how in into is it its more new none of on or our that the their "
    "they this to was were who will with you".split()
)


def words(text):
    return [w.lower() for w in WORD.findall(text or "")]


def content_words(text):
    out = []
    for word in words(text):
        if word in STOP:
            continue
        if len(word.encode()) > 3 and word.endswith("s") and not word.endswith("ss"):
            word = word[:-1]
        out.append(word)
    return out


def count(lists):
    counts = {}
    for ws in lists:
        for w in ws:
            counts[w] = counts.get(w, 0) + 1
    return counts


def items(value):
    """A list that files give as an array or as one comma-separated string; no empty item, none twice."""
    if value is None:
        return []
    parts = value if isinstance(value, list) else regex.split("[,;]", value)
    out = []
    for part in (p.strip() for p in parts):
        if part and all(part.lower() != known.lower() for known in out):
            out.append(part)
    return out


def merged(row, names):
    out = []
    for name in names:
        for item in items(row.get(name)):
            if all(item.lower() != known.lower() for known in out):
                out.append(item)
    return out


class Reader:
    def __init__(self, row):
        self.id = row.get("id") or row["profile_id"]
        tracked = merged(row, ["tracked", "tracked_companies", "tracked_institutions"])
        interests = merged(row, ["interests", "tracked_industries"])
        location = row["location"].strip()
        texts = [row["role"].strip(), (row.get("context") or "").strip(), location, *tracked, *interests]
        self.tracked = [w for w in map(words, tracked) if w]
        self.places = [w for w in map(words, (p.strip() for p in location.split(",") if p.strip())) if w]
        self.interests = {w for i in interests for w in content_words(i)}
        self.counts = count(content_words(t) for t in texts)


class Text:
    def __init__(self, row):
        self.id = row.get("id") or row["article_id"]
        texts = [row.get("title") or "", row.get("summary") or "", row.get("source") or ""]
        self.words = [w for t in texts for w in words(t)]
        self.counts = count(content_words(t) for t in texts)

    def contains(self, phrase):
        n = len(phrase)
        return any(self.words[i : i + n] == phrase for i in range(len(self.words) - n + 1))


class Baselines:
    def __init__(self, train):
        """`train`: (Reader, Text, score)."""
        scores = np.array([s for _, _, s in train])
        self.constant = float(np.median(scores))
        by_reader = {}
        for reader, _, score in train:
            by_reader.setdefault(reader.id, []).append(score)
        self.medians = {reader: float(np.median(own)) for reader, own in by_reader.items()}
        texts = {text.id: text for _, text, _ in train}
        with_word = {}
        for text in texts.values():
            for word in text.counts:
                with_word[word] = with_word.get(word, 0) + 1
        everything = 1 + len(texts)
        self.idf = {w: math.log(everything / (1 + n)) + 1 for w, n in with_word.items()}
        self.unseen = math.log(everything) + 1
        matrix = np.array([self.features(reader, text) for reader, text, _ in train])
        self.ridge = Ridge(alpha=1.0, fit_intercept=True, solver="cholesky").fit(matrix, scores)

    def features(self, reader, text):
        named = sum(text.contains(phrase) for phrase in reader.tracked)
        interests = sum(word in text.counts for word in reader.interests)
        place = any(text.contains(phrase) for phrase in reader.places)
        return [math.log1p(named), math.log1p(interests), self.cosine(reader.counts, text.counts), float(place)]

    def cosine(self, a, b):
        weight = lambda w, n: math.log1p(n) * self.idf.get(w, self.unseen)
        norm = lambda counts: math.sqrt(sum(weight(w, n) ** 2 for w, n in counts.items()))
        dot = sum(weight(w, n) * weight(w, b[w]) for w, n in a.items() if w in b)
        norms = norm(a) * norm(b)
        return dot / norms if norms > 0 else 0.0

    def predict(self, name, pairs):
        if name == "constant":
            return [self.constant] * len(pairs)
        if name == "profile-median":
            return [self.medians.get(reader.id, self.constant) for reader, _ in pairs]
        said = self.ridge.predict(np.array([self.features(reader, text) for reader, text in pairs]))
        return [float(v) for v in np.clip(said, *SCALE)]


def lines(path):
    text = pathlib.Path(path).read_text()
    return json.loads(text) if text.lstrip().startswith("[") else [json.loads(l) for l in text.splitlines() if l.strip()]


def usable(path, readers, texts):
    """Rows that StratOS judges or fits on: on the scale, not forbidden, each pair once, article and reader known."""
    rows, seen = [], set()
    for row in lines(path):
        pair, score = (row["article_id"], row["profile_id"]), row.get("score")
        if score is None or not SCALE[0] <= score <= SCALE[1] or abs(score - FORBIDDEN) < 0.05 or pair in seen:
            continue
        seen.add(pair)
        if pair[0] in texts and pair[1] in readers:
            rows.append((pair, float(score)))
    return sorted(rows)


def recompute(articles, profiles, fit, judged, drop=()):
    texts = {t.id: t for t in map(Text, lines(articles))}
    readers = {r.id: r for r in map(Reader, lines(profiles))}
    rows = usable(judged, readers, texts)
    judged_articles = {a for (a, _), _ in rows} | set(drop)
    train = [(readers[p], texts[a], s) for (a, p), s in usable(fit, readers, texts) if a not in judged_articles]
    fitted = Baselines(train)
    pairs = [(readers[p], texts[a]) for (a, p), _ in rows]
    result = {"fitted_on": len(train), "constant": fitted.constant}
    for name in ["constant", "profile-median", "lexical"]:
        predictions = fitted.predict(name, pairs)
        table = [
            {"article_id": a, "profile_id": p, "truth": g, "predicted": y} for ((a, p), g), y in zip(rows, predictions)
        ]
        figures = {k: v for k, v in measure(table, fitted.constant).items() if k not in NOT_REPORTED}
        result[name] = {"metrics": figures, "predictions": [[r["article_id"], r["profile_id"], r["predicted"]] for r in table]}
    return result


def apart(path, theirs, ours, found):
    if isinstance(theirs, dict):
        for key, value in theirs.items():
            apart(f"{path}.{key}", value, (ours or {}).get(key), found)
    elif isinstance(theirs, list):
        if not isinstance(ours, list) or len(theirs) != len(ours):
            found.append(f"{path}: another length")
        else:
            for i, (a, b) in enumerate(zip(theirs, ours)):
                apart(f"{path}[{i}]", a, b, found)
    elif isinstance(theirs, (int, float)) and isinstance(ours, (int, float)):
        if abs(theirs - ours) > 1e-9:
            found.append(f"{path}: {theirs} here, {ours} there")
    elif theirs != ours:
        found.append(f"{path}: {theirs} here, {ours} there")


def generate():
    """12 readers, 60 articles with words of theirs, scores that follow them loosely."""
    rng = random.Random(5)
    fields = "robotics,oncology,wheat,shipping,esports,taxes,museums,batteries,football,law,physics,fashion".split(",")
    places = ["Houston, Texas", "Kuwait City, Kuwait", "Seoul, South Korea", "São Paulo, Brazil", "Ankara, Türkiye", "Paris, France"]
    readers = []
    for i, field in enumerate(fields):
        readers.append({
            "id": f"reader_{i:02}",
            "role": f"{field} specialist",
            "location": places[i % len(places)],
            "context": f"Follows {field} and the companies of the region's classes.",
            "interests": [field, fields[(i + 5) % 12]],
            "tracked_companies": f"{field.title()} Works, Acme {i}",
            "tracked_institutions": "" if i % 3 else f"Institute of {field.title()}",
            "tracked_industries": f"{field}; Ports",
        })
    articles, fit, judged = [], [], []
    for a in range(60):
        field, place = rng.choice(fields), rng.choice(places)
        title = f"{field.title()} Works opens a plant" if a % 3 else f"News of {field} and {rng.choice(fields)}"
        filler = " ".join(rng.choice(["report", "ports", "analysts", "growth", "class", "Müller's", "2026", "new", "plans"]) for _ in range(12))
        articles.append({
            "id": f"a{a:02}",
            "title": title,
            "summary": f"{filler} in {place.split(',')[0]}; {field} {'expands' if a % 2 else 'shrinks'}.",
            "source": rng.choice(["Acme 3", "Daily Post", "Institute of Wheat"]),
            "url": f"https://news.example/{a}",
        })
        for reader in rng.sample(readers, rng.randint(3, 9)):
            own = field in reader["interests"]
            score = min(10.0, max(0.0, (6.5 if own else 1.0) + rng.gauss(0, 1.5)))
            row = {"article_id": f"a{a:02}", "profile_id": reader["id"], "score": round(score, 1), "annotator": "synthetic"}
            (judged if a % 4 == 0 else fit).append(row)
    judged.append({"article_id": "nowhere", "profile_id": "reader_00", "score": 3.0, "annotator": "synthetic"})
    judged.append({**judged[0], "score": 9.9})
    fit.append({"article_id": "a01", "profile_id": "nobody", "score": 3.0, "annotator": "synthetic"})
    return articles, readers, fit, judged


FILES = ["articles.jsonl", "profiles.jsonl", "fit.jsonl", "judged.jsonl"]


def main():
    arguments = sys.argv[1:]
    if arguments == ["--write"]:
        HERE.mkdir(parents=True, exist_ok=True)
        for name, rows in zip(FILES, generate()):
            (HERE / name).write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
        (HERE / "expected.json").write_text(json.dumps(recompute(*(HERE / f for f in FILES)), indent=1) + "\n")
        return
    if not arguments:
        found = []
        expected = json.loads((HERE / "expected.json").read_text())
        apart("", recompute(*(HERE / f for f in FILES)), expected, found)
        sys.exit("\n".join(found[:20]) or None)
    drop = [a for arg in arguments if arg.startswith("--drop=") for a in arg[7:].split(",")]
    articles, profiles, fit, judged, *runs = [arg for arg in arguments if not arg.startswith("--drop=")]
    ours = recompute(articles, profiles, fit, judged, drop)
    if not runs:
        print(json.dumps({k: v if not isinstance(v, dict) else v["metrics"] for k, v in ours.items()}, indent=1))
        return
    found, compared = [], 0
    for run in runs:
        theirs = json.loads(pathlib.Path(run).read_text())["evaluation"]
        mine = ours[theirs["predictor"]]
        named = {(r["article"], r["profile"]): r["predicted"] for r in theirs["rows"]}
        for article, profile, predicted in mine["predictions"]:
            apart(f"{theirs['predictor']}: {article}|{profile}", predicted, named.get((article, profile)), found)
            compared += 1
        if len(named) != len(mine["predictions"]):
            found.append(f"{theirs['predictor']}: {len(mine['predictions'])} rows here, {len(named)} there")
        apart(theirs["predictor"], mine["metrics"], theirs["metrics"], found)
    print(f"{compared} predictions and all figures of {len(runs)} runs compared, fitted on {ours['fitted_on']} rows: {len(found)} differences")
    sys.exit("\n".join(found[:20]) or None)


if __name__ == "__main__":
    main()
