#!/usr/bin/env python3
"""Trains a PEFT adapter on a StratOS job file: python3 external_trainer.py JOB.json

Needs torch, transformers, peft; under accelerate or torchrun on several devices if there are. Follows the job's order
exactly (never shuffles), weighs rows (sum of w * nll over sum of w * tokens, over the whole optimizer step), prints one
JSON line per event, goes on from its newest whole checkpoint, and leaves the best adapter in OUTPUT/adapter.
SIGTERM: finish the step, write a checkpoint, end. Described in docs/training-elsewhere.md.
"""

import json
import math
import os
import shutil
import signal
import sys
import time
from pathlib import Path

import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, PrinterCallback, Trainer, TrainerCallback, TrainingArguments, set_seed

IGNORED = -100
stop_asked = False


def on_terminate(_signal, _frame):
    global stop_asked
    stop_asked = True


def say(event, **fields):
    if int(os.environ.get("RANK", "0")) == 0:
        print(json.dumps({"event": event, **fields}), flush=True)


def fail(why):
    print(f"external trainer: {why}", file=sys.stderr, flush=True)
    sys.exit(2)


def read_rows(path, job, tokenizer):
    """Rows by id, as token ids with the place where the loss begins."""
    rows = {}
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line)
            ids, loss_from = row.get("input_ids"), row.get("loss_from")
            if ids is None:
                ids, loss_from = encode(row, tokenizer())
            if len(ids) > job["max_length"]:
                fail(f"row {row['id']} has {len(ids)} tokens, more than max_length {job['max_length']}; none is cut")
            labels = [IGNORED] * loss_from + ids[loss_from:]
            rows[row["id"]] = {"ids": ids, "labels": labels, "weight": float(row.get("weight", 1.0))}
    return rows


def encode(row, tokenizer):
    whole = row["prompt"] + row["completion"]
    front = tokenizer.apply_chat_template(row["prompt"], add_generation_prompt=True, tokenize=False)
    text = tokenizer.apply_chat_template(whole, tokenize=False).rstrip("\n")
    if not text.startswith(front):
        fail(f"row {row['id']}: the chat template does not begin the answer where the prompt ends")
    front = tokenizer(front, add_special_tokens=False)["input_ids"]
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    return ids, len(front)


FILLER = {"ids": [0], "labels": [IGNORED], "weight": 0.0}


class Ordered(torch.utils.data.Dataset):
    """All epochs' rows in the job's order. An epoch's last step is filled up with rows that weigh nothing, so that no
    optimizer step mixes two epochs."""

    def __init__(self, job, rows):
        per_step = job["run"]["effective_batch"]
        self.rows, self.epoch_ends = [], []
        for epoch in job["order"]:
            unknown = [name for name in epoch if name not in rows]
            if unknown:
                fail(f"the order names row {unknown[0]}, which is not in the data")
            self.rows += [rows[name] for name in epoch]
            self.rows += [FILLER] * (-len(epoch) % per_step)
            self.epoch_ends.append(len(self.rows) // per_step)
        self.steps = len(self.rows) // per_step

    def epoch_of(self, step):
        return next((n for n, end in enumerate(self.epoch_ends, 1) if step <= end), len(self.epoch_ends))

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, index):
        return self.rows[index]


def collate(rows):
    longest = max(len(row["ids"]) for row in rows)
    fill = lambda values, filler: values + [filler] * (longest - len(values))
    return {
        "input_ids": torch.tensor([fill(row["ids"], 0) for row in rows]),
        "attention_mask": torch.tensor([fill([1] * len(row["ids"]), 0) for row in rows]),
        "labels": torch.tensor([fill(row["labels"], IGNORED) for row in rows]),
        "weights": torch.tensor([row["weight"] for row in rows]),
    }


def weighted_tokens(batch):
    counts = batch["labels"][:, 1:].ne(IGNORED).sum(dim=1)
    return (counts * batch["weights"].to(counts.device)).sum()


