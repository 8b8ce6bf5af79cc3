#!/usr/bin/env python3
"""Compares our tokenisation of 1,000 real texts with transformers', for every tokenizer that .ci/fetch-peers brought.

  tokens_check.py [FOLDER...]   of these folders (tokenizer.json, tokenizer_config.json); default: all in the cache

Ours is `$STRATOS_BIN models tokenize FOLDER < texts.jsonl > ids.jsonl` (default target/debug/stratos): a JSON string a
line in, a JSON array of ids a line out, no special tokens added. The texts are the profiles and articles of
STRATOS_TEST_DATA; every tenth is rendered by the chat template, so that special tokens inside a text are met too.
Exit 77 where transformers, the texts, the tokenizers or our binary are missing; 1 where an id differs.
"""
import json
import os
import pathlib
import subprocess
import sys
import tempfile

os.environ["HF_HUB_OFFLINE"] = "1"
ROOT = pathlib.Path(__file__).resolve().parents[2]
PEERS = pathlib.Path(os.environ.get("STRATOS_PEERS_DIR") or "~/.cache/stratos-peers").expanduser()
BINARY = pathlib.Path(os.environ.get("STRATOS_BIN") or ROOT / "target/debug/stratos")
TEXTS = 1000


def skip(why):
    print(f"skipped: {why}")
    sys.exit(77)


def real_texts(data):
    rows = lambda name: [json.loads(line) for line in (data / name).read_text().splitlines()]
    profiles = ["\n".join(f"{key}: {', '.join(value) if isinstance(value, list) else value}" for key, value in row.items())
                for row in rows("profiles.jsonl")]
    articles = [f"{row['title']}\n{row['summary']}\n{row['source']} {row['url']}" for row in rows("articles.jsonl")]
    texts = profiles + articles[:TEXTS - len(profiles)]
    assert len(texts) == TEXTS, f"only {len(texts)} texts in {data}"
    return texts


def folders(scratch):
    """The fetched tokenizers; SmolLM2's is taken out of its GGUF."""
    found = [path.parent for path in sorted(PEERS.glob("*/tokenizer.json"))]
    for path in PEERS.glob("smollm2/*.gguf"):
        import gguf
        import gguf_to_hf
        (scratch / "smollm2").mkdir()
        gguf_to_hf.write_tokenizer({k: field.contents() for k, field in gguf.GGUFReader(path).fields.items()}, scratch / "smollm2")
        found.append(scratch / "smollm2")
    return found or skip(f"no tokenizer in {PEERS}; run .ci/fetch-peers")


def compare(folder, texts):
    from transformers import AutoTokenizer
    tokenizer = AutoTokenizer.from_pretrained(folder)
    if tokenizer.chat_template:
        texts = [text if i % 10 else tokenizer.apply_chat_template([{"role": "user", "content": text}], tokenize=False)
                 for i, text in enumerate(texts)]
    theirs = tokenizer(texts, add_special_tokens=False)["input_ids"]
    lines = "".join(json.dumps(text) + "\n" for text in texts)
    done = subprocess.run([BINARY, "models", "tokenize", folder], input=lines, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{BINARY} models tokenize {folder}: exit {done.returncode}: {done.stderr.strip()}")
    ours = [json.loads(line) for line in done.stdout.splitlines()]
    if len(ours) != len(texts):
        sys.exit(f"{folder}: {len(texts)} texts in, {len(ours)} lines out")
    other = [i for i, (a, b) in enumerate(zip(theirs, ours)) if a != b]
    print(f"{folder.name}: {len(texts)} texts, {sum(map(len, theirs)):,} tokens, {len(other)} texts differ")
    for i in other[:3]:
        at = next((k for k, (a, b) in enumerate(zip(theirs[i], ours[i])) if a != b), min(len(theirs[i]), len(ours[i])))
        print(f"  text {i}, token {at}: transformers {theirs[i][at:at + 6]}, ours {ours[i][at:at + 6]}, "
              f"after {tokenizer.decode(theirs[i][max(0, at - 5):at])!r}")
    return not other


def main():
    try:
        import gguf  # noqa: F401 (for SmolLM2's tokenizer)
        import safetensors  # noqa: F401
        import transformers
    except ImportError as missing:
        skip(f"{missing}; 'pip install transformers gguf safetensors' and run again")
    transformers.logging.set_verbosity_error()
    if not os.environ.get("STRATOS_TEST_DATA"):
        skip("STRATOS_TEST_DATA does not name a folder with real texts")
    if not BINARY.exists():
        skip(f"{BINARY} is not built; 'cargo build' or set STRATOS_BIN")
    texts = real_texts(pathlib.Path(os.environ["STRATOS_TEST_DATA"]))
    with tempfile.TemporaryDirectory() as scratch:
        chosen = [pathlib.Path(name) for name in sys.argv[1:]] or folders(pathlib.Path(scratch))
        sys.exit(0 if all([compare(folder, texts) for folder in chosen]) else 1)


if __name__ == "__main__":
    main()
