#!/usr/bin/env python3
"""What we export, in other people's hands: PEFT, transformers and llama.cpp must answer as the student that was trained.

  release_check.py [--only NAME] [--prompts 50] [--positions 64] [--keep FOLDER]

For SmolLM2-135M-Instruct and Gemma-3-270m (real weights of .ci/fetch-peers), and for small random Qwen2, Qwen3 and Llama 3
models with those families' real tokenizers: a DoRA trained by `stratos tune` for three steps and then pushed further, exported
by `stratos deploy export` as adapter, merged, f16, q8_0 and q4_k_m. Then
  adapter   in PEFT, merged in transformers: max |logit difference| < 1e-3 in f32 against `stratos models logits`
  GGUF      llama.cpp (PyPI xllamacpp) loads it, renders and tokenises the same prompts to the same ids
  next      in one format, on --prompts prompts x --positions teacher-forced positions: the same next token wherever ours has
            p > 0.6 (`stratos models logits GGUF --likeliest`)
  recipe    llama-quantize of .ci/fetch-peers stores every tensor in the kind in which we do
Ours is $STRATOS_BIN (default target/debug/stratos). Exit 77 where torch, transformers, peft, xllamacpp, the weights or our
binary are missing; 1 where one of this does not hold.
"""
import argparse
import json
import os
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor

os.environ["HF_HUB_OFFLINE"] = "1"
ROOT = pathlib.Path(__file__).resolve().parents[2]
PEERS = pathlib.Path(os.environ.get("STRATOS_PEERS_DIR") or "~/.cache/stratos-peers").expanduser()
BINARY = pathlib.Path(os.environ.get("STRATOS_BIN") or ROOT / "target/debug/stratos")
DATA = pathlib.Path(os.environ.get("STRATOS_TEST_DATA") or next((up / "shared/data/stratos" for up in ROOT.parents
                                                                  if (up / "shared/data/stratos").is_dir()), "."))
ALLOWED, CONFIDENT, SLOTS = 1e-3, 0.6, 8
FORMS = ["f16", "q8_0", "q4_k_m"]
BUILT_IN = ["The regulator published its final rule on nurse staffing in hospitals.", "A striker signs for three more years.",
            "Kuwait's oil company opens a round of graduate hiring for chemical engineers, 12 places in all.",
            "def area(r):\n    return 3.14159 * r ** 2  # not it's own, they'll say", "Ünïcödé, 東京 and 🚀: 1234567890 words\n\n  indented"]


def skip(why):
    print(f"skipped: {why}")
    sys.exit(77)


def serve(path):
    """A llama.cpp server in this process, until its standard input ends."""
    import xllamacpp
    params = xllamacpp.CommonParams()
    params.model.path, params.n_parallel, params.n_ctx, params.warmup = str(path), SLOTS, SLOTS * 1024, False
    # With more, its threads wait for each other in circles where the machine is busy.
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
    params.verbosity = 0
    server = xllamacpp.Server(params)
    print(json.dumps(server.listening_address), flush=True)
    sys.stdin.read()
    os._exit(0)


if len(sys.argv) == 3 and sys.argv[1] == "--serve":
    serve(sys.argv[2])

try:
    import torch
    import transformers
    import xllamacpp  # noqa: F401 (used by --serve)
    from gguf import GGUFReader
    from peft import PeftModel
    from safetensors.torch import load_file, save_file
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer
except ImportError as missing:
    skip(f"{missing}; 'pip install torch transformers peft gguf xllamacpp' and run again")

torch.set_num_threads(2)
transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()


