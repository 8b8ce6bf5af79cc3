#!/usr/bin/env python3
"""Compares data/prices.toml with a price registry that others maintain (PyPI `genai-prices`, its bundled snapshot).

Prints one line for each price that differs, or that the registry does not have. A disagreement is news for whoever
keeps the file and does not fail the check: either side may be the stale one. What does fail is a file whose rows cannot
be read, and a registry that knows none of our models (then this check compares nothing).

Needs Python 3.11 and genai-prices; installs it once into ${STRATOS_PEERS_DIR:-~/.cache/stratos-peers}. Exit 77: it cannot
be had here.
"""
import os
import pathlib
import subprocess
import sys
from decimal import Decimal

VERSION = "0.2.3"
ROOT = pathlib.Path(__file__).resolve().parents[2]
PROVIDERS = {"anthropic": "anthropic", "openai": "openai", "gemini": "google"}
# Below every tier's threshold, and large enough for exact prices per million.
TOKENS = 1000

try:
    import tomllib
except ImportError:
    print("skipped: needs Python 3.11 for tomllib")
    sys.exit(77)


def registry():
    cache = pathlib.Path(os.environ.get("STRATOS_PEERS_DIR", pathlib.Path.home() / ".cache" / "stratos-peers"))
    target = cache / f"genai-prices-{VERSION}"
    if not target.exists():
        partial = target.with_suffix(".part")
        got = subprocess.run(
            [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--root-user-action=ignore",
             "--target", str(partial), f"genai-prices=={VERSION}"],
            capture_output=True, text=True,
        )
        if got.returncode != 0:
            print("skipped: genai-prices cannot be installed:", got.stderr.strip().splitlines()[-1:] or "no reason given")
            sys.exit(77)
        partial.rename(target)
    sys.path.insert(0, str(target))
    import genai_prices

    return genai_prices


def per_million(prices, provider, model, mode, **usage):
    """USD per million tokens of one kind; None: the registry does not know the model."""
    context = {"processing": "batch"} if mode == "batch" else None
    try:
        usage = prices.Usage(**usage)
        total = prices.calc_price(usage, model, provider_id=PROVIDERS[provider], price_context=context).total_price
    except LookupError:
        return None
    return Decimal(total) * 1_000_000 / TOKENS


def main():
    prices = registry()
    rows = tomllib.loads((ROOT / "data" / "prices.toml").read_text())["price"]
    agreed, differ, unknown = 0, 0, []
    for row in rows:
        provider, model = row["provider"], row["model"]
        if provider not in PROVIDERS:
            continue
        kinds = {
            "input": {"input_tokens": TOKENS},
            "output": {"output_tokens": TOKENS},
            "cache_read": {"input_tokens": TOKENS, "cache_read_tokens": TOKENS},
            "cache_write_5m": {"input_tokens": TOKENS, "cache_write_tokens": TOKENS},
        }
        for kind, usage in kinds.items():
            if kind not in row:
                continue
            theirs = per_million(prices, provider, model, row["mode"], **usage)
            if theirs is None:
                unknown.append(model)
                break
            if theirs == Decimal(row[kind]):
                agreed += 1
            else:
                differ += 1
                print(f"differs: {provider} {model} {row['mode']} {kind}: ours {row[kind]} $, genai-prices {VERSION} {theirs.normalize():f} $")
    for model in unknown:
        print(f"unknown to genai-prices {VERSION}: {model}")
    print(f"{agreed} prices agree, {differ} differ, {len(unknown)} models are unknown there")
    if agreed == 0:
        sys.exit("no price could be compared; has the registry's interface changed?")


if __name__ == "__main__":
    main()
