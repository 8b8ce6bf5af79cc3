#!/usr/bin/env python3
"""`stratos score` against a real llama.cpp server: the same GGUF, greedy, once by the server and once by the embedded engine.

  server_check.py [--server PATH]

Makes a workspace whose live release is SmolLM2's GGUF of .ci/fetch-peers, starts llama-server of .ci/fetch-peers
(`.ci/fetch-peers llama.cpp`; else PyPI's xllamacpp in this process), and scores articles for two readers by one line of
stratos.toml. Every row must come back with its prompt read whole, most answers must begin as the embedded engine's do (llama.cpp
rounds activations to 8 bits, so greedy texts part sooner or later), and once the server is gone, the words must say so.
Ours is $STRATOS_BIN (default target/debug/stratos). Exit 77 where one of them is missing.
"""
import argparse
import json
import os
import pathlib
import re
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
PEERS = pathlib.Path(os.environ.get("STRATOS_PEERS_DIR") or "~/.cache/stratos-peers").expanduser()
BINARY = pathlib.Path(os.environ.get("STRATOS_BIN") or ROOT / "target/debug/stratos")
READERS = "kuwait_cpeg,texas_nurse"
TITLES = ["Kuwait Oil Company opens a round of graduate hiring", "New nurse staffing rules in Texas hospitals",
          "A striker signs for three more years", "Semiconductor fab to be built near Dresden", "Central bank holds its rate",
          "Open-source database releases version 18"]
SLOTS = 3


def skip(why):
    print(f"skipped: {why}")
    sys.exit(77)


class Server:
    """llama-server on a free port, or the same server inside this process."""

    def __init__(self, program, gguf):
        self.process = self.inside = None
        if program.exists():
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                port = probe.getsockname()[1]
            self.url = f"http://127.0.0.1:{port}"
            self.log = tempfile.TemporaryFile()
            command = [program, "-m", gguf, "--host", "127.0.0.1", "--port", str(port), "-np", str(SLOTS), "-t", "1", "-c", "12288"]
            self.process = subprocess.Popen(command, stdout=self.log, stderr=self.log)
            return
        try:
            import xllamacpp
        except ImportError:
            skip(f"neither {program} nor xllamacpp; run '.ci/fetch-peers llama.cpp'")
        params = xllamacpp.CommonParams()
        params.model.path, params.n_parallel, params.n_ctx = str(gguf), SLOTS, 12288
        self.inside = xllamacpp.Server(params)
        self.url = self.inside.listening_address

    def wait(self):
        for _ in range(600):
            if self.process and self.process.poll() is not None:
                self.log.seek(0)
                sys.exit(f"llama-server ended:\n{self.log.read()[-2000:].decode(errors='replace')}")
            try:
                with urllib.request.urlopen(self.url + "/health"):
                    return
            except (urllib.error.URLError, ConnectionError):
                time.sleep(0.1)
        sys.exit("the server did not become ready in a minute")

    def close(self):
        if self.process:
            self.process.terminate()
            self.process.wait()
        self.inside = self.process = None


def stratos(folder, *arguments):
    return subprocess.run([BINARY, "--workspace", folder, *arguments], capture_output=True, text=True)


def done(result):
    if result.returncode:
        sys.exit(f"{' '.join(map(str, result.args))} failed:\n{result.stdout}{result.stderr}")


def workspace(folder, gguf):
    """One whose live release is the GGUF and whose recipe writes greedily: it does not think, for none that thinks may (S4)."""
    done(stratos(folder, "init", folder))
    recipe = (ROOT / "data/recipes/stratos-v19.toml").read_text()
    for key, value in [("temperature", "0.0"), ("temperature_floor", "0.0"), ("max_new_tokens", "24"), ("repeat_penalty", "1.0")]:
        recipe, count = re.subn(rf"(\[sampling\][^\[]*?\n{key} = )\S+", rf"\g<1>{value}", recipe)
        assert count == 1, key
    recipe, count = re.subn(r"\nthink = true", "\nthink = false", recipe)
    assert count == 1
    (folder / "data/recipes").mkdir()
    (folder / "data/recipes/stratos-v19.toml").write_text(recipe)
    done(stratos(folder, "run", "--yes", "--to", "articles"))
    inspected = stratos(folder, "models", "inspect", gguf, "--digest", "--json")
    done(inspected)
    with sqlite3.connect(folder / ".stratos/ledger.sqlite") as ledger:
        ledger.execute("INSERT INTO release (name, path, model, evaluation, runtime, verdict, live, at) "
                       "VALUES ('smollm2', ?, ?, 'none', 'none', 'untuned', 1, 0)", (str(gguf), json.loads(inspected.stdout)["digest"]))
    rows = [{"title": title, "content": f"{title}. More follows.", "source": "Wire", "source_type": "news"} for title in TITLES]
    (folder / "articles.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def score(folder):
    result = stratos(folder, "score", "--profile", READERS, "--file", folder / "articles.jsonl", "--json")
    lines = [json.loads(line) for line in result.stdout.splitlines() if line.startswith("{")]
    rows = {(line["pair"]["profile"], line["title"]): line for line in lines if line["event"] == "scored"}
    ends = [line for line in lines if line["event"] == "scoring_done"]
    if not ends or len(rows) != len(TITLES) * len(READERS.split(",")):
        sys.exit(f"{len(rows)} answers and {len(ends)} ends:\n{result.stdout[-2000:]}{result.stderr[-2000:]}")
    return rows, ends[0]


def told(name, end):
    per_second = lambda n: round(n / end["seconds"], 2)
    print(f"{name:9} {end['runtime']}: {end['answers']} answers in {end['seconds']:.1f} s, {per_second(end['answers'])} articles/s, "
          f"{per_second(end['prompt_tokens'])} prompt and {per_second(end['tokens'])} generated tokens/s")


def check(folder, server):
    embedded, end = score(folder)
    told("embedded", end)
    server.wait()
    config = (folder / "stratos.toml").read_text()
    assert "[scoring]\n" in config, config
    (folder / "stratos.toml").write_text(config.replace("[scoring]\n", f'[scoring]\nserver = "{server.url}"\n'))
    served, end = score(folder)
    told("server", end)
    assert "llama.cpp" in end["runtime"], end
    assert all(served[key]["prompt_tokens"] == row["prompt_tokens"] for key, row in embedded.items())
    begins = lambda row: row["raw"].split()[:2]
    same = sum(begins(served[key]) == begins(row) for key, row in embedded.items())
    print(f"{same} of {len(embedded)} answers begin alike, {sum(served[k]['raw'] == r['raw'] for k, r in embedded.items())} are equal")
    assert same * 3 >= len(embedded) * 2, {key: (served[key]["raw"], row["raw"]) for key, row in embedded.items()}
    if server.process:
        server.close()
        gone = stratos(folder, "score", "--profile", "texas_nurse", "--title", "x")
        assert gone.returncode and "llama-server -m" in gone.stderr, gone.stderr
        print(gone.stderr.strip())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--server", type=pathlib.Path, default=PEERS / "llama.cpp/bin/llama-server")
    program = parser.parse_args().server
    if not BINARY.exists():
        skip(f"no {BINARY}; run 'cargo build' or set STRATOS_BIN")
    gguf = next(iter(sorted(PEERS.glob("smollm2/*.gguf"))), None) or skip(f"no SmolLM2 in {PEERS}; run '.ci/fetch-peers smollm2'")
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        workspace(folder, gguf)
        server = Server(program, gguf)
        try:
            check(folder, server)
        finally:
            server.close()


main()