def ours(*args, given=None, want_json=True):
    """One run of our binary: what it says, and its peak memory in MB."""
    with tempfile.TemporaryFile("w+") as into, tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        into.write(given or "")
        into.seek(0)
        child = subprocess.Popen([BINARY, *map(str, args)], stdin=into, stdout=out, stderr=err, text=True)
        peak = 0
        while child.poll() is None:
            # rusage would count this process too, whose memory a child has until it is another program.
            try:
                status = pathlib.Path(f"/proc/{child.pid}/status").read_text()
                peak = max([peak, *(int(line.split()[1]) // 1024 for line in status.splitlines() if line.startswith("VmHWM"))])
            except OSError:
                pass
            time.sleep(0.02)
        out.seek(0), err.seek(0)
        if child.returncode:
            sys.exit(f"{BINARY} {' '.join(map(str, args))}: exit {child.returncode}: {err.read().strip()[-2000:]}")
        text = out.read()
        return (json.loads(text) if want_json else text), peak


class Llama:
    """llama.cpp on one file."""

    def __init__(self, path):
        self.process = subprocess.Popen([sys.executable, __file__, "--serve", path], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        line = self.process.stdout.readline()
        if not line:
            sys.exit(f"llama.cpp does not load {path}")
        self.url = json.loads(line)
        for _ in range(600):
            try:
                urllib.request.urlopen(self.url + "/health").close()
                return
            except OSError:
                time.sleep(0.1)
        sys.exit("llama.cpp did not become ready in a minute")

    def ask(self, path, body):
        request = urllib.request.Request(self.url + path, json.dumps(body).encode(), {"Content-Type": "application/json"})
        with urllib.request.urlopen(request) as answer:
            return json.load(answer)

    def ids(self, text):
        return self.ask("/tokenize", {"content": text, "add_special": True, "parse_special": True})["tokens"]

    def next(self, slot, ids):
        """The likeliest next token; None: one that ends a text."""
        body = {"prompt": ids, "id_slot": slot, "n_predict": 1, "temperature": 0, "return_tokens": True, "cache_prompt": True}
        answer = self.ask("/completion", body)
        if not answer["tokens"] and answer.get("stop_type") != "eos":
            sys.exit(f"llama.cpp says neither a token nor an end: {json.dumps(answer)[:600]}")
        return answer["tokens"][0] if answer["tokens"] else None

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def texts():
    try:
        rows = [json.loads(line) for line in (DATA / "articles.jsonl").read_text().splitlines()]
        reasons = [json.loads(line)["reason"] for line in (DATA / "claude_scores.jsonl").read_text().splitlines()]
        return [f"{row['title']}\n{row['summary']}" for row in rows], reasons
    except OSError:
        print(f"(no real texts in {DATA}; built-in ones)")
        return BUILT_IN * 12, BUILT_IN[::-1] * 12


def random_model(folder, architecture, tokenizer, **settings):
    """A small random model with a family's real tokenizer."""
    config = AutoConfig.for_model(architecture, hidden_size=256, intermediate_size=512, num_hidden_layers=4, num_attention_heads=4,
                                  num_key_value_heads=2, max_position_embeddings=2048, **settings)
    torch.manual_seed(19)
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    with torch.no_grad():
        for name, tensor in model.named_parameters():
            if tensor.dim() == 1:
                tensor.add_(torch.randn_like(tensor) * 0.1)
    model.save_pretrained(folder)
    for name in ["tokenizer.json", "tokenizer_config.json"]:
        shutil.copy(PEERS / tokenizer / name, folder)


def base(name, folder):
    """A base with a chat template on disk."""
    if name == "smollm2":
        if pathlib.Path("/work/smollm2/model.safetensors").exists():
            return pathlib.Path("/work/smollm2")
        source = next(iter(PEERS.glob("smollm2/*.gguf")), None) or skip("no SmolLM2; run '.ci/fetch-peers'")
        subprocess.run([sys.executable, ROOT / ".ci/peers/gguf_to_hf.py", source, folder], check=True, stdout=subprocess.DEVNULL)
    elif name == "gemma3":
        source = next(iter(PEERS.glob("gemma3-270m/*.gguf")), None) or skip("no Gemma; run '.ci/fetch-peers gemma3-270m'")
        # A base without a chat template: what it has is exported, and the instruct model's template put beside it.
        ours("deploy", "export", "--from", source, "--to", folder.parent, "--form", "merged", "--json", want_json=False)
        (folder.parent / "merged").rename(folder)
        config = json.loads((PEERS / "gemma3/tokenizer_config.json").read_text())
        (folder / "chat_template.jinja").write_text(config["chat_template"])
    elif name == "qwen3":
        random_model(folder, "qwen3", "qwen3", vocab_size=151_936, head_dim=64, tie_word_embeddings=True, rope_theta=1e6)
    elif name == "qwen2":
        random_model(folder, "qwen2", "qwen2_5", vocab_size=151_936, tie_word_embeddings=False)
    elif name == "llama3":
        scaling = {"rope_type": "llama3", "factor": 32.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                   "original_max_position_embeddings": 512, "rope_theta": 500_000.0}
        random_model(folder, "llama", "llama3_2", vocab_size=128_256, tie_word_embeddings=True, rope_parameters=scaling)
    return folder


def adapter(of, folder, articles, reasons):
    """Ours, three steps old, and then pushed so far that a base without it is another model."""
    rows = [{"messages": [{"role": "user", "content": f"Is this news?\n{text[:200]}"}, {"role": "assistant", "content": reason}]}
            for text, reason in zip(articles, reasons)]
    for name, some in [("train", rows[:6]), ("dev", rows[6:8])]:
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in some))
    (folder / "settings.toml").write_text(f"""base = "{of}"
precision = "stored"
seed = 3
max_tokens = 512
[adapter]
dora = true
rank = 8
alpha = 16.0
targets = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
[run]
learning_rate = 1e-3
schedule = "cosine"
warmup_share = 0.1
micro_batch = 2
effective_batch = 2
epochs = 1
weight_decay = 0.0
clip_norm = 1.0
order = "shuffle"
eval_every = 3
checkpoint_every = 3
patience = 0
""")
    ours("tune", folder / "settings.toml", "--rows", folder / "train.jsonl", "--eval", folder / "dev.jsonl", "--out", folder / "run",
         want_json=False)
    best = folder / "run/best"
    torch.manual_seed(7)
    pushed = {name: tensor + torch.randn_like(tensor) * (0.01 if "lora_B" in name else 0.0)
              for name, tensor in load_file(best / "adapter_model.safetensors").items()}
    save_file(pushed, best / "adapter_model.safetensors", metadata={"format": "pt"})
    return best


def logits(model, ids):
    with torch.no_grad():
        return [model(torch.tensor([text])).logits[0] for text in ids]


def distance(a, b):
    if len(a) != len(b) or any(x.shape != y.shape for x, y in zip(a, b)):
        return float("inf")
    return max(torch.nan_to_num((x - y).abs(), nan=float("inf")).max().item() for x, y in zip(a, b))


def same_kinds(release):
    """llama-quantize on our f16 against our own q8_0 and q4_k_m."""
    program = PEERS / "llama.cpp/bin/llama-quantize"
    if not program.exists():
        return print("  recipe: skipped, no llama-quantize; run '.ci/fetch-peers llama.cpp'") or True
    fine = True
    for form, name in [("q8_0", "Q8_0"), ("q4_k_m", "Q4_K_M")]:
        theirs = release / f"theirs-{form}.gguf"
        done = subprocess.run([program, release / "gguf/model-f16.gguf", theirs, name], capture_output=True, text=True)
        if done.returncode:
            print(f"  recipe {form}: llama-quantize failed: {done.stderr[-300:]}")
            fine = False
            continue
        kinds = lambda path: {t.name: t.tensor_type.name for t in GGUFReader(path).tensors}
        a, b = kinds(release / f"gguf/model-{form}.gguf"), kinds(theirs)
        odd = [f"{n}: ours {a.get(n)}, theirs {b.get(n)}" for n in sorted(set(a) | set(b)) if a.get(n) != b.get(n)]
        print(f"  recipe {form}: {len(a)} tensors, {len(odd)} stored otherwise than by llama-quantize {odd[:3] or ''}; "
              f"bytes ours {(release / f'gguf/model-{form}.gguf').stat().st_size:,}, theirs {theirs.stat().st_size:,}")
        fine &= not odd
        theirs.unlink()
    return fine


def check_gguf(path, form, prompts, messages, expected, rendered, ends):
    """Ids of every prompt, and the next token wherever ours is sure of it."""
    llama = Llama(path)
    wrong = [n for n, (text, ids) in enumerate(zip(rendered, expected)) if llama.ids(text) != ids]
    said = [llama.ask("/apply-template", {"messages": m})["prompt"] for m in messages[:5]]
    bos = rendered[0][: len(rendered[0]) - len(said[0])] if rendered[0].endswith(said[0]) else ""
    other = sum(bos + theirs != mine for theirs, mine in zip(said, rendered))
    begun = time.time()
    best, _ = ours("models", "logits", path, "--likeliest", given=json.dumps([ids for ids, _ in prompts]))
    seconds = time.time() - begun
    sure = same = both = missed = 0
    first = []
    begun = time.time()
    # Prompts side by side, each going on in its own slot.
    with ThreadPoolExecutor(SLOTS) as pool:
        one = lambda slot: [[llama.next(slot, ids[:at]) for at in range(start, len(ids))] for ids, start in prompts[slot::SLOTS]]
        by_slot = list(pool.map(one, range(SLOTS)))
    for n, ((ids, start), answers) in enumerate(zip(prompts, best)):
        for at, theirs in zip(range(start, len(ids)), by_slot[n % SLOTS][n // SLOTS]):
            token, p = answers[at - 1]
            equal = token in ends if theirs is None else token == theirs
            both += 1
            same += equal
            if p > CONFIDENT:
                sure += 1
                if not equal:
                    missed += 1
                    first.append(f"{token} (p {p:.2f}) but {theirs}")
    llama.close()
    print(f"  {form}: ids of {len(rendered)} prompts, {len(wrong)} differ; {other} of 5 rendered otherwise; {both} positions, "
          f"{same / max(both, 1):.2%} the same next token; {sure} sure ones, {missed} differ {first[:3] or ''} "
          f"({seconds:.0f} s ours, {time.time() - begun:.0f} s llama.cpp)", flush=True)
    return not wrong and not other and not missed


def check(name, scratch, args):
    print(f"{name}:", flush=True)
    articles, reasons = texts()
    random.Random(5).shuffle(articles), random.Random(6).shuffle(reasons)
    of = base(name, scratch / "base")
    trained = adapter(of, scratch, articles, reasons)
    release = scratch / "release"
    forms = ["adapter", "merged", *FORMS]
    said, peak = ours("deploy", "export", "--from", trained, "--to", release, "--json", *[f"--form={form}" for form in forms],
                      want_json=False)
    lines = [line for line in map(json.loads, said.splitlines()) if "tensor" not in line]
    size = (of / "model.safetensors").stat().st_size
    print(f"  export: {', '.join('%s %.0f MB' % (l['form'], l['bytes'] / 1e6) for l in lines[1:])}; peak {peak} MB of memory, "
          f"forecast {lines[0]['forecast']['memory'] / 1e6:.0f} MB; the base has {size / 1e6:.0f} MB", flush=True)
    tokenizer = AutoTokenizer.from_pretrained(release / "merged")
    some = [tokenizer(text, add_special_tokens=False)["input_ids"][:12] for text in articles[:3]]
    mine, _ = ours("models", "logits", of, "--adapter", release / "adapter", given=json.dumps(some))
    mine = [torch.tensor(rows) for rows in mine]
    plain = AutoModelForCausalLM.from_pretrained(of, dtype=torch.float32).eval()
    moved = distance(logits(plain, some), mine)
    with_adapter = PeftModel.from_pretrained(plain, release / "adapter").eval()
    peft = distance(logits(with_adapter, some), mine)
    del plain, with_adapter
    model = AutoModelForCausalLM.from_pretrained(release / "merged", dtype=torch.float32).eval()
    merged = distance(logits(model, some), mine)
    del model
    print(f"  max |Δlogit|: adapter in PEFT {peft:.1e}, merged in transformers {merged:.1e} (the adapter moves them by {moved:.1e})",
          flush=True)
    messages = [[{"role": "user", "content": f"Is this news?\n{text[:240]}"}] for text in articles[: args.prompts]]
    messages[0][0]["content"] += "\n" + "\n".join(BUILT_IN)
    rendered = [tokenizer.apply_chat_template(m, tokenize=False, add_generation_prompt=True) for m in messages]
    expected = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in rendered]
    given = "".join(json.dumps(text) + "\n" for text in rendered)
    own, _ = ours("models", "tokenize", release / "gguf/model-q8_0.gguf", given=given, want_json=False)
    odd = sum(json.loads(line) != ids for line, ids in zip(own.splitlines(), expected))
    print(f"  ids: {len(rendered)} prompts, {odd} differ between transformers and ours")
    answers = [tokenizer(" ".join(reasons[i : i + 6]), add_special_tokens=False)["input_ids"] for i in range(args.prompts)]
    prompts = [(ids + answer[: args.positions], len(ids)) for ids, answer in zip(expected, answers)]
    fine = peft < ALLOWED and merged < ALLOWED and moved > 0.1 and not odd
    fine &= same_kinds(release)
    for form in FORMS:
        fine &= check_gguf(release / f"gguf/model-{form}.gguf", form, prompts, messages, expected, rendered, set(tokenizer.all_special_ids))
    print(f"  {'holds' if fine else 'DOES NOT HOLD'}", flush=True)
    return fine


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = ["smollm2", "gemma3", "qwen3", "qwen2", "llama3"]
    parser.add_argument("--only", choices=names, action="append")
    parser.add_argument("--prompts", type=int, default=50)
    parser.add_argument("--positions", type=int, default=64)
    parser.add_argument("--keep", type=pathlib.Path, help="work here, and leave it")
    args = parser.parse_args()
    if not BINARY.exists():
        skip(f"{BINARY} is not built; 'cargo build' or set STRATOS_BIN")
    fine = True
    for name in args.only or names:
        with tempfile.TemporaryDirectory() as scratch:
            scratch = args.keep / name if args.keep else pathlib.Path(scratch)
            shutil.rmtree(scratch, ignore_errors=True)
            scratch.mkdir(parents=True)
            fine &= check(name, scratch, args)
    sys.exit(0 if fine else 1)


if __name__ == "__main__":
    main()
