#!/usr/bin/env python3
"""Dequantises a GGUF of SmolLM2 (llama architecture, BPE tokenizer inside) into an ordinary Hugging Face folder.

  gguf_to_hf.py IN.gguf OUTDIR           writes config.json, generation_config.json, model.safetensors (f32),
                                         tokenizer.json, tokenizer_config.json (chat template inside)
  gguf_to_hf.py IN.gguf OUTDIR --check   afterwards loads the folder with transformers and decodes greedily:
                                         must continue as is known for SmolLM2-135M-Instruct Q4_1

IN.gguf as .ci/fetch-peers leaves it: ~/.cache/stratos-peers/smollm2/SmolLM2-135M-Instruct.Q4_1.gguf
Needs gguf, numpy, safetensors (and torch, transformers for --check). OUTDIR appears whole or not at all.
"""
import argparse
import json
import pathlib
import shutil
import sys

try:
    import gguf
    import numpy as np
    from safetensors.numpy import save_file
except ImportError as missing:
    print(f"skipped: {missing}; 'pip install gguf numpy safetensors' and run again")
    sys.exit(77)

# GGUF's names of the tensors in a block, and Hugging Face's.
BLOCK = {
    "attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm",
    "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj", "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj",
}
TOP = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}
CONTROL = 3  # tokenizer.ggml.token_type of special tokens

# The greedy continuation, without a BOS. GREEDY is what these weights say in f32: transformers on the folder, and
# llama.cpp on the same weights written as an f32 GGUF (log-probabilities equal to 4 digits). Q4_1 is what llama.cpp says
# on the Q4_1 file, where activations are quantised too: at the sixth token two candidates lie 0.22 nats apart and the
# other one wins. So f32 must give GREEDY, and must find every token of Q4_1 within CLOSE nats of its own favourite.
PROMPT, PROMPT_IDS = "The capital of France is", [504, 3575, 282, 4649, 314]
GREEDY = [7042, 30, 198, 198, 504, 2988, 314, 42, 216, 34, 32, 33, 40, 29, 32, 33]
Q4_1 = [7042, 30, 198, 198, 504, 1797, 1918, 553, 253, 2155, 282, 4723, 216, 35, 34, 33]
CLOSE = 0.3


