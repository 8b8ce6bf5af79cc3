#!/usr/bin/env python3
"""Reads every export of a workspace's dataset with software that is not ours and compares the rows.

    export_check.py [BINARY WORKSPACE]     default: target/debug/stratos (what `cargo test` built) and a workspace of its own

`datasets` loads each folder by its card alone; `pyarrow` reads the Parquet files; TRL's SFTTrainer prepares the two TRL forms
with a toy tokenizer, so that what it takes loss on is the assistant's turn. Prints one line for each check; exit 1 on any
difference, 77 where the software or the binary is not here."""

import json
import os
import pathlib
import subprocess
import sys
import tempfile

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_DATASETS_CACHE"] = tempfile.mkdtemp()

try:
    import datasets  # noqa: E402
    import pyarrow.parquet  # noqa: E402
    import trl  # noqa: E402, F401
except ImportError as missing:
    print(f"skipped: {missing}; 'pip install datasets pyarrow trl' and run again")
    sys.exit(77)

FORMATS = ["messages", "prompt-completion", "sharegpt", "parquet"]
ROLES = {"system": "system", "human": "user", "gpt": "assistant"}
failures = 0


def check(name, good, saw=""):
    global failures
    failures += not good
    print(f"{'ok  ' if good else 'FAIL'} {name}{': ' + str(saw) if saw and not good else ''}")


def plain(row):
    """The chat of a row in any form, as (role, text)."""
    if "conversations" in row:
        return [(ROLES[m["from"]], m["value"]) for m in row["conversations"]]
    turns = row["messages"] if "messages" in row else row["prompt"] + row["completion"]
    return [(m["role"], m["content"]) for m in turns]


def key(row):
    return (row["id"], row["article_id"], row["profile_id"], row["score"], row["band"], row["repeats"], plain(row))


def lines(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def trl_takes(rows, name):
    """TRL's own preparation of a conversational data set: which tokens carry loss."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM
    from trl import SFTConfig, SFTTrainer

    alphabet = pre_tokenizers.ByteLevel.alphabet()
    vocabulary = {c: i for i, c in enumerate(["<pad>", "<|im_start|>", "<|im_end|>", *sorted(alphabet)])}
    raw = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    from tokenizers import decoders

    raw.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=raw, pad_token="<pad>", eos_token="<|im_end|>")
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|im_start|>"]})
    tokenizer.chat_template = (
        "{% for m in messages %}<|im_start|>{{ m.role }}\n{% if m.role == 'assistant' %}{% generation %}{{ m.content }}<|im_end|>"
        "{% endgeneration %}{% else %}{{ m.content }}<|im_end|>{% endif %}\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )
    model = Qwen3ForCausalLM(
        Qwen3Config(vocab_size=len(tokenizer), hidden_size=8, num_hidden_layers=1, num_attention_heads=1,
                    num_key_value_heads=1, head_dim=8, intermediate_size=8)
    )
    with tempfile.TemporaryDirectory() as folder:
        settings = SFTConfig(output_dir=folder, max_length=None, report_to=[], use_cpu=True, bf16=False,
                             assistant_only_loss="messages" in rows.column_names)
        trainer = SFTTrainer(model=model, args=settings, train_dataset=rows, processing_class=tokenizer)
        batch = trainer.data_collator([trainer.train_dataset[i] for i in range(min(4, len(rows)))])
    for i in range(len(batch["labels"])):
        learnt = [int(t) for t in batch["labels"][i] if t >= 0]
        text = tokenizer.decode(learnt, skip_special_tokens=False)
        target = plain(rows[i])[-1][1]
        if not (text.strip().startswith(target[:40]) and "<|im_start|>" not in text):
            return check(f"TRL trains {name} on the assistant's turn", False, repr(text[:200]))
    check(f"TRL trains {name} on the assistant's turn", True)


def given():
    """The binary and a workspace that has a dataset."""
    if len(sys.argv) == 3:
        return sys.argv[1], pathlib.Path(sys.argv[2])
    binary = pathlib.Path(__file__).resolve().parents[2] / "target/debug/stratos"
    if not binary.exists():
        print("skipped: target/debug/stratos is not built; 'cargo test --no-run' makes it")
        sys.exit(77)
    workspace = pathlib.Path(tempfile.mkdtemp()) / "workspace"
    for act in (["init", workspace], ["--workspace", workspace, "run", "--yes", "--to", "dataset"]):
        subprocess.run([binary, *act], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return binary, workspace


def main():
    binary, workspace = given()
    folder = pathlib.Path(tempfile.mkdtemp())
    recipe = next(line.split('"')[1] for line in (workspace / "stratos.toml").read_text().splitlines()
                  if line.startswith("recipe"))
    names = {"stratos-v19": ("training_v19_cot.jsonl", "eval_v19_cot.jsonl"), "stratos-v2": ("training_v2.jsonl", "eval_v2.jsonl")}
    own = {side: [key(row) for row in lines(workspace / "data" / file)] for side, file in zip(("train", "eval"), names[recipe])}
    for form in FORMATS:
        out = folder / form
        subprocess.run([binary, "--workspace", workspace, "dataset", "export", "--format", form, "--out", out], check=True,
                       stdout=subprocess.DEVNULL)
        loaded = datasets.load_dataset(str(out))
        check(f"datasets reads the card of {form}", sorted(loaded) == ["eval", "train"], sorted(loaded))
        for side, rows in loaded.items():
            read = [key(row) for row in rows]
            check(f"datasets reads {len(read)} rows of {form} {side}", read == own[side])
        if form == "parquet":
            for side in own:
                table = pyarrow.parquet.read_table(out / f"{side}.parquet")
                check(f"pyarrow reads {table.num_rows} rows of {side}", [key(row) for row in table.to_pylist()] == own[side])
                kinds = {name: str(table.schema.field(name).type) for name in ("id", "score", "repeats", "messages")}
                wanted = {"id": "string", "score": "double", "repeats": "int32"}
                check("pyarrow sees typed columns", all(kinds[k] == v for k, v in wanted.items())
                      and kinds["messages"].startswith("list<"), kinds)
        if form in ("messages", "prompt-completion"):
            trl_takes(loaded["train"].select(range(min(8, len(loaded["train"])))), form)
    print(f"{failures} failures")
    sys.exit(1 if failures else 0)


main()
