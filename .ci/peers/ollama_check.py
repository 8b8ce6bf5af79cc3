#!/usr/bin/env python3
"""Proves the stub of Ollama faithful: Ollama's own Python client talks to it and understands every word.

  ollama_check.py          builds and starts the stub (cargo run --example ollama-stub) and runs all checks
  ollama_check.py URL      checks a stub, or a real Ollama, that already runs; models named stratos-check are made and deleted

Needs PyPI ollama. If it cannot be imported in the version below, it is installed once into a folder of its own under
STRATOS_PEERS_DIR (default ~/.cache/stratos-peers). Exit 77: it cannot be had.
"""
import importlib
import importlib.metadata
import os
import pathlib
import subprocess
import sys
import tempfile

PIN = "0.6.3"
ROOT = pathlib.Path(__file__).resolve().parents[2]
NAME = "stratos-check"
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
    home = pathlib.Path(os.environ.get("STRATOS_PEERS_DIR", pathlib.Path.home() / ".cache" / "stratos-peers"))
    folder = home / f"ollama-{PIN}-py{sys.version_info.major}{sys.version_info.minor}"
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


def run(url):
    client = ollama.Client(host=url)
    with tempfile.TemporaryDirectory() as folder:
        weights = pathlib.Path(folder) / "model.gguf"
        weights.write_bytes(b"GGUF" + bytes(3_000_000))
        other = pathlib.Path(folder) / "other.bin"
        other.write_bytes(b"no weights")
        digest, strange = client.create_blob(weights), client.create_blob(other)
        check("a blob is taken, and taken again", digest.startswith("sha256:") and client.create_blob(weights) == digest)
        raw = client._client
        check("a blob is asked for", raw.head(f"/api/blobs/{digest}").status_code == 200)
        check("another is not there", raw.head("/api/blobs/sha256:" + "0" * 64).status_code == 404)
        check("a digest that does not fit is refused", raw.post("/api/blobs/sha256:" + "1" * 64, content=b"x").status_code == 400)

        options = {"temperature": 0.6, "num_ctx": 512, "num_predict": 200, "stop": ["<|im_end|>"]}
        made = client.create(f"{NAME}:r1", files={"model.gguf": digest}, template=TEMPLATE, parameters=options)
        check("a model is made of files", made.status == "success" and f"{NAME}:r1" in names(client))
        lines = [p.status for p in client.create(f"{NAME}:r2", files={"model.gguf": digest}, template=TEMPLATE, system="Be brief.", stream=True)]
        check("a create streams its status to success", lines[-1] == "success" and "writing manifest" in lines and len(lines) > 2)
        lines = [p.status for p in client.create(f"{NAME}:r3", from_=f"{NAME}:r1", parameters={"temperature": 0.7}, stream=True)]
        check("a model is made from another", lines[-1] == "success")
        listed = {m.model: m for m in client.list().models}
        check("a list says digest, size and details", all(len(m.digest) == 64 and m.size == 3_000_004 and m.details.format == "gguf"
              and m.modified_at for m in (listed[f"{NAME}:r1"], listed[f"{NAME}:r2"])))
        check("other contents are another digest", len({listed[f"{NAME}:r{n}"].digest for n in (1, 2, 3)}) == 3)

        shown = client.show(f"{NAME}:r1")
        check("show says the template, word for word", shown.template == TEMPLATE)
        check("show says the parameters", "num_ctx" in shown.parameters and "512" in shown.parameters and "<|im_end|>" in shown.parameters)
        check("show says what it is", shown.details.quantization_level and shown.modelinfo["general.architecture"] == "llama"
              and "completion" in shown.capabilities)

        check("nothing is loaded", client.ps().models == [])
        answer = client.generate(f"{NAME}:r1", "<|im_start|>user\nthe article\n", raw=True)
        check("raw: an answer, and how much was read and written", "SCORE:" in answer.response and answer.done
              and answer.done_reason == "stop" and answer.prompt_eval_count > 3 and answer.eval_count > 3)
        more = client.generate(f"{NAME}:r1", "the article")
        framed = client.generate(f"{NAME}:r1", "the article", system="a reader")
        check("a template is filled", 3 < more.prompt_eval_count < framed.prompt_eval_count)
        pieces = list(client.generate(f"{NAME}:r1", "the article", stream=True))
        check("a stream says the same", "".join(p.response for p in pieces) == more.response and pieces[-1].done
              and pieces[-1].prompt_eval_count == more.prompt_eval_count)
        short = client.generate(f"{NAME}:r1", "x", options={"num_predict": 2})
        check("cut by the limit", short.done_reason == "length" and short.eval_count == 2)
        long = client.generate(f"{NAME}:r1", "the article of the row " * 400, raw=True)
        check("a context that is too small reads less", long.prompt_eval_count == 512)
        wide = client.generate(f"{NAME}:r1", "the article of the row " * 400, raw=True, options={"num_ctx": 8192})
        check("a request's own context reads all", wide.prompt_eval_count > 512)
        said = client.chat(f"{NAME}:r1", messages=[{"role": "system", "content": "a reader"}, {"role": "user", "content": "the article"}])
        check("chat renders as generate does", said.message.role == "assistant" and said.message.content == framed.response
              and said.prompt_eval_count == framed.prompt_eval_count)
        pieces = list(client.chat(f"{NAME}:r1", messages=[{"role": "user", "content": "x"}], stream=True))
        check("chat streams", pieces[-1].done and "".join(p.message.content for p in pieces) == said.message.content)
        fixed = client.chat(f"{NAME}:r2", messages=[{"role": "user", "content": "x"}])
        check("a model's own system prompt is read", fixed.prompt_eval_count > pieces[-1].prompt_eval_count)
        running = {m.model: m for m in client.ps().models}
        check("what was asked is loaded", set(running) == {f"{NAME}:r1", f"{NAME}:r2"} and running[f"{NAME}:r1"].context_length == 512
              and running[f"{NAME}:r1"].expires_at)
        client.generate(f"{NAME}:r2", "", keep_alive=0)
        check("a model is unloaded", {m.model for m in client.ps().models} == {f"{NAME}:r1"})

        check("a copy", client.copy(f"{NAME}:r2", NAME).status == "success")
        listed = {m.model: m.digest for m in client.list().models}
        check("a copy without a tag is the latest, and the same", listed[f"{NAME}:latest"] == listed[f"{NAME}:r2"])
        client.copy(f"{NAME}:r1", f"{NAME}:latest")
        listed = {m.model: m.digest for m in client.list().models}
        check("a copy goes over what was there", listed[f"{NAME}:latest"] == listed[f"{NAME}:r1"] != listed[f"{NAME}:r2"])

        refused("no such model to show", 404, lambda: client.show(f"{NAME}:none"), "not found")
        refused("no such model to ask", 404, lambda: client.generate(f"{NAME}:none", "x"), "not found")
        refused("no such model to chat with", 404, lambda: client.chat(f"{NAME}:none", messages=[]), "not found")
        refused("no such model to copy", 404, lambda: client.copy(f"{NAME}:none", f"{NAME}:x"), "not found")
        refused("no such model to delete", 404, lambda: client.delete(f"{NAME}:none"), "not found")
        refused("a name that is none", 400, lambda: client.create("a b", files={"m.gguf": digest}), "invalid model name")
        refused("made of nothing", 400, lambda: client.create(f"{NAME}:x"), "neither 'from' or 'files'")
        refused("made of a blob that is not there", 400, lambda: client.create(f"{NAME}:x", files={"m.gguf": "sha256:" + "2" * 64}))
        refused("made of a path", 400, lambda: client.create(f"{NAME}:x", files={"/etc/m.gguf": digest}), "relative")
        refused("made of no weights", 400, lambda: client.create(f"{NAME}:x", files={"m.gguf": strange}))
        refused("a template that is broken", 400, lambda: client.create(f"{NAME}:x", files={"m.gguf": digest}, template="{{ if"), "template")
        refused("in a stream too", -1, lambda: list(client.create(f"{NAME}:x", files={"m.gguf": strange}, stream=True)))
        for tag in ("r1", "r2", "r3", "latest"):
            client.delete(f"{NAME}:{tag}")
        check("deleted", not any(name.startswith(NAME) for name in names(client)))
    print(f"{checks} checks passed: ollama {PIN}")
    return 0


def main():
    if len(sys.argv) > 1:
        return run(sys.argv[1].rstrip("/"))
    command = ["cargo", "run", "--quiet", "--locked", "--example", "ollama-stub", "--", "--port", "0"]
    server = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        url = server.stdout.readline().strip()
        if not url.startswith("http"):
            print("FAILED  the stub did not start")
            return 1
        return run(url)
    finally:
        server.terminate()
        server.wait()


if __name__ == "__main__":
    sys.exit(main())
