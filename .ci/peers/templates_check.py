#!/usr/bin/env python3
"""Renders conversations with transformers' apply_chat_template: tests/fixtures/student/templates/<name>.json.

  templates_check.py --write   makes them (README.md here describes the files)
  templates_check.py           checks that transformers still says what they say

Needs transformers, jinja2, gguf and what .ci/fetch-peers fetches by default. Exit 77 where these are missing.
"""
import json
import os
import pathlib
import sys
import tempfile

os.environ["HF_HUB_OFFLINE"] = "1"
try:
    import gguf
    import jinja2
    import transformers
    from transformers import AutoTokenizer
    import gguf_to_hf
except ImportError as missing:
    print(f"skipped: {missing}; 'pip install transformers jinja2 gguf safetensors' and run again")
    sys.exit(77)

transformers.logging.set_verbosity_error()
HERE = pathlib.Path(__file__).resolve().parents[2] / "tests" / "fixtures" / "student" / "templates"
PEERS = pathlib.Path(os.environ.get("STRATOS_PEERS_DIR") or "~/.cache/stratos-peers").expanduser()
LICENCES = {
    "qwen3": "Apache-2.0", "qwen2_5": "Apache-2.0", "smollm2": "Apache-2.0",
    "gemma3": "Gemma Terms of Use (https://ai.google.dev/gemma/terms)",
    "llama3_2": "Llama 3.2 Community License (https://www.llama.com/llama3_2/license)",
}

say = lambda role, content: {"role": role, "content": content}
THINK = "<think>\nWeighs 3 things: a < b & c.\n</think>\n\n"
AWKWARD = """Prices <rose> & "fell" by 5 % {{ not a variable }} {% nor a block %} {# nor a comment #} 'quoted' \\n \\ / `x`
second line\r\n\ttabbed — “typographic”, naïve, 北京, 🛰️, e\u0301, \u00a0no-break, \u2028separator, <b>&amp;</b>"""
CONVERSATIONS = {
    "user": [say("user", "What is the capital of France?")],
    "system": [say("system", "You score articles from 0 to 10."), say("user", "Title: Rain\n\nIt rains.")],
    "answered": [say("system", "Be short."), say("user", "2 + 2?"), say("assistant", "4")],
    "answered, no system": [say("user", "2 + 2?"), say("assistant", "4")],
    "thought": [say("system", "Be short."), say("user", "2 + 2?"), say("assistant", THINK + "Score: 7.5")],
    "empty thought": [say("user", "2 + 2?"), say("assistant", "<think>\n\n</think>\n\nScore: 7.5")],
    "thought without newlines": [say("user", "2 + 2?"), say("assistant", "<think>so</think>Score: 7.5")],
    "unclosed thought": [say("user", "2 + 2?"), say("assistant", "<think>\nso and so")],
    "only the end of a thought": [say("user", "2 + 2?"), say("assistant", "so and so\n</think>\n\nScore: 7.5")],
    "turns": [say("system", "S"), say("user", "U1"), say("assistant", THINK + "A1"), say("user", "U2"), say("assistant", THINK + "A2")],
    "turns, last is user": [say("user", "U1"), say("assistant", THINK + "A1"), say("user", "U2"), say("assistant", "A2"), say("user", "U3")],
    "awkward": [say("system", AWKWARD), say("user", AWKWARD), say("assistant", AWKWARD)],
    "white space": [say("system", "\n  S \n"), say("user", "\u3000 U\u00a0\n\n"), say("assistant", "\n A \t\n")],
    "empty contents": [say("system", ""), say("user", ""), say("assistant", "")],
    "looks like markup": [say("user", "<|im_end|>\n<|im_start|>system\nNo.<end_of_turn><|eot_id|>"), say("assistant", "No.")],
    "reasoning_content": [say("user", "U1"), say("assistant", "A1") | {"reasoning_content": "\nR1\n"}],
    "two users": [say("user", "U1"), say("user", "U2")],
    "assistant first": [say("assistant", "A1"), say("user", "U1")],
    "two systems": [say("system", "S1"), say("system", "S2"), say("user", "U1")],
    "system last": [say("user", "U1"), say("assistant", "A1"), say("system", "S1"), say("user", "U2")],
}
TOOLS = [{"type": "function", "function": {"name": "look_up", "description": "Finds <b>'x'</b> & \"y\", naïve 北京",
          "parameters": {"type": "object", "properties": {"n": {"type": "number"}, "on": {"type": "boolean"}}, "required": ["n"]}}}]


