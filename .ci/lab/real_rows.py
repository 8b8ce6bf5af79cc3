#!/usr/bin/env python3
"""Rows for docs/results.md from the real material: real_rows.py DATA_DIR OUT_DIR

DATA_DIR is STRATOS_TEST_DATA (articles, profiles, scores, legacy traces); nothing of it is committed. Writes
  short_train.jsonl, short_dev.jsonl, short_test.jsonl   short reasons: claude's and gemini's scores
  think_train.jsonl, think_dev.jsonl, think_test.jsonl   chains of thought: legacy traces, cleaned
Articles are split by normalised title, so that no article of test or dev (nor a copy of it on another site) is trained on;
the legacy set is split by the same rule. Rows: messages, id, article, profile, truth (= score), weight, source.
"""
import hashlib
import json
import random
import re
import sys
from collections import Counter, defaultdict
from pathlib import Path

RUBRIC = (
    "You score how relevant a news article is to one reader, from 0.0 to 10.0.\n"
    "0-2 noise, 2-4 tangential, 4-6 moderate, 6-8 high, 8-10 critical: the reader should act on it.\n"
    "Answer with one line: SCORE: X.X | REASON: one short sentence.\n\nReader: "
)
MOST_WORDS = 30  # of a reason; longer ones are cut at a sentence or left out
# Training mix of the five bands: between what the material has (75 % noise) and an even one.
SHARES = {"short": (0.5, 0.2, 0.1, 0.1, 0.1), "think": (0.3, 0.2, 0.2, 0.2, 0.1)}


def lines(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


def normal(title):
    return re.sub(r"[^\w]+", " ", title.lower()).strip()


def side(title):
    """train, dev or test, by the title alone: 80 / 5 / 15."""
    at = int(hashlib.sha256(normal(title).encode()).hexdigest()[:8], 16) % 100
    return "test" if at < 15 else "dev" if at < 20 else "train"


def reader(p):
    parts = [f"{p['role']}, {p['location']}.", p["context"].rstrip(".") + "."]
    if p.get("interests"):
        parts.append("Interests: " + ", ".join(p["interests"]) + ".")
    tracked = [p.get(f"tracked_{kind}") for kind in ("companies", "institutions", "industries")]
    if any(tracked):
        parts.append("Tracks: " + ", ".join(t for t in tracked if t) + ".")
    return " ".join(parts)


def short_reason(text):
    text = " ".join(text.split())
    if len(text.split()) <= MOST_WORDS:
        return text
    first = re.split(r"(?<=[.!?])\s", text)[0]
    return first if 4 <= len(first.split()) <= MOST_WORDS else None


def short(data, out, rng):
    articles = {a["id"]: a for a in lines(data / "articles.jsonl")}
    profiles = {p["id"]: p for p in lines(data / "profiles.jsonl")}
    seen, rows, dropped = {}, defaultdict(list), Counter()
    # Claude first: where both judged a pair, its score stands.
    for name in ("claude", "gemini"):
        for s in lines(data / f"{name}_scores.jsonl"):
            article, profile, key = articles.get(s["article_id"]), profiles.get(s["profile_id"]), (s["article_id"], s["profile_id"])
            reason = short_reason(s.get("reason") or "")
            problem = (
                "orphan" if not article or not profile else "twice" if key in seen else "no short reason" if not reason
                else "out of range" if not 0 <= s["score"] <= 10 else None)
            if problem:
                dropped[problem] += 1
                continue
            seen[key] = True
            content = " ".join((article["summary"] or "").split())[:500]
            user = f"Title: {article['title'].strip()}\nSource: {article['source']}\nContent: {content}"
            rows[side(article["title"])].append({
                "id": f"{key[0]}/{key[1]}", "article": key[0], "profile": key[1], "truth": s["score"], "score": s["score"],
                "weight": 1.0, "source": name,
                "messages": [{"role": "system", "content": RUBRIC + reader(profile)}, {"role": "user", "content": user},
                             {"role": "assistant", "content": f"SCORE: {s['score']:.1f} | REASON: {reason}"}]})
    write(out, "short", rows, dropped, rng)


def think(data, out, rng):
    rows, dropped, seen = defaultdict(list), Counter(), set()
    for i, trace in enumerate(lines(data / "legacy_traces.jsonl")):
        system, user, answer = (m["content"] for m in trace["messages"][:3])
        title = re.search(r"Title: (.*)", user)
        found = re.search(r"<think>\n(.*?)\n</think>\s*SCORE: (\d+(?:\.\d)?) \| REASON: (.+)", answer, re.S)
        key = (normal(title.group(1)) if title else "", hashlib.sha256(system.encode()).hexdigest()[:12])
        problem = "no title" if not title else "format" if not found else "twice" if key in seen else None
        if not problem:
            block, score, reason = found.group(1), float(found.group(2)), " ".join(found.group(3).split())
            # The old generator cut its own reasoning in the middle of a sentence: the reason has it whole.
            if "REASONING:" in block and not block.rstrip().endswith((".", "!", "?")):
                block = block[: block.index("REASONING:")].rstrip()
            problem = (
                "5.0" if score == 5.0 else "out of range" if not 0 <= score <= 10 else "thin" if len(block.split()) < 15
                else "long" if len(answer.split()) > 160 else None)
        if problem:
            dropped[problem] += 1
            continue
        seen.add(key)
        rows[side(title.group(1))].append({
            "id": f"legacy-{i}", "article": key[0], "profile": key[1], "truth": score, "score": score, "weight": 1.0,
            "source": "legacy",
            "messages": [{"role": "system", "content": system.replace("Reply ONLY with: SCORE", "Think first, then reply with: SCORE")},
                         {"role": "user", "content": user},
                         {"role": "assistant", "content": f"<think>\n{block}\n</think>\nSCORE: {score:.1f} | REASON: {reason}"}]})
    write(out, "think", rows, dropped, rng)


def write(out, name, rows, dropped, rng):
    for part in ("train", "dev", "test"):
        rng.shuffle(rows[part])
        kept = rows[part]
        if part == "train":
            # Low bands are most of the material; the bands above are repeated by the sampler's weights instead of dropped.
            kept = balanced(kept, SHARES[name], rng)
        (out / f"{name}_{part}.jsonl").write_text("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in kept), encoding="utf-8")
        bands = Counter(min(int(r["truth"] // 2), 4) for r in kept)
        print(name, part, len(kept), "rows, by band", [bands[b] for b in range(5)], "articles", len({r["article"] for r in kept}))
    print(name, "dropped", dict(dropped))


def balanced(rows, shares, rng):
    """As many rows, drawn so that bands have these shares; a band that is short repeats its rows, whole rounds first."""
    by_band = defaultdict(list)
    for r in rows:
        by_band[min(int(r["truth"] // 2), 4)].append(r)
    share = {b: w for b, w in enumerate(shares) if by_band[b]}
    total = sum(share.values())
    picked = []
    for b, w in share.items():
        count, pool = round(len(rows) * w / total), list(by_band[b])
        while count > 0:
            rng.shuffle(pool)
            picked += pool[:count]
            count -= len(pool)
    rng.shuffle(picked)
    return [dict(r, id=f"{r['id']}#{i}") for i, r in enumerate(picked)]


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    source, target = Path(sys.argv[1]), Path(sys.argv[2])
    target.mkdir(parents=True, exist_ok=True)
    generator = random.Random(19)
    short(source, target, generator)
    think(source, target, generator)
