#!/usr/bin/env python3
"""Recomputes `docs/metrics.md` with numpy and scipy, independently of the Rust code.

  metrics_check.py --write   makes tests/fixtures/metrics/{rows.jsonl,expected.json} (synthetic, seeded)
  metrics_check.py           checks that expected.json is what numpy and scipy say about rows.jsonl
  metrics_check.py FILE      prints the figures of any prediction file, e.g. to compare with `stratos metrics FILE --json`

Needs numpy and scipy (a virtual environment is enough). Differences of scores are compared with a slack of 1e-9,
because scores are decimals: 8.1 - 5.1 is 3.
"""
import itertools
import json
import math
import pathlib
import random
import sys

try:
    import numpy as np
    from scipy import stats
except ImportError as missing:
    print(f"skipped: {missing}; 'pip install numpy scipy' and run again")
    sys.exit(77)

HERE = pathlib.Path(__file__).resolve().parents[2] / "tests" / "fixtures" / "metrics"
EDGES = [0.0, 2.0, 5.5, 7.0, 9.0]
SLACK = 1e-9


def generate():
    """300 rows: 45 articles, up to 9 readers, decimal scores, ties, 8 % failures of both kinds."""
    rng = random.Random(19)
    rows = []
    for article in range(45):
        readers = rng.sample(range(9), 9 if article % 3 else rng.randint(1, 8))
        home = rng.randrange(9)
        for reader in sorted(readers):
            noise = rng.random() * rng.choice([1.9, 4.9])
            truth = round(rng.uniform(5.5, 10.0) if reader == home or rng.random() < 0.25 else noise, 1)
            predicted = round(min(10.0, max(0.0, 0.75 * truth + 1.0 + rng.gauss(0.0, 1.2))), 1)
            draw = rng.random()
            row = {"article_id": f"a{article:02}", "profile_id": f"reader_{reader}", "truth": truth, "predicted": predicted}
            if draw < 0.05:
                row["predicted"] = None
            elif draw < 0.06:
                del row["predicted"]
            elif draw < 0.08:
                row["predicted"] = 42.0
            rows.append(row)
    rng.shuffle(rows)
    return rows[:300]


def rho(g, p):
    if len(g) < 2 or len(set(g)) < 2 or len(set(p)) < 2:
        return None
    return float(stats.spearmanr(g, p).statistic)


def group(rows, key):
    groups = {}
    for row in rows:
        groups.setdefault(row[key], []).append(row)
    return groups


def mean(values):
    values = list(values)
    return float(np.mean(values)) if values else None


def share(part, whole):
    return part / whole if whole else None


def mean_rho(parsed, key):
    rhos = [rho([r["g"] for r in rs], [r["p"] for r in rs]) for rs in group(parsed, key).values() if len(rs) >= 5]
    rhos = [r for r in rhos if r is not None]
    return mean(rhos), len(rhos)


def weighted_median(g, weights):
    order = np.argsort(g, kind="stable")
    below, half = 0.0, sum(weights) / 2
    for place, i in enumerate(order):
        below += weights[i]
        if abs(below - half) < 1e-9:
            return (g[i] + g[order[place + 1]]) / 2 if place + 1 < len(order) else g[i]
        if below > half:
            return g[i]


def macro(errors, g):
    bands = np.searchsorted(EDGES, g, side="right") - 1
    return float(np.mean([np.mean(errors[bands == b]) for b in sorted(set(bands))]))


# Figures of this script that `stratos metrics` does not report.
NOT_REPORTED = {
    "parsed", "articles", "profiles", "mae_parsed_only", "recall_top", "recall_top_n", "psr_articles", "psr_pairs_n",
    "skill_macro_constant",
}