def weighted_loss(model, batch):
    """Sum over rows of weight * nll; the caller divides."""
    labels, weights = batch["labels"][:, 1:], batch["weights"]
    logits = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits[:, :-1]
    there = labels.ne(IGNORED)
    nll = torch.nn.functional.cross_entropy(logits[there].float(), labels[there], reduction="none")
    return (nll * weights.unsqueeze(1).expand_as(labels)[there]).sum()


class JobTrainer(Trainer):
    def __init__(self, job, eval_rows, **rest):
        super().__init__(**rest)
        self.job, self.eval_rows = job, eval_rows
        # compute_loss divides by the whole step's weights, so the trainer must not divide again.
        self.model_accepts_loss_kwargs = True
        self.loss_is_scaled_for_ga = True
        self.step_tokens, self.step_loss_tokens, self.step_began = 0, 0, time.monotonic()

    def _get_train_sampler(self, *_):
        return torch.utils.data.SequentialSampler(self.train_dataset)

    def get_batch_samples(self, epoch_iterator, num_batches, device):
        batches = []
        for _ in range(num_batches):
            batch = next(epoch_iterator, None)
            if batch is None:
                break
            batches.append(batch)
        count = lambda value: torch.as_tensor(float(value), device=device)
        totals = torch.stack([
            count(sum(weighted_tokens(b) for b in batches)),
            count(sum(int(b["attention_mask"].sum()) for b in batches)),
            count(sum(int(b["labels"][:, 1:].ne(IGNORED).sum()) for b in batches)),
        ])
        totals = self.accelerator.reduce(totals, reduction="sum")
        self.step_tokens, self.step_loss_tokens, self.step_began = int(totals[1]), int(totals[2]), time.monotonic()
        return batches, totals[0]

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        loss = weighted_loss(model, inputs) / num_items_in_batch.to(inputs["weights"].device).clamp(min=1e-12)
        # Several devices average their gradients; each holds its own share of the sum.
        return loss * self.accelerator.num_processes

    def get_decay_parameter_names(self, model):
        """Matrices only, as the console does: DoRA's magnitudes are not pulled to zero."""
        return [name for name, parameter in model.named_parameters() if parameter.dim() >= 2]

    def create_scheduler(self, num_training_steps, optimizer=None):
        """The console's own schedule, so that both backends mean the same by a recipe."""
        run, total = self.job["run"], num_training_steps
        warmup = math.floor(run["warmup_share"] * total + 0.5)

        def rate(step):
            if step < warmup:
                return (step + 1) / warmup
            progress = min(max((step - warmup) / max(total - warmup, 1), 0.0), 1.0)
            cosine = 0.5 * (1.0 + math.cos(math.pi * progress))
            return {"cosine": cosine, "linear": 1.0 - progress, "constant": 1.0}[run["schedule"]]

        self.lr_scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer or self.optimizer, rate)
        self._created_lr_scheduler = True
        return self.lr_scheduler

    @torch.no_grad()
    def evaluate(self, *_args, **_rest):
        self.model.eval()
        loss, tokens, size = 0.0, 0.0, self.job["run"]["micro_batch"]
        for start in range(0, len(self.eval_rows), size):
            batch = collate(self.eval_rows[start : start + size])
            batch = {name: value.to(self.args.device) for name, value in batch.items()}
            loss += float(weighted_loss(self.model, batch))
            tokens += float(weighted_tokens(batch))
        self.model.train()
        metrics = {"eval_loss": loss / max(tokens, 1e-12)}
        self.log(dict(metrics))
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics


