#!/usr/bin/env python3
"""The external trainer for real, on the CPU, with a tiny random model: order, weights, losses, resume, stop, best.
Exit 77 where torch, transformers or peft are absent."""

import json
import math
import os
import random
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "data/external/external_trainer.py"
try:
    import peft
    import torch
    import transformers
except ImportError as missing:
    print(f"skipped: {missing}; 'pip install torch transformers peft' and run again")
    sys.exit(77)

torch.set_num_threads(1)
os.environ |= {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()
TARGETS = ["q_proj", "v_proj", "down_proj"]


def make_base(folder):
    config = transformers.LlamaConfig(
        vocab_size=64, hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, max_position_embeddings=64, tie_word_embeddings=True,
    )
    torch.manual_seed(1)
    transformers.LlamaForCausalLM(config).save_pretrained(folder)


def row(name, seed, weight):
    pick = random.Random(seed)
    ids = [pick.randrange(1, 64) for _ in range(pick.randrange(8, 20))]
    text = lambda role: [{"role": role, "content": name}]
    return {"id": name, "prompt": text("user"), "completion": text("assistant"), "weight": weight, "input_ids": ids,
            "loss_from": len(ids) // 2}


def make_job(folder, base, **changes):
    folder.mkdir(parents=True, exist_ok=True)
    train = [row(f"t{i}", i, 1.0 + i / 4) for i in range(10)]
    evals = [row(f"e{i}", 100 + i, 1.0) for i in range(3)]
    for name, rows in [("train", train), ("eval", evals)]:
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    ids = [r["id"] for r in train]
    run = dict(learning_rate=1e-2, schedule="cosine", warmup_share=0.1, micro_batch=2, effective_batch=4, epochs=2,
               weight_decay=0.01, clip_norm=1.0, order="shuffle", eval_every=2, checkpoint_every=2, patience=9)
    job = dict(version=1, base=str(base), data=dict(train=str(folder / "train.jsonl"), eval=str(folder / "eval.jsonl")),
               order=[ids, ids[::-1] + ids[:2]], adapter=dict(method="dora", rank=4, alpha=8.0, targets=TARGETS),
               run={**run, **changes.pop("run", {})}, precision="f32", max_length=32, seed=7,
               output=str(folder / "output"), checkpoint_request=str(folder / "checkpoint.request"), environment={})
    job.update(changes)
    path = folder / "job.json"
    path.write_text(json.dumps(job))
    return path, job, {r["id"]: r for r in train}


def run(path, stop_at=None, kill_at=None):
    child = subprocess.Popen([sys.executable, str(SCRIPT), str(path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    events = []
    for line in child.stdout:
        if line.startswith("{"):
            events.append(json.loads(line))
            here = events[-1]["event"] == "step" and events[-1]["step"]
            if stop_at and here == stop_at:
                child.send_signal(signal.SIGTERM)
            if kill_at and here == kill_at:
                child.kill()
    errors = child.stderr.read()
    return events, child.wait(), errors


def of(events, kind):
    return [e for e in events if e["event"] == kind]


def check(holds, what, *shown):
    if not holds:
        print("DIFFERS:", what, *shown)
        sys.exit(1)
    print("  ok:", what)


def weighted_loss_of(model, rows):
    """One row at a time, without padding: the slow and plain way."""
    loss = tokens = 0.0
    for r in rows:
        ids = torch.tensor([r["input_ids"]])
        logits = model(ids).logits[0, :-1].log_softmax(-1)
        places = range(r["loss_from"], len(r["input_ids"]))
        loss += r["weight"] * -sum(float(logits[t - 1, r["input_ids"][t]]) for t in places)
        tokens += r["weight"] * len(places)
    return loss / tokens


def main():
    with tempfile.TemporaryDirectory() as top:
        top = Path(top)
        base = top / "base"
        make_base(base)
        path, job, rows = make_job(top / "whole", base)
        events, status, errors = run(path)
        check(status == 0, "a run ends well", errors[-3000:])
        steps, losses = of(events, "step"), [e["loss"] for e in of(events, "step")]
        check([e["step"] for e in steps] == [1, 2, 3, 4, 5, 6], "two epochs of 10 and 12 rows at 4 a step are 6 steps", steps)
        check([e["epoch"] for e in steps] == [1, 1, 1, 2, 2, 2], "epochs are counted by the order")
        with torch.no_grad():
            plain = transformers.AutoModelForCausalLM.from_pretrained(base)
            first = weighted_loss_of(plain, [rows[f"t{i}"] for i in range(4)])
        check(math.isclose(losses[0], first, rel_tol=1e-4), "the first loss is the weighted loss of the first four rows", losses[0], first)
        check(steps[2]["tokens"] - 2 == sum(len(rows[f"t{i}"]["input_ids"]) for i in (8, 9)), "the third step has the two rows left")
        check(math.isclose(steps[0]["learning_rate"], 1e-2, rel_tol=1e-6) and steps[-1]["learning_rate"] < 2e-3, "the schedule is the console's",
              [e["learning_rate"] for e in steps])
        check(all(e["grad_norm"] > 0 for e in steps), "gradients flow")
        best = min(of(events, "eval"), key=lambda e: e["loss"])
        adapter = Path(job["output"]) / "adapter"
        with torch.no_grad():
            tuned = peft.PeftModel.from_pretrained(transformers.AutoModelForCausalLM.from_pretrained(base), adapter)
            evals = [json.loads(line) for line in (top / "whole/eval.jsonl").read_text().splitlines()]
            again = weighted_loss_of(tuned, evals)
        check(math.isclose(again, best["loss"], rel_tol=1e-4), "the adapter is the best one and loads in PEFT", again, best)

        path, job, _ = make_job(top / "stopped", base)
        events, status, errors = run(path, stop_at=3)
        check(status == 0 and len(of(events, "stopped")) == 1, "SIGTERM ends it after a checkpoint", events, errors[-2000:])
        at = of(events, "stopped")[0]["step"]
        seen = {e["step"]: e["loss"] for e in of(events, "step")}
        events, status, errors = run(path)
        check(status == 0 and of(events, "start")[0]["resumed_from"] == at, "it goes on from there", events, errors[-2000:])
        seen |= {e["step"]: e["loss"] for e in of(events, "step")}
        check(all(math.isclose(seen[n], losses[n - 1], rel_tol=1e-5) for n in range(1, 7)), "with the losses of the whole run", seen, losses)

        path, job, _ = make_job(top / "killed", base)
        run(path, kill_at=4)
        events, status, errors = run(path)
        at = of(events, "start")[0]["resumed_from"]
        again = {e["step"]: e["loss"] for e in of(events, "step")}
        check(status == 0 and all(math.isclose(again[n], losses[n - 1], rel_tol=1e-5) for n in range((at or 0) + 1, 7)),
              "killed, it goes on from its newest checkpoint", at, again, errors[-2000:])

        path, job, _ = make_job(top / "asked", base)
        Path(job["checkpoint_request"]).touch()
        events, _, _ = run(path)
        check([e["step"] for e in of(events, "checkpoint")][0] == 1 and not Path(job["checkpoint_request"]).exists(), "a checkpoint comes on request")

        path, job, _ = make_job(top / "wide", base, run=dict(micro_batch=4))
        wide = [e["loss"] for e in of(run(path)[0], "step")]
        check(all(math.isclose(a, b, rel_tol=1e-4) for a, b in zip(wide, losses)), "the micro-batch does not change the losses", wide, losses)

        path, job, _ = make_job(top / "early", base, run=dict(learning_rate=0.0, eval_every=1, patience=1))
        events, status, _ = run(path)
        check(status == 0 and of(events, "early_stop")[0]["step"] == 2 and of(events, "done"), "it stops early", events)

        path, job, _ = make_job(top / "long", base, max_length=4)
        _, status, errors = run(path)
        check(status == 2 and "none is cut" in errors, "a row that is too long is refused by name", errors[-400:])


if __name__ == "__main__":
    main()
