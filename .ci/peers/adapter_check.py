#!/usr/bin/env python3
"""Loads an adapter folder of ours in PEFT and compares its logits with those that our binary prints.

  adapter_check.py ADAPTER BASE [--ids IDS.json]   one adapter and its base (Hugging Face folders)
  adapter_check.py                                 PEFT's own adapters in tests/fixtures/student, loaded by ours

Ours is `$STRATOS_BIN models logits BASE --adapter ADAPTER < ids.json > logits.json` (default target/debug/stratos):
[[ids], …] in; out, for every text, a list of rows. Without --ids: two texts of random ids. f32, one thread.
Exit 0 if every tensor of the file is one that PEFT wants, none is missing, and logits differ by less than 1e-3;
77 where torch, transformers, peft or our binary is missing.
"""
import argparse
import json
import os
import pathlib
import random
import subprocess
import sys

os.environ["HF_HUB_OFFLINE"] = "1"
ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARY = pathlib.Path(os.environ.get("STRATOS_BIN") or ROOT / "target/debug/stratos")
ALLOWED = 1e-3

try:
    import torch
    import transformers
    from peft import PeftModel, get_peft_model_state_dict
    from safetensors import safe_open
    from transformers import AutoModelForCausalLM
except ImportError as missing:
    print(f"skipped: {missing}; 'pip install torch transformers peft' and run again")
    sys.exit(77)

torch.set_num_threads(1)
transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()


def logits(model, ids):
    with torch.no_grad():
        return [model(torch.tensor([text])).logits[0] for text in ids]


def ours(base, adapter, ids):
    done = subprocess.run([BINARY, "models", "logits", base, "--adapter", adapter], input=json.dumps(ids), capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{BINARY} models logits {base} --adapter {adapter}: exit {done.returncode}: {done.stderr.strip()}")
    return [torch.tensor(rows) for rows in json.loads(done.stdout)]


def distance(a, b):
    """Largest difference; infinite where shapes differ or a number is not one."""
    if len(a) != len(b) or any(x.shape != y.shape for x, y in zip(a, b)):
        return float("inf")
    return max(torch.nan_to_num((x - y).abs(), nan=float("inf")).max().item() for x, y in zip(a, b))


def check(adapter, base, ids):
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    ids = ids or [[random.Random(length).randrange(model.config.vocab_size) for _ in range(length)] for length in (13, 29)]
    plain = logits(model, ids)
    model = PeftModel.from_pretrained(model, adapter).eval()
    # from_pretrained only warns of tensors that it misses or does not know.
    with safe_open(adapter / "adapter_model.safetensors", "pt") as file:
        odd = set(file.keys()) ^ set(get_peft_model_state_dict(model))
    theirs = logits(model, ids)
    delta, moved = distance(theirs, ours(base, adapter, ids)), distance(theirs, plain)
    fine = delta < ALLOWED and not odd
    print(f"{adapter}: max |Δlogit| {delta:.2e} (the adapter itself moves them by up to {moved:.2e}){'' if fine else ': DIFFERS'}")
    for name in sorted(odd)[:5]:
        print(f"  only in one of the file and PEFT's model: {name}")
    return fine


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("adapter", nargs="?", type=pathlib.Path)
    parser.add_argument("base", nargs="?", type=pathlib.Path)
    parser.add_argument("--ids", type=pathlib.Path, help="[[ids], ...]")
    args = parser.parse_args()
    if args.adapter and not args.base:
        parser.error("BASE is missing")
    if not BINARY.exists():
        print(f"skipped: {BINARY} is not built; 'cargo build' or set STRATOS_BIN")
        sys.exit(77)
    ids = json.loads(args.ids.read_text()) if args.ids else None
    pairs = [(args.adapter, args.base)] if args.adapter else \
        [(folder, folder.parent / "base") for folder in sorted((ROOT / "tests/fixtures/student").glob("*/adapter-*"))]
    assert pairs, "no adapters among the fixtures"
    sys.exit(0 if all([check(adapter, base, ids) for adapter, base in pairs]) else 1)


if __name__ == "__main__":
    main()
