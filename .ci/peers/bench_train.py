#!/usr/bin/env python3
"""The Python stack's side of the training benchmark; prints one JSON line.

  bench_train.py --stock --threads 2 --steps 10      PEFT as one writes it: labels, logits and loss over all positions
  bench_train.py --selected --threads 2 --steps 10   the same, but logits only at the positions that have a loss
  bench_train.py --trl ROWS.jsonl --base DIR         TRL's SFTTrainer with its defaults on real rows (see below)

--stock and --selected: SmolLM2-135M's shape with random weights, f32, transformers' default attention (sdpa), DoRA r 16,
alpha 32 on the seven projections, batch 4 x 256, the first 60 % of the tokens masked, AdamW, the same batch at every step.
`seconds_per_step` is the median without the first step.

--trl: rows are {"prompt": [messages], "completion": [messages]}. Everything is TRL's default (mixed bf16, gradient
checkpointing, padding to the longest row of a batch, at most 1,024 tokens a row, loss on the completion only, since rows
are prompt and completion; TRL 1.16's fused head: on a CPU logits at every position, but a tile at a time and not kept)
but what the work asks for:
--batch (4; TRL's default is 8), one epoch (3), the same DoRA (none), no checkpoints, the loss logged at every step, and
--f32 and --no-recompute, to see TRL at its best on this CPU: bf16 helps where there is avx512_bf16 or AMX.
Tokens are real ones, without padding; seconds are those of trainer.train() alone (`seconds`) and with loading and
tokenising (`seconds_all`).

`peak_rss_mb` is the process's high-water mark; `rss_imported_mb` what the imports alone take of it.
Needs torch, transformers, peft (and trl, datasets for --trl). Quiet machine, alternate with ours, quote ratios.
"""
import argparse
import json
import os
import re
import statistics
import sys
import tempfile
import time

os.environ["HF_HUB_OFFLINE"] = "1"
SEVEN = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
BATCH, LENGTH = 4, 256
MASKED = int(0.6 * LENGTH)


def memory(what):
    """VmHWM (peak) or VmRSS (now) in MB. ru_maxrss would also count what ran before exec."""
    with open("/proc/self/status") as file:
        return round(int(re.search(rf"{what}:\s+(\d+)", file.read()).group(1)) / 1024)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    variant = parser.add_mutually_exclusive_group(required=True)
    variant.add_argument("--stock", action="store_true")
    variant.add_argument("--selected", action="store_true")
    variant.add_argument("--trl", metavar="ROWS.jsonl")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--steps", type=int, help="default 10; with --trl as many as the rows make in one epoch")
    parser.add_argument("--base", metavar="DIR", help="--trl: Hugging Face folder of the base")
    parser.add_argument("--batch", type=int, default=4, help="--trl: rows a step (TRL's own default is 8)")
    parser.add_argument("--f32", action="store_true", help="--trl: f32 instead of TRL's default, mixed bf16")
    parser.add_argument("--no-recompute", action="store_true", help="--trl: without its default gradient checkpointing")
    args = parser.parse_args()
    if args.trl and not args.base:
        parser.error("--trl needs --base")
    return args


args = arguments()
for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS"):
    os.environ[name] = str(args.threads)  # before torch is imported
os.environ["TOKENIZERS_PARALLELISM"] = "false"
try:
    import torch
    import transformers
    from peft import LoraConfig, get_peft_model
except ImportError as missing:
    print(f"skipped: {missing}; 'pip install torch transformers peft trl' and run again")
    sys.exit(77)
torch.set_num_threads(args.threads)
transformers.logging.set_verbosity_error()


def dora():
    return LoraConfig(r=16, lora_alpha=32, lora_dropout=0.0, bias="none", target_modules=SEVEN, use_dora=True, task_type="CAUSAL_LM")


def shape():
    """SmolLM2-135M, random weights."""
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=49152, hidden_size=576, intermediate_size=1536, num_hidden_layers=30, num_attention_heads=9,
        num_key_value_heads=3, max_position_embeddings=8192, rms_norm_eps=1e-5, rope_theta=100000.0, tie_word_embeddings=True,
        use_cache=False)
    return transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32)


