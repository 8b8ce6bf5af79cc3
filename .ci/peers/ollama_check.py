#!/usr/bin/env python3
"""Proves the stub of Ollama faithful: Ollama's own Python client talks to it and understands every word.

  ollama_check.py               builds and starts the stub (cargo run --example ollama-stub) and runs all checks
  ollama_check.py URL [GGUF]    checks a real Ollama that already runs, or a stub started with --loops "nurse nurse";
                                models named stratos-check are made and deleted

What it expects is what Ollama 0.12.6 does. A real one needs real weights: GGUF, or the first *.gguf of smollm2 under
STRATOS_PEERS_DIR. What weights write is not compared, what is counted and refused is.

Needs PyPI ollama. If it cannot be imported in the version below, it is installed once into a folder of its own under
STRATOS_PEERS_DIR (default ~/.cache/stratos-peers). Exit 77: it cannot be had.
"""
import hashlib
import importlib
import importlib.metadata
import os
import pathlib
import struct
import subprocess
import sys
import tempfile
import time

PIN = "0.6.3"
ROOT = pathlib.Path(__file__).resolve().parents[2]
HOME = pathlib.Path(os.environ.get("STRATOS_PEERS_DIR", pathlib.Path.home() / ".cache" / "stratos-peers"))
NAME = "stratos-check"
LOOPS = "nurse nurse"
TEMPLATE = ('{{ range .Messages }}<|im_start|>{{ .Role }}\n{{ .Content }}<|im_end|>\n{{ end }}<|im_start|>assistant\n')


def provide():
    """Makes the client importable in the pinned version, or ends with 77."""
    def found():
        try:
            return importlib.metadata.version("ollama") == PIN
        except importlib.metadata.PackageNotFoundError:
            return False
    if found():
        return
    folder = HOME / f"ollama-{PIN}-py{sys.version_info.major}{sys.version_info.minor}"
    marker = folder / "complete"
    if not marker.exists():
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(folder), "--upgrade", f"ollama=={PIN}"]
        if subprocess.run(command, stderr=subprocess.DEVNULL).returncode != 0:
            print(f"skipped: cannot install ollama=={PIN} into {folder}")
            sys.exit(77)
        marker.write_text(PIN + "\n")
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()
    if not found():
        print(f"skipped: {folder} does not provide ollama {PIN}")
        sys.exit(77)


provide()
import ollama  # noqa: E402

checks = 0


def check(what, holds):
    global checks
    if not holds:
        print(f"FAILED  {what}")
        raise AssertionError(what)
    checks += 1
    print(f"ok      {what}")


def refused(what, status, act, words=""):
    try:
        act()
    except ollama.ResponseError as error:
        check(f"{what}: {error.status_code}", error.status_code == status and words in error.error)
    else:
        check(f"{what}: {status}", False)


def names(client):
    return {m.model for m in client.list().models}


def loaded(client):
    """Context lengths of what is loaded here, by name."""
    return {m.model: m.context_length for m in client.ps().models if m.model.startswith(NAME)}


def head_alone():
    """A GGUF without tensors, which the stub takes for weights."""
    def text(words):
        return struct.pack("<Q", len(words)) + words
    keys = text(b"general.architecture") + struct.pack("<I", 8) + text(b"llama")
    keys += text(b"llama.context_length") + struct.pack("<II", 4, 8192)
    return b"GGUF" + struct.pack("<IQQ", 3, 0, 2) + keys + bytes(3_000_000)