class Reporter(TrainerCallback):
    """Events, evaluation, checkpoints on demand, the best adapter, early stopping, and the request to stop."""

    def __init__(self, job, dataset):
        self.job, self.dataset, self.trainer, self.early = job, dataset, None, False
        self.best_dir = Path(job["output"]) / "best"

    def on_log(self, args, state, control, logs=None, **_):
        if not logs or "loss" not in logs:
            return
        step, trainer = state.global_step, self.trainer
        say(
            "step", step=step, epoch=self.dataset.epoch_of(step), loss=logs["loss"], grad_norm=float(logs.get("grad_norm", 0.0)),
            learning_rate=logs.get("learning_rate"), tokens=trainer.step_tokens, loss_tokens=trainer.step_loss_tokens,
            seconds=time.monotonic() - trainer.step_began,
        )

    def on_step_end(self, args, state, control, **_):
        run, step, request = self.job["run"], state.global_step, Path(self.job["checkpoint_request"])
        last = step >= state.max_steps
        asked = torch.tensor([float(stop_asked), float(request.exists() and state.is_world_process_zero)], device=args.device)
        stop, save = (self.trainer.accelerator.reduce(asked, reduction="sum") > 0).tolist()
        if save and state.is_world_process_zero:
            request.unlink(missing_ok=True)
        control.should_log = True
        control.should_evaluate = last or step % run["eval_every"] == 0
        control.should_save = last or save or stop or step % run["checkpoint_every"] == 0
        control.should_training_stop = control.should_training_stop or (stop and not last)
        return control

    def on_evaluate(self, args, state, control, metrics=None, **_):
        evals = [(e["step"], e["eval_loss"]) for e in state.log_history if "eval_loss" in e]
        step, loss = evals[-1]
        say("eval", step=step, loss=loss)
        best = min(range(len(evals)), key=lambda i: evals[i][1])
        if best == len(evals) - 1 and state.is_world_process_zero:
            self.save_best(step, loss)
        since = len(evals) - 1 - best
        if since >= self.job["run"]["patience"] > 0 and step < state.max_steps:
            say("early_stop", step=step, evaluations_without_improvement=since)
            self.early, control.should_save, control.should_training_stop = True, True, True
        return control

    def save_best(self, step, loss):
        fresh = self.best_dir.with_name("best.new")
        shutil.rmtree(fresh, ignore_errors=True)
        self.trainer.accelerator.unwrap_model(self.trainer.model).save_pretrained(fresh)
        (fresh / "best.json").write_text(json.dumps({"step": step, "loss": loss}))
        shutil.rmtree(self.best_dir, ignore_errors=True)
        fresh.rename(self.best_dir)

    def on_save(self, args, state, control, **_):
        say("checkpoint", step=state.global_step, path=str(Path(args.output_dir) / f"checkpoint-{state.global_step}"))


def newest_checkpoint(output):
    """The newest whole one: its state is written last."""
    found = []
    for path in Path(output).glob("checkpoint-*"):
        try:
            found.append((json.loads((path / "trainer_state.json").read_text())["global_step"], str(path)))
        except (OSError, ValueError, KeyError):
            continue
    return max(found, default=(0, None))


def known_best(output, step):
    """The best so far. One from after the checkpoint that the run goes on from will be found again."""
    best = Path(output) / "best"
    try:
        known = json.loads((best / "best.json").read_text())
        if known["step"] <= step:
            return {"best_step": known["step"], "best_loss": known["loss"]}
    except (OSError, ValueError, KeyError):
        pass
    shutil.rmtree(best, ignore_errors=True)
    return {}


def stopped_early(checkpoint, job):
    """Whether the run had already stopped early when this checkpoint was written."""
    state = json.loads((Path(checkpoint) / "trainer_state.json").read_text()) if checkpoint else {}
    losses = [e["eval_loss"] for e in state.get("log_history", []) if "eval_loss" in e]
    return bool(losses) and len(losses) - 1 - losses.index(min(losses)) >= job["run"]["patience"] > 0