def synthetic():
    model = get_peft_model(shape(), dora()).train()
    trainable = [tensor for tensor in model.parameters() if tensor.requires_grad]
    optimizer = torch.optim.AdamW(trainable, lr=1e-4)
    ids = torch.randint(0, 49152, (BATCH, LENGTH), generator=torch.Generator().manual_seed(1))
    labels = ids.clone()
    labels[:, :MASKED] = -100
    causal = model.get_base_model()

    def loss_of():
        if args.stock:
            return model(input_ids=ids, labels=labels).loss
        hidden = causal.model(input_ids=ids).last_hidden_state[:, MASKED - 1:-1]
        return torch.nn.functional.cross_entropy(causal.lm_head(hidden).flatten(0, 1), labels[:, MASKED:].flatten())

    seconds, losses = [], []
    for _ in range(args.steps or 10):
        start = time.perf_counter()
        loss = loss_of()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trainable, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        seconds.append(time.perf_counter() - start)
        losses.append(loss.item())
    median = statistics.median(seconds[1:] or seconds)
    return {"variant": "stock" if args.stock else "selected", "batch": BATCH, "length": LENGTH, "loss_tokens": BATCH * (LENGTH - MASKED),
            "steps": len(seconds), "seconds_per_step": round(median, 4), "seconds_first_step": round(seconds[0], 4),
            "tokens_per_second": round(BATCH * LENGTH / median, 1),
            "loss_first": round(losses[0], 5), "loss_last": round(losses[-1], 5)}


def trl():
    import datasets
    from trl import SFTConfig, SFTTrainer
    begun = time.perf_counter()
    with open(args.trl) as file:
        rows = [{key: row[key] for key in ("prompt", "completion")} for row in map(json.loads, file)]
    options = {"bf16": False} if args.f32 else {}
    if args.no_recompute:
        options["gradient_checkpointing"] = False
    with tempfile.TemporaryDirectory() as scratch:
        config = SFTConfig(
            output_dir=scratch, use_cpu=True, per_device_train_batch_size=args.batch, max_steps=args.steps or -1,
            num_train_epochs=1, save_strategy="no", report_to=[], disable_tqdm=True, logging_steps=1, seed=0, **options)
        trainer = SFTTrainer(model=args.base, args=config, train_dataset=datasets.Dataset.from_list(rows), peft_config=dora())
        counted = {"real": 0, "padded": 0, "loss": 0}
        step = trainer.training_step

        def counting(model, inputs, *rest, **more):
            counted["real"] += int(inputs["attention_mask"].sum())
            counted["padded"] += inputs["attention_mask"].numel()
            counted["loss"] += int((inputs["labels"] != -100).sum())
            return step(model, inputs, *rest, **more)

        trainer.training_step = counting
        start = time.perf_counter()
        trainer.train()
        end = time.perf_counter()
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    return {"variant": "trl", "batch": args.batch, "rows": len(rows), "steps": trainer.state.global_step,
            "bf16": config.bf16, "recompute": bool(config.gradient_checkpointing),
            "real_tokens": counted["real"], "padded_tokens": counted["padded"], "loss_tokens": counted["loss"],
            "seconds": round(end - start, 3), "seconds_all": round(end - begun, 3),
            "tokens_per_second": round(counted["real"] / (end - start), 1),
            "tokens_per_second_all": round(counted["real"] / (end - begun), 1),
            "loss_first": losses[0], "loss_last": losses[-1]}


imported = memory("VmRSS")
result = trl() if args.trl else synthetic()
versions = {"torch": torch.__version__, "transformers": transformers.__version__, "peft": __import__("peft").__version__}
if args.trl:
    versions["trl"] = __import__("trl").__version__
print(json.dumps(result | {"threads": args.threads, "peak_rss_mb": memory("VmHWM"), "rss_imported_mb": imported} | versions))