def run(url, gguf):
    client = ollama.Client(host=url)
    raw = client._client
    with tempfile.TemporaryDirectory() as folder:
        def file(name, content):
            path = pathlib.Path(folder) / name
            path.write_bytes(content)
            return path

        def sent(path):
            digest = "sha256:" + hashlib.sha256(path.read_bytes()).hexdigest()
            # Whoever sends what is there can be cut off: its body is not read.
            there = raw.head(f"/api/blobs/{digest}").status_code == 200
            check(f"a blob is taken, or there: {path.name}", there or client.create_blob(path) == digest)
            return digest

        weights = gguf or file("model.gguf", head_alone())
        digest, strange = sent(weights), sent(file("other.bin", b"no weights"))
        broken, old = sent(file("broken.gguf", b"GGUF" + bytes(10))), sent(file("old.gguf", b"GGUF" + bytes(300)))
        check("a blob is asked for", raw.head(f"/api/blobs/{digest}").status_code == 200)
        check("a blob that is there is not read", raw.post(f"/api/blobs/{digest}", content=b"x").status_code == 200)
        check("another is not there", raw.head("/api/blobs/sha256:" + "0" * 64).status_code == 404)
        check("a digest that does not fit is refused", raw.post("/api/blobs/sha256:" + "1" * 64, content=b"x").status_code == 400)

        options = {"temperature": 0.0, "num_ctx": 512, "num_predict": 8, "stop": ["<|im_end|>"]}
        made = client.create(f"{NAME}:r1", files={"model.gguf": digest}, template=TEMPLATE, parameters=options)
        check("a model is made of files", made.status == "success" and f"{NAME}:r1" in names(client))
        lines = [p.status for p in client.create(f"{NAME}:r2", files={"model.gguf": digest}, template=TEMPLATE, system="Be brief.",
                                                 parameters={"num_predict": 8}, stream=True)]
        check("a create streams its status to success", lines[-1] == "success" and "writing manifest" in lines and len(lines) > 2)
        lines = [p.status for p in client.create(f"{NAME}:r3", from_=f"{NAME}:r1", parameters={"temperature": 0.7}, stream=True)]
        check("a model is made from another", lines[-1] == "success")
        listed = {m.model: m for m in client.list().models}
        check("a list says digest and details", all(len(m.digest) == 64 and m.details.format == "gguf" and m.modified_at
              for m in (listed[f"{NAME}:r1"], listed[f"{NAME}:r2"])))
        check("a size is that of all layers", 300 < listed[f"{NAME}:r1"].size - weights.stat().st_size < 3000)
        check("other contents are another digest", len({listed[f"{NAME}:r{n}"].digest for n in (1, 2, 3)}) == 3)

        shown = client.show(f"{NAME}:r1")
        check("show says the template, word for word", shown.template == TEMPLATE)
        check("show says the parameters", "num_ctx" in shown.parameters and "512" in shown.parameters and "<|im_end|>" in shown.parameters)
        check("show says what it is", shown.details.quantization_level and shown.modelinfo["general.architecture"] == "llama"
              and "completion" in shown.capabilities)

        check("nothing is loaded", loaded(client) == {})
        answer = client.generate(f"{NAME}:r1", "<|im_start|>user\nthe article\n", raw=True)
        check("raw: an answer, and how much was read and written", answer.response and answer.done
              and answer.done_reason in ("stop", "length") and answer.prompt_eval_count > 3 and answer.eval_count > 1)
        more = client.generate(f"{NAME}:r1", "the article")
        framed = client.generate(f"{NAME}:r1", "the article", system="a reader")
        check("a template is filled", 3 < more.prompt_eval_count < framed.prompt_eval_count)
        pieces = list(client.generate(f"{NAME}:r1", "the article", stream=True))
        check("a stream says the same", "".join(p.response for p in pieces) and not pieces[0].done and pieces[-1].done
              and pieces[-1].prompt_eval_count == more.prompt_eval_count)
        short = client.generate(f"{NAME}:r1", "x", options={"num_predict": 2})
        check("cut by the limit", short.done_reason == "length" and short.eval_count == 2)
        long = client.generate(f"{NAME}:r1", "the article of the row " * 400, raw=True)
        check("a context that is too small reads less", long.prompt_eval_count == 512)
        wide = client.generate(f"{NAME}:r1", "the article of the row " * 400, raw=True, options={"num_ctx": 4096})
        check("a request's own context reads all", wide.prompt_eval_count > 512)
        looped = client.generate(f"{NAME}:r1", f"The {LOOPS}", raw=True, options={"repeat_penalty": 0.1, "num_predict": 90})
        check("an answer that repeats itself is not done, and counts nothing", looped.response and looped.done is False
              and looped.done_reason is None and looped.prompt_eval_count is None and looped.eval_count is None)
        pieces = list(client.generate(f"{NAME}:r1", f"The {LOOPS}", raw=True, stream=True,
                                      options={"repeat_penalty": 0.1, "num_predict": 90}))
        check("in a stream too", pieces and not any(p.done for p in pieces))

        said = client.chat(f"{NAME}:r1", messages=[{"role": "system", "content": "a reader"}, {"role": "user", "content": "the article"}])
        check("chat renders as generate does", said.message.role == "assistant" and said.message.content
              and said.prompt_eval_count == framed.prompt_eval_count)
        pieces = list(client.chat(f"{NAME}:r1", messages=[{"role": "user", "content": "x"}], stream=True))
        check("chat streams", pieces[-1].done and "".join(p.message.content for p in pieces))
        two = client.chat(f"{NAME}:r1", messages=[{"role": "user", "content": "a"}, {"role": "user", "content": "b"}])
        one = client.chat(f"{NAME}:r1", messages=[{"role": "user", "content": "a\n\nb"}])
        check("neighbours of one role are one message", two.prompt_eval_count == one.prompt_eval_count)
        check("what was asked is loaded", loaded(client) == {f"{NAME}:r1": 512} and client.ps().models[0].expires_at)
        client.generate(f"{NAME}:r3", "x")
        check("who shares weights shares what is loaded", loaded(client) == {f"{NAME}:r1": 512})
        fixed = client.chat(f"{NAME}:r2", messages=[{"role": "user", "content": "x"}])
        check("a model's own system prompt is read", fixed.prompt_eval_count > pieces[-1].prompt_eval_count)
        check("another context is loaded anew", loaded(client) == {f"{NAME}:r2": 4096})
        client.generate(f"{NAME}:r1", "x", options={"num_ctx": 100_000})
        check("a context larger than the model's own is told as it was asked", loaded(client) == {f"{NAME}:r1": 100_000})
        unloaded = client.generate(f"{NAME}:r2", "", keep_alive=0)
        patience = time.monotonic() + 10
        while loaded(client) and time.monotonic() < patience:
            time.sleep(0.1)
        check("a model is unloaded", unloaded.done_reason == "unload" and loaded(client) == {})

        check("a copy", client.copy(f"{NAME}:r2", NAME).status == "success")
        listed = {m.model: m.digest for m in client.list().models}
        check("a copy without a tag is the latest, and the same", listed[f"{NAME}:latest"] == listed[f"{NAME}:r2"])
        client.copy(f"{NAME}:r1", f"{NAME.upper()}:Latest")
        listed = {m.model: m.digest for m in client.list().models}
        check("a copy goes over what was there, however it is spelt", listed[f"{NAME}:latest"] == listed[f"{NAME}:r1"] != listed[f"{NAME}:r2"])
        check("show and generate take a name in other case", client.show(f"{NAME.upper()}:R1").template == TEMPLATE
              and client.generate(f"{NAME}:R1", "x").model == f"{NAME}:R1")
        refused("chat does not", 404, lambda: client.chat(f"{NAME}:R1", messages=[]), "not found")

        refused("no such model to show", 404, lambda: client.show(f"{NAME}:none"), "not found")
        refused("no such model to ask", 404, lambda: client.generate(f"{NAME}:none", "x"), "not found")
        refused("no such model to chat with", 404, lambda: client.chat(f"{NAME}:none", messages=[]), "not found")
        refused("no such model to copy", 404, lambda: client.copy(f"{NAME}:none", f"{NAME}:x"), "not found")
        refused("no such model to delete", 404, lambda: client.delete(f"{NAME}:none"), "not found")
        refused("no such model to make another from", 500, lambda: client.create(f"{NAME}:x", from_=f"{NAME}-none"), "pull model manifest")
        refused("a name that is none", 400, lambda: client.create("a b", files={"m.gguf": digest}), "invalid model name")
        refused("a name that is none, to delete", 400, lambda: client.delete("a b"), 'name "a b" is invalid')
        refused("a name that is none, to ask", 404, lambda: client.generate("a b", "x"), "not found")
        refused("a name that is none, to chat with", 400, lambda: client.chat("a b", messages=[]), "model is required")
        check("no name to show: 400", raw.post("/api/show", json={}).json() == {"error": "model is required"})
        check("no body: 400", raw.post("/api/show").json() == {"error": "missing request body"})
        refused("made of nothing", 400, lambda: client.create(f"{NAME}:x"), "neither 'from' or 'files'")
        refused("made of a blob that is not there", 500, lambda: client.create(f"{NAME}:x", files={"m.gguf": "sha256:" + "2" * 64}), "no such file")
        refused("made of a path", 400, lambda: client.create(f"{NAME}:x", files={"/etc/m.gguf": digest}), "relative")
        refused("made of no weights", 400, lambda: client.create(f"{NAME}:x", files={"m.gguf": strange}), "not in GGUF format")
        refused("made of what has no kind", 400, lambda: client.create(f"{NAME}:x", files={"m.bin": strange}), "unknown type")
        refused("made of a GGUF that is cut off", 500, lambda: client.create(f"{NAME}:x", files={"m.gguf": broken}), "unexpected EOF")
        refused("a template that is broken", 400, lambda: client.create(f"{NAME}:x", files={"m.gguf": digest}, template="{{ if"), "template")
        refused("in a stream too", -1, lambda: list(client.create(f"{NAME}:x", files={"m.gguf": strange}, stream=True)))
        refused("before a stream begins", 400, lambda: list(client.create(f"{NAME}:x", stream=True)), "neither 'from' or 'files'")
        refused("raw with a system prompt", 400, lambda: client.generate(f"{NAME}:r1", "x", raw=True, system="y"), "raw mode")
        wrong = raw.post("/api/generate", json={"model": f"{NAME}:r1", "prompt": "x", "options": {"num_ctx": "512"}})
        check("an option of another type: 500", wrong.status_code == 500 and "must be of type integer" in wrong.json()["error"])
        wrong = raw.post("/api/generate", json={"model": f"{NAME}:r1", "prompt": "x", "options": {"stop": [1]}})
        check("a stop that is no text: 500", wrong.status_code == 500 and "must be of an array of strings" in wrong.json()["error"])

        client.create(f"{NAME}:r4", files={"m.gguf": digest}, adapters={"a.gguf": digest})
        check("adapters are taken", f"{NAME}:r4" in names(client))
        client.create(f"{NAME}:r5", files={"m.gguf": old})
        refused("a GGUF of no version is made, and not asked", 400, lambda: client.generate(f"{NAME}:r5", "x"), "does not support generate")
        client.generate(f"{NAME}:r1", "", keep_alive=0)
        for tag in ("r1", "r2", "r3", "r4", "r5", "latest"):
            client.delete(f"{NAME}:{tag}")
        check("deleted", not any(name.startswith(NAME) for name in names(client)))
        check("with what no other model is made of", raw.head(f"/api/blobs/{old}").status_code == 404)
    print(f"{checks} checks passed: ollama {PIN}")
    return 0


def main():
    if len(sys.argv) > 1:
        known = sys.argv[2:] or sorted((HOME / "smollm2").glob("*.gguf"))
        return run(sys.argv[1].rstrip("/"), pathlib.Path(known[0]) if known else None)
    command = ["cargo", "run", "--quiet", "--locked", "--example", "ollama-stub", "--", "--port", "0", "--loops", LOOPS]
    server = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        url = server.stdout.readline().strip()
        if not url.startswith("http"):
            print("FAILED  the stub did not start")
            return 1
        return run(url, None)
    finally:
        server.terminate()
        server.wait()


if __name__ == "__main__":
    sys.exit(main())