def measure(raw, constant=None):
    """All figures. `constant` comes from training data; without it the best constant of these rows is taken."""
    rows = []
    for row in raw:
        p = row.get("predicted")
        ok = p is not None and 0.0 <= p <= 10.0
        rows.append({"a": row["article_id"], "r": row["profile_id"], "g": float(row["truth"]), "p": float(p) if ok else None})
    parsed = [r for r in rows if r["p"] is not None]
    g = np.array([r["g"] for r in rows])
    error = np.array([abs(r["p"] - r["g"]) if r["p"] is not None else max(r["g"], 10 - r["g"]) for r in rows])
    signed = [r["p"] - r["g"] for r in parsed]
    said = [(r["p"] >= 5) if r["p"] is not None else not (r["g"] >= 5) for r in rows]
    real = [r["g"] >= 5 for r in rows]
    tp = sum(s and t for s, t in zip(said, real))
    fp = sum(s and not t for s, t in zip(said, real))
    fn = sum(t and not s for s, t in zip(said, real))
    tn = len(rows) - tp - fp - fn
    within = lambda d: mean(r["p"] is not None and abs(r["p"] - r["g"]) <= d + SLACK for r in rows)
    bands = []
    index = np.searchsorted(EDGES, g, side="right") - 1
    for b, edge in enumerate(EDGES):
        bands.append({"from": edge, "n": int((index == b).sum()), "mae": mean(error[index == b])})
    top = [r for r in rows if r["g"] >= EDGES[-1]]

    seen = [rs for rs in group(parsed, "a").values() if len(rs) >= 2]
    spread = lambda side: [max(r[side] for r in rs) - min(r[side] for r in rs) for rs in seen]
    contrast = ordered = by2 = 0
    for rs in group(rows, "a").values():
        for x, y in itertools.combinations(rs, 2):
            high, low = (x, y) if x["g"] >= y["g"] else (y, x)
            if high["g"] - low["g"] < 3 - SLACK:
                continue
            contrast += 1
            if high["p"] is None or low["p"] is None:
                continue
            delta = high["p"] - low["p"]
            ordered += 1.0 if delta > SLACK else 0.5 if abs(delta) <= SLACK else 0.0
            by2 += delta >= 2 - SLACK
    psr_n = psr_ok = 0
    for rs in group(parsed, "a").values():
        for x, y in itertools.combinations(rs, 2):
            dg, dp = x["g"] - y["g"], x["p"] - y["p"]
            if abs(dg) >= 2 - SLACK:
                psr_n += 1
                psr_ok += np.sign(dg) == np.sign(dp) and abs(dp) >= 1 - SLACK
    given = constant
    constant = float(np.median(g)) if given is None else given
    sizes = {b: int((index == b).sum()) for b in set(index)}
    macro_constant = float(weighted_median(g, [1 / sizes[b] for b in index])) if given is None else given
    within_profile, profile_groups = mean_rho(parsed, "r")
    within_article, article_groups = mean_rho(parsed, "a")
    return {
        "n": len(rows),
        "parse_failures": len(rows) - len(parsed),
        "mae": mean(error),
        "rmse": math.sqrt(mean(error**2)),
        "bias": mean(signed),
        "spearman": rho([r["g"] for r in parsed], [r["p"] for r in parsed]),
        "direction_accuracy": mean(s == t for s, t in zip(said, real)),
        "within_1": within(1),
        "within_2": within(2),
        "macro_band_mae": macro(error, g),
        "bands": bands,
        "psr_spread": mean(s >= 2 - SLACK for s in spread("p")),
        "psr_spread_truth": mean(s >= 2 - SLACK for s in spread("g")),
        "contrast_pairs": contrast,
        "contrast_ordered": share(ordered, contrast),
        "rho_within_profile": within_profile,
        "rho_within_article": within_article,
        "skill": 1 - mean(error) / mean(abs(g - constant)),
        "parsed": len(parsed),
        "articles": len(group(rows, "a")),
        "profiles": len(group(rows, "r")),
        "mae_parsed_only": mean(abs(s) for s in signed),
        "rho_within_profile_groups": profile_groups,
        "rho_within_article_groups": article_groups,
        "precision": share(tp, tp + fp),
        "recall": share(tp, tp + fn),
        "f1": share(2 * tp, 2 * tp + fp + fn),
        "mcc": share(tp * tn - fp * fn, math.sqrt((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn))),
        "recall_top": share(sum(r["p"] is not None and r["p"] >= EDGES[-1] for r in top), len(top)),
        "recall_top_n": len(top),
        "psr_articles": len(seen),
        "psr_pairs": share(int(psr_ok), psr_n),
        "psr_pairs_n": psr_n,
        "contrast_by_2": share(int(by2), contrast),
        "mean_spread": mean(spread("p")),
        "mean_spread_truth": mean(spread("g")),
        "skill_macro": 1 - macro(error, g) / macro(abs(g - macro_constant), g),
        "skill_constant": constant,
        "skill_macro_constant": macro_constant,
    }


def differs(a, b):
    if isinstance(a, list):
        return len(a) != len(b) or any(differs(x, y) for x, y in zip(a, b))
    if isinstance(a, dict):
        return a.keys() != b.keys() or any(differs(a[k], b[k]) for k in a)
    if a is None or b is None:
        return a is not b
    return abs(a - b) > 1e-9


def reported(rows):
    return {key: value for key, value in measure(rows).items() if key not in NOT_REPORTED}


def main():
    if sys.argv[1:] == ["--write"]:
        HERE.mkdir(parents=True, exist_ok=True)
        rows = generate()
        (HERE / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        (HERE / "expected.json").write_text(json.dumps(reported(rows), indent=1) + "\n")
        return
    path = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else HERE / "rows.jsonl"
    found = reported([json.loads(line) for line in path.read_text().splitlines() if line.strip()])
    if len(sys.argv) > 1:
        print(json.dumps(found, indent=1))
        return
    expected = json.loads((HERE / "expected.json").read_text())
    wrong = [key for key in found if differs(found[key], expected.get(key))]
    sys.exit(f"numpy and scipy disagree with expected.json on: {', '.join(wrong)}" if wrong else None)


if __name__ == "__main__":
    main()