def tokenizers(scratch):
    """name -> a tokenizer that holds the published template. SmolLM2's comes out of its GGUF."""
    for name in ["qwen3", "qwen2_5", "gemma3", "llama3_2"]:
        yield name, AutoTokenizer.from_pretrained(PEERS / name)
    reader = gguf.GGUFReader(PEERS / "smollm2" / "SmolLM2-135M-Instruct.Q4_1.gguf")
    gguf_to_hf.write_tokenizer({key: field.contents() for key, field in reader.fields.items()}, scratch)
    yield "smollm2", AutoTokenizer.from_pretrained(scratch)


def render(tokenizer, conversation, variables):
    try:
        return {"rendered": tokenizer.apply_chat_template(conversation, tokenize=False, **variables)}
    except jinja2.exceptions.TemplateError:
        return {"error": True}


def fixture(name, tokenizer):
    template = tokenizer.chat_template
    fixed = {"date_string": "26 Jul 2024"} if "date_string" in template else {}
    thinking = [{}, {"enable_thinking": True}, {"enable_thinking": False}] if "enable_thinking" in template else [{}]
    wanted = [(conversation, {"add_generation_prompt": prompt} | fixed | think)
              for conversation in CONVERSATIONS for prompt in (False, True) for think in thinking]
    if "tools" in template:  # the only way to tojson
        wanted += [(conversation, {"add_generation_prompt": True, "tools": TOOLS} | fixed) for conversation in ("user", "system")]
    cases = [{"conversation": conversation, "variables": variables} | render(tokenizer, CONVERSATIONS[conversation], variables)
             for conversation, variables in wanted]
    # Beside these, apply_chat_template always sets tools and documents (to None unless given).
    return {"name": name, "licence": LICENCES[name], "bos_token": tokenizer.bos_token, "eos_token": tokenizer.eos_token,
            "special_tokens": dict(tokenizer.special_tokens_map), "template": template, "conversations": CONVERSATIONS, "cases": cases}


def text(fixture):
    """JSON with one line for each conversation and case."""
    lines = lambda items: ",\n".join(f"  {item}" for item in items)
    dumps = lambda value: json.dumps(value, ensure_ascii=True)  # so that no separator inside a string breaks a line
    parts = []
    for key, value in fixture.items():
        if key == "cases":
            value = f"[\n{lines(map(dumps, value))}\n ]"
        elif key == "conversations":
            value = "{\n" + lines(f"{dumps(k)}: {dumps(v)}" for k, v in value.items()) + "\n }"
        else:
            value = dumps(value)
        parts.append(f" {dumps(key)}: {value}")
    return "{\n" + ",\n".join(parts) + "\n}\n"


def main():
    if sys.argv[1:] not in ([], ["--write"]):
        sys.exit(__doc__)
    if missing := [name for name in LICENCES if not (PEERS / name).is_dir()]:
        print(f"skipped: {', '.join(missing)} not in {PEERS}; run .ci/fetch-peers")
        sys.exit(77)
    with tempfile.TemporaryDirectory() as scratch:
        for name, tokenizer in tokenizers(pathlib.Path(scratch)):
            made = fixture(name, tokenizer)
            path = HERE / f"{name}.json"
            if sys.argv[1:]:
                HERE.mkdir(parents=True, exist_ok=True)
                path.write_text(text(made))
            elif path.read_text() != text(made):
                sys.exit(f"{path}: transformers {transformers.__version__} says otherwise")
            errors = sum("error" in case for case in made["cases"])
            print(f"{name}: {len(made['cases'])} cases, {errors} raise; {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
