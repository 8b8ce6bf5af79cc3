#!/usr/bin/env python3
"""llama.cpp's side of the scoring benchmark; prints one JSON line.

  bench_score.py MODEL.gguf PROMPTS.jsonl --parallel 4 --threads 1 --n-predict 40 --stop '<|im_end|>' [--out ANSWERS.jsonl]

Prompts are {"id", "prompt"}: rendered text, special tokens in it are read as such and none is added. They are sent in the
file's order by as many clients as there are slots, greedily (temperature 0), with llama.cpp's own prefix cache on.
`seconds` run from the first request to the last answer; loading, warming up and tokenising come before.
`prompt_tokens` are all of them, `prompt_tokens_computed` those that the prefix cache did not save.
The server is llama-server of .ci/fetch-peers (`.ci/fetch-peers llama.cpp`), another one by --server PATH, or without
either PyPI's xllamacpp in this process. `--more='-ub 1024 -kvu'` adds options of llama-server, to find its best setting.
Quiet machine, alternate with ours, quote ratios: with 2 threads under load llama.cpp can fall tenfold.
Exit 77 where neither server is there.
"""
import argparse
import http.client
import json
import os
import pathlib
import queue
import re
import shlex
import socket
import subprocess
import sys
import threading
import time
import urllib.parse

PEERS = pathlib.Path(os.environ.get("STRATOS_PEERS_DIR") or "~/.cache/stratos-peers").expanduser()
SPARE = 16  # tokens of context a slot gets beyond its longest prompt and answer


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("gguf")
    parser.add_argument("prompts")
    parser.add_argument("--parallel", type=int, default=1, metavar="SLOTS")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--n-predict", type=int, default=40)
    parser.add_argument("--stop", action="append", default=[])
    parser.add_argument("--context", type=int, default=2048, help="tokens a slot (default 2048); a longer prompt is an error")
    parser.add_argument("--server", help="llama-server to run, or 'xllamacpp'")
    parser.add_argument("--more", default="", metavar="OPTIONS", help="further options of llama-server")
    parser.add_argument("--out", help="the answers: {id, text, prompt_tokens, generated_tokens}")
    return parser.parse_args()


def peak_rss_mb(pid):
    with open(f"/proc/{pid}/status") as file:
        return round(int(re.search(r"VmHWM:\s+(\d+)", file.read()).group(1)) / 1024)


class LlamaServer:
    """The program, on a free port of this machine."""

    def __init__(self, path, args):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.address = ("127.0.0.1", probe.getsockname()[1])
        command = [path, "-m", args.gguf, "--host", "127.0.0.1", "--port", str(self.address[1]), "-np", str(args.parallel),
                   "-t", str(args.threads), "-tb", str(args.threads), "--threads-http", "2",
                   "-c", str(args.context * args.parallel), *shlex.split(args.more)]
        self.log = open(f"/tmp/bench_score-{os.getpid()}.log", "w+")
        self.process = subprocess.Popen(command, stdout=self.log, stderr=self.log)
        self.pid, self.name = self.process.pid, "llama-server"

    def alive(self):
        if self.process.poll() is not None:
            self.log.seek(0)
            sys.exit(f"llama-server ended with {self.process.returncode}:\n{self.log.read()[-2000:]}")

    def close(self):
        self.process.terminate()
        self.process.wait()
        self.log.close()
        os.unlink(self.log.name)


class InProcess:
    """xllamacpp: the same server inside this process."""

    def __init__(self, args):
        import xllamacpp
        if args.more:
            sys.exit("--more needs llama-server")
        params = xllamacpp.CommonParams()
        params.model.path = args.gguf
        params.n_parallel = args.parallel
        params.n_ctx = args.context * args.parallel
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = args.threads
        self.server = xllamacpp.Server(params)
        url = urllib.parse.urlsplit(self.server.listening_address)
        self.address, self.pid, self.name = (url.hostname, url.port), os.getpid(), f"xllamacpp {xllamacpp.__version__}"

    def alive(self):
        pass

    def close(self):
        del self.server


def start(args):
    program = args.server or PEERS / "llama.cpp/bin/llama-server"
    if args.server != "xllamacpp" and (args.server or program.exists()):
        return LlamaServer(str(program), args)
    try:
        return InProcess(args)
    except ImportError as missing:
        print(f"skipped: {missing} and no {program}; run '.ci/fetch-peers llama.cpp' or 'pip install xllamacpp'")
        sys.exit(77)


def call(connection, path, body=None):
    connection.request("POST" if body else "GET", path, json.dumps(body) if body else None, {"Content-Type": "application/json"})
    response = connection.getresponse()
    text = response.read()
    if response.status != 200:
        raise RuntimeError(f"{path}: {response.status} {text[:300]}")
    return json.loads(text)


def wait(server):
    for _ in range(1200):
        server.alive()
        try:
            return call(http.client.HTTPConnection(*server.address), "/health")
        except (OSError, RuntimeError):
            time.sleep(0.1)
    sys.exit("the server did not become ready in two minutes")


def run(server, args):
    with open(args.prompts) as file:
        rows = [json.loads(line) for line in file]
    wait(server)
    connection = http.client.HTTPConnection(*server.address)
    tokens = [call(connection, "/tokenize", {"content": row["prompt"], "add_special": False, "parse_special": True})["tokens"]
              for row in rows]
    if (longest := max(map(len, tokens))) + args.n_predict + SPARE > args.context:
        sys.exit(f"the longest prompt has {longest} tokens: --context {longest + args.n_predict + SPARE} at least")
    waiting, answers, failures = queue.Queue(), [None] * len(rows), []
    for i in range(len(rows)):
        waiting.put(i)

    def client():
        connection = http.client.HTTPConnection(*server.address)
        try:
            while not failures:
                i = waiting.get_nowait()
                answers[i] = call(connection, "/completion", {
                    "prompt": tokens[i], "n_predict": args.n_predict, "stop": args.stop, "temperature": 0, "cache_prompt": True})
        except queue.Empty:
            pass
        except Exception as error:  # one client's end must be seen by the others and by the caller
            failures.append(error)

    clients = [threading.Thread(target=client) for _ in range(args.parallel)]
    begun = time.perf_counter()
    for thread in clients:
        thread.start()
    for thread in clients:
        thread.join()
    seconds = time.perf_counter() - begun
    if failures:
        sys.exit(f"a request failed: {failures[0]}")
    if args.out:
        with open(args.out, "w") as file:
            for row, ids, answer in zip(rows, tokens, answers):
                file.write(json.dumps({"id": row["id"], "text": answer["content"], "prompt_tokens": len(ids),
                                       "generated_tokens": answer["tokens_predicted"]}, ensure_ascii=False) + "\n")
    return {"server": server.name, "answers": len(rows), "parallel": args.parallel, "threads": args.threads, "more": args.more,
            "seconds": round(seconds, 3), "prompt_tokens": sum(map(len, tokens)),
            "prompt_tokens_computed": sum(answer["timings"]["prompt_n"] for answer in answers),
            "generated_tokens": sum(answer["tokens_predicted"] for answer in answers),
            "answers_per_second": round(len(rows) / seconds, 4), "peak_rss_mb": peak_rss_mb(server.pid)}


def main():
    args = arguments()
    server = start(args)
    try:
        print(json.dumps(run(server, args)))
    finally:
        server.close()


main()