def unpermuted(rows, heads):
    """llama.cpp interleaves the two rotary halves of every head's rows of q and k; Hugging Face keeps them apart."""
    return rows.reshape(heads, rows.shape[0] // heads // 2, 2, -1).swapaxes(1, 2).reshape(rows.shape)


def hf_name(name):
    stem, kind = name.rsplit(".", 1)
    if not stem.startswith("blk."):
        return f"{TOP[stem]}.{kind}"
    _, layer, part = stem.split(".")
    return f"model.layers.{layer}.{BLOCK[part]}.{kind}"


def convert(reader, out):
    meta = {name: field.contents() for name, field in reader.fields.items()}
    if meta["general.architecture"] != "llama" or meta["tokenizer.ggml.pre"] != "smollm":
        sys.exit(f"only SmolLM2 (llama, pre-tokenizer smollm), not {meta['general.architecture']}, {meta['tokenizer.ggml.pre']}")
    key = lambda name: meta[f"llama.{name}"]
    heads, kv_heads = key("attention.head_count"), key("attention.head_count_kv")

    tensors = {}
    for tensor in reader.tensors:
        values = gguf.dequantize(tensor.data, tensor.tensor_type).astype(np.float32)
        if ".attn_q." in tensor.name or ".attn_k." in tensor.name:
            values = unpermuted(values, heads if ".attn_q." in tensor.name else kv_heads)
        tensors[hf_name(tensor.name)] = np.ascontiguousarray(values)
    save_file(tensors, out / "model.safetensors", metadata={"format": "pt"})

    token = lambda kind: meta[f"tokenizer.ggml.{kind}_token_id"]
    ids = {"bos_token_id": token("bos"), "eos_token_id": token("eos"), "pad_token_id": token("padding")}
    short = lambda value: float(np.format_float_positional(np.float32(value), unique=True))  # 1e-05, not 9.99999974e-06
    config = {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "torch_dtype": "float32",
        "vocab_size": len(meta["tokenizer.ggml.tokens"]),
        "hidden_size": key("embedding_length"), "intermediate_size": key("feed_forward_length"),
        "num_hidden_layers": key("block_count"), "num_attention_heads": heads, "num_key_value_heads": kv_heads,
        "head_dim": key("rope.dimension_count"), "max_position_embeddings": key("context_length"),
        "rms_norm_eps": short(key("attention.layer_norm_rms_epsilon")), "rope_theta": short(key("rope.freq_base")),
        "rope_scaling": None, "hidden_act": "silu", "attention_bias": False, "mlp_bias": False, "attention_dropout": 0.0,
        "initializer_range": 0.041666666666666664, "tie_word_embeddings": "lm_head.weight" not in tensors, "use_cache": True,
    } | ids
    write(out / "config.json", config)
    write(out / "generation_config.json", ids)
    write_tokenizer(meta, out)


def write_tokenizer(meta, out):
    tokens, types = meta["tokenizer.ggml.tokens"], meta["tokenizer.ggml.token_type"]
    special = [i for i, kind in enumerate(types) if kind == CONTROL]
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    write(out / "tokenizer.json", {
        "version": "1.0", "truncation": None, "padding": None,
        "added_tokens": [{"id": i, "content": tokens[i]} | flags for i in special],
        "normalizer": None,
        # "smollm": every digit by itself, then GPT-2's words.
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": "Digits", "individual_digits": True}, byte_level]},
        "post_processor": None,
        "decoder": byte_level,
        "model": {
            "type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None, "end_of_word_suffix": None,
            "fuse_unk": False, "byte_fallback": False, "ignore_merges": False,
            "vocab": {token: i for i, token in enumerate(tokens)},
            "merges": [merge.split(" ") for merge in meta["tokenizer.ggml.merges"]],
        },
    })
    name = lambda kind: tokens[meta[f"tokenizer.ggml.{kind}_token_id"]]
    write(out / "tokenizer_config.json", {
        "tokenizer_class": "PreTrainedTokenizerFast",  # takes tokenizer.json as it is; GPT2Tokenizer would split anew
        "added_tokens_decoder": {str(i): {"content": tokens[i]} | flags for i in special},
        "bos_token": name("bos"), "eos_token": name("eos"), "unk_token": name("unknown"), "pad_token": name("padding"),
        "additional_special_tokens": [name("bos"), name("eos")],
        "add_bos_token": False, "add_prefix_space": False, "clean_up_tokenization_spaces": False,
        "model_max_length": meta["llama.context_length"],
        "chat_template": meta["tokenizer.chat_template"],
    })


def write(path, value):
    path.write_text(json.dumps(value, ensure_ascii=False, indent=None if path.name == "tokenizer.json" else 2) + "\n")


def check(folder):
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer
    torch.set_num_threads(1)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    ids = tokenizer(PROMPT, add_special_tokens=False)["input_ids"]
    chat = tokenizer.apply_chat_template([{"role": "user", "content": "Hi 12"}], tokenize=False, add_generation_prompt=True)
    again = tokenizer.decode(tokenizer(chat, add_special_tokens=False)["input_ids"])
    out = model.generate(torch.tensor([ids]), max_new_tokens=len(GREEDY), do_sample=False)[0, len(ids):].tolist()
    with torch.no_grad():
        rows = model(torch.tensor([ids + Q4_1])).logits[0, len(ids) - 1:-1]
    behind = (rows.max(-1).values - rows[torch.arange(len(Q4_1)), Q4_1]).max().item()
    print(f"prompt {ids}\ngreedy {out} {tokenizer.decode(out)!r}\nllama.cpp's Q4_1 tokens are at most {behind:.3f} nats behind")
    if ids != PROMPT_IDS or again != chat or out != GREEDY or behind > CLOSE:
        sys.exit(f"differs: expected {PROMPT_IDS} -> {GREEDY}, at most {CLOSE} nats, and {chat!r} back, not {again!r}")
    print("as known")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("gguf")
    parser.add_argument("outdir", type=pathlib.Path)
    parser.add_argument("--check", action="store_true")
    args = parser.parse_args()
    if not args.outdir.exists():
        part = args.outdir.with_name(args.outdir.name + ".part")
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        convert(gguf.GGUFReader(args.gguf), part)
        part.rename(args.outdir)
        print(f"wrote {args.outdir}")
    elif not args.check:
        sys.exit(f"{args.outdir} is already there; remove it first")
    if args.check:
        check(args.outdir)


if __name__ == "__main__":
    main()