def load_model(job):
    on_gpu = torch.cuda.is_available()
    names = {"bf16": torch.bfloat16, "f16": torch.float16, "f32": torch.float32}
    if job["precision"] not in names:
        fail(f"precision {job['precision']} is not known; use bf16, f16 or f32")
    # A CPU computes bf16 slowly and loses digits for nothing.
    dtype = names[job["precision"]] if on_gpu else torch.float32
    model = AutoModelForCausalLM.from_pretrained(job["base"], dtype=dtype)
    model.config.use_cache = False
    rules = job["adapter"]
    if rules["method"] not in ("dora", "lora"):
        fail(f"method {rules['method']} is not done elsewhere; use dora or lora")
    config = LoraConfig(
        r=rules["rank"], lora_alpha=rules["alpha"], target_modules=list(rules["targets"]), bias="none",
        lora_dropout=rules.get("dropout", 0.0), use_rslora=rules.get("rslora", False),
        use_dora=rules["method"] == "dora", task_type="CAUSAL_LM",
    )
    return get_peft_model(model, config)


def arguments(job, steps):
    run = job["run"]
    world = int(os.environ.get("WORLD_SIZE", "1"))
    micro = min(run["micro_batch"], run["effective_batch"])
    if run["effective_batch"] % (micro * world):
        fail(f"effective_batch {run['effective_batch']} is not a multiple of micro_batch {micro} x {world} devices")
    arguments = TrainingArguments(
        output_dir=job["output"], max_steps=steps, per_device_train_batch_size=micro,
        gradient_accumulation_steps=run["effective_batch"] // (micro * world), learning_rate=run["learning_rate"],
        weight_decay=run["weight_decay"], max_grad_norm=run["clip_norm"], seed=job["seed"], logging_steps=1,
        # Without this, a NaN loss would be shown as the mean of the losses before it.
        logging_nan_inf_filter=False, save_strategy="no", eval_strategy="no", save_total_limit=2, report_to=[],
        remove_unused_columns=False, dataloader_drop_last=False, disable_tqdm=True, use_cpu=not torch.cuda.is_available(),
    )
    # Rows carry their weights; splitting a batch over devices without a launcher would tear them apart.
    arguments._n_gpu = min(1, arguments.n_gpu)
    return arguments


def main():
    if len(sys.argv) != 2:
        fail("name one job file")
    job = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    if job.get("version") != 1:
        fail(f"this trainer reads job files of version 1, not {job.get('version')}")
    signal.signal(signal.SIGTERM, on_terminate)
    set_seed(job["seed"])
    loaded = []

    def tokenizer():
        from transformers import AutoTokenizer

        if not loaded:
            loaded.append(AutoTokenizer.from_pretrained(job["base"]))
        return loaded[0]

    rows = read_rows(job["data"]["train"], job, tokenizer)
    eval_rows = list(read_rows(job["data"]["eval"], job, tokenizer).values())
    dataset = Ordered(job, rows)
    model = load_model(job)
    reporter = Reporter(job, dataset)
    trainer = JobTrainer(
        job, eval_rows, model=model, args=arguments(job, dataset.steps), train_dataset=dataset, data_collator=collate,
        callbacks=[reporter],
    )
    reporter.trainer = trainer
    trainer.remove_callback(PrinterCallback)
    step, checkpoint = newest_checkpoint(job["output"])
    best = known_best(job["output"], step)
    say(
        "start", total_steps=dataset.steps, resumed_from=step or None, **best,
        parameters=sum(p.numel() for p in model.parameters() if p.requires_grad),
        longest=max(len(row["ids"]) for row in rows.values()),
    )
    if step < dataset.steps and not stopped_early(checkpoint, job):
        trainer.train(resume_from_checkpoint=checkpoint)
        step = trainer.state.global_step
    if stop_asked and step < dataset.steps and not reporter.early:
        say("stopped", step=step)
        return
    if trainer.is_world_process_zero():
        adapter = Path(job["output"]) / "adapter"
        shutil.rmtree(adapter, ignore_errors=True)
        if reporter.best_dir.exists():
            shutil.copytree(reporter.best_dir, adapter)
        else:
            trainer.accelerator.unwrap_model(trainer.model).save_pretrained(adapter)
    say("done", steps=step, path=str(Path(job["output"]) / "adapter"))


if __name__ == "__main__":
    main()
