#!/usr/bin/env python3
"""Proves the batch emulator faithful: the providers' official SDKs talk to it and understand every word.

  sdk_check.py          builds and starts the emulator (cargo run --example batch-emulator) and runs all checks
  sdk_check.py URL      checks an emulator that already runs (started with --looks 2, no --key)

Needs PyPI anthropic, openai and google-genai. If they cannot be imported in the versions below, they are installed once
into a folder of their own under STRATOS_PEERS_DIR (default ~/.cache/stratos-peers). Exit 77: they cannot be had.
"""
import importlib.metadata
import io
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import urllib.request

PINS = {"anthropic": "2.12.0", "openai": "3.54.0", "google-genai": "3.4.0"}
ROOT = pathlib.Path(__file__).resolve().parents[2]


def provide():
    """Makes the SDKs importable in the pinned versions, or ends with 77."""
    def found():
        try:
            return all(importlib.metadata.version(name) == pin for name, pin in PINS.items())
        except importlib.metadata.PackageNotFoundError:
            return False
    if found():
        return
    home = pathlib.Path(os.environ.get("STRATOS_PEERS_DIR", pathlib.Path.home() / ".cache" / "stratos-peers"))
    folder = home / ("sdk-" + "-".join(f"{name[0]}{pin}" for name, pin in PINS.items())
                     + f"-py{sys.version_info.major}{sys.version_info.minor}")
    marker = folder / "complete"
    if not marker.exists():
        wanted = [f"{name}=={pin}" for name, pin in PINS.items()]
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(folder), "--upgrade", *wanted]
        if subprocess.run(command, stderr=subprocess.DEVNULL).returncode != 0:
            print(f"skipped: cannot install {' '.join(wanted)} into {folder}")
            sys.exit(77)
        marker.write_text("\n".join(wanted) + "\n")
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()
    if not found():
        print(f"skipped: {folder} does not provide {PINS}")
        sys.exit(77)


provide()
import anthropic  # noqa: E402
import httpx2 as httpx  # noqa: E402  (what the SDKs speak through)
import openai  # noqa: E402
from google import genai  # noqa: E402
from google.genai import errors as genai_errors, types  # noqa: E402

RUBRIC = "You judge how relevant one news article is to one particular reader.\n" + "Nine rules decide. " * 300
SCHEMA = {"type": "object", "properties": {"score": {"type": "number"}, "reason": {"type": "string"}}, "required": ["score", "reason"],
          "additionalProperties": False}
SCORE = re.compile(r"<think>\n(.+)\n</think>\nSCORE: (\d+\.\d) \| REASON: .+\.$", re.S)
checks = 0


def check(what, holds):
    global checks
    if not holds:
        print(f"FAILED  {what}")
        raise AssertionError(what)
    checks += 1
    print(f"ok      {what}")


def raises(what, kind, act, test=lambda e: True):
    try:
        act()
    except kind as error:
        check(f"{what}: {type(error).__name__}", test(error))
    else:
        check(f"{what}: {kind}", False)


def prompt(n):
    system = RUBRIC + "\n\n<profile>\nRole: Nurse\nLocation: Texas, USA\n</profile>"
    return system, f"<article>\nSource: Reuters (news)\nTitle: Harbour {n} reopens\nIt reopens on Monday.\n</article>"


class Control:
    def __init__(self, base):
        self.base = base

    def call(self, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.base}/_emulator/{path}", data=data, method="GET" if body is None else "POST")
        with urllib.request.urlopen(request) as reply:
            return json.load(reply)

    def fault(self, fault, on=None):
        self.call("fault", {"fault": fault} | ({"on": on} if on else {}))

    def status(self, code, body="provider", retry_after=None):
        self.fault({"status": {"code": code, "times": 1, "body": body, "retry_after": retry_after}})

    def billed(self):
        return self.call("billed")["data"]


def judged(text):
    found = SCORE.match(text)
    assert found, text
    score, words = float(found[2]), len(found[1].split())
    low, high = (15, 49) if score < 2 else (120, 180) if score >= 9 else (80, 150)
    return score != 5.0 and low <= words <= high


# --- Anthropic -----------------------------------------------------------------------------------------------------------------

def anthropic_checks(base, control):
    client = anthropic.Anthropic(api_key="k", base_url=base, max_retries=0)
    batches = client.messages.batches

    def request(n, **more):
        system, user = prompt(n)
        blocks = [{"type": "text", "text": system, "cache_control": {"type": "ephemeral", "ttl": "1h"}}]
        params = {"model": "claude-haiku-4-5", "max_tokens": 700, "system": blocks, "messages": [{"role": "user", "content": user}]}
        return {"custom_id": f"a-{n}", "params": params | more}

    def finished(batch):
        while batch.processing_status != "ended":
            batch = batches.retrieve(batch.id)
        return batch

    made = batches.create(requests=[request(n) for n in range(6)])
    check("anthropic: a batch is made, in progress, all processing", made.processing_status == "in_progress"
          and made.request_counts.processing == 6 and made.results_url is None and made.type == "message_batch")
    check("anthropic: it expires after 24 hours", (made.expires_at - made.created_at).total_seconds() == 86400)
    looked = batches.retrieve(made.id)
    check("anthropic: counts stay zero until the end", looked.request_counts.succeeded == 0 and looked.request_counts.processing == 6)
    raises("anthropic: results of a running batch", anthropic.AnthropicError, lambda: batches.results(made.id))
    ended = finished(made)
    check("anthropic: it ends with counts and a results url", ended.request_counts.succeeded == 6
          and ended.request_counts.processing == 0 and ended.results_url.startswith(base) and ended.ended_at)
    rows = list(batches.results(made.id))
    check("anthropic: results hold every id, shuffled", {r.custom_id for r in rows} == {f"a-{n}" for n in range(6)}
          and [r.custom_id for r in rows] != [f"a-{n}" for n in range(6)])
    check("anthropic: every answer parses and fits its tier", all(judged(r.result.message.content[0].text) for r in rows))
    usage = {r.custom_id: r.result.message.usage for r in rows}
    check("anthropic: the first writes the cache, the others read it", usage["a-0"].cache_creation_input_tokens >= 1024
          and usage["a-0"].cache_creation.ephemeral_1h_input_tokens == usage["a-0"].cache_creation_input_tokens
          and usage["a-3"].cache_read_input_tokens == usage["a-0"].cache_creation_input_tokens
          and usage["a-3"].service_tier == "batch" and usage["a-3"].output_tokens > 0)
    billed = [b for b in control.billed() if b["batch"] == made.id]
    check("anthropic: the bills are the usage", len(billed) == 6 and all(
        (b["input"], b["cache_write"], b["cache_read"], b["output"]) == (u.input_tokens, u.cache_creation_input_tokens,
        u.cache_read_input_tokens, u.output_tokens) for b in billed for u in [usage[b["custom_id"]]]))
    with client.messages.batches.with_streaming_response.retrieve(made.id) as raw:
        check("anthropic: every reply has a request id", raw.headers["request-id"].startswith("req_"))

    more = [batches.create(requests=[request(n)]) for n in range(4)]
    ids = [b.id for b in batches.list(limit=2)]
    check("anthropic: a list pages to its end, newest first", ids[:4] == [b.id for b in reversed(more)] and made.id in ids)
    first = batches.list(limit=2)
    check("anthropic: a page says first, last and more", first.has_more and first.first_id == more[3].id and first.last_id == more[2].id)
    back = batches.list(limit=2, before_id=more[0].id)
    check("anthropic: before_id pages back", [b.id for b in back.data] == [more[2].id, more[1].id] and back.has_more)

    canceling = batches.cancel(more[0].id)
    check("anthropic: cancelling is a state", canceling.processing_status == "canceling" and canceling.cancel_initiated_at)
    canceled = finished(batches.cancel(batches.create(requests=[request(n) for n in range(20)]).id))
    kinds = [r.result.type for r in batches.results(canceled.id)]
    check("anthropic: a cancelled batch has partial results", set(kinds) == {"succeeded", "canceled"}
          and kinds.count("canceled") == canceled.request_counts.canceled)
    check("anthropic: what was canceled is not billed",
          len([b for b in control.billed() if b["batch"] == canceled.id]) == canceled.request_counts.succeeded)
    raises("anthropic: delete of a running batch", anthropic.BadRequestError, lambda: batches.delete(more[1].id))
    check("anthropic: delete", batches.delete(canceled.id).type == "message_batch_deleted")
    raises("anthropic: a deleted batch", anthropic.NotFoundError, lambda: batches.retrieve(canceled.id))
    raises("anthropic: cancel of an ended batch", anthropic.BadRequestError, lambda: batches.cancel(made.id))

    mixed = finished(batches.create(requests=[request(1), request(2, temperature=0.5), request(3, model="claude-2"), request(4, max_tokens=0)]))
    faults = {r.custom_id: r.result.error.error.type for r in batches.results(mixed.id) if r.result.type == "errored"}
    check("anthropic: params are checked after the create, request by request (the version refuses temperature)",
          faults == {"a-2": "invalid_request_error", "a-3": "not_found_error", "a-4": "invalid_request_error"})
    older = anthropic.Anthropic(api_key="k", base_url=base, max_retries=0, default_headers={"anthropic-version": "2023-06-01"})
    calm = finished(older.messages.batches.create(requests=[request(2, temperature=0.5)]))
    check("anthropic: the older version still takes temperature", calm.request_counts.succeeded == 1)

    one = request(7)["params"]
    message = client.messages.create(**one)
    check("anthropic: one message at once", message.stop_reason == "end_turn" and judged(message.content[0].text)
          and message.usage.service_tier == "standard")
    again = client.messages.create(**one)
    check("anthropic: the same prompt, the same answer", again.content[0].text == message.content[0].text)
    shaped = client.messages.create(**one, output_config={"format": {"type": "json_schema", "schema": SCHEMA}})
    check("anthropic: a schema gives JSON", {"profile", "recognise", "signals", "strongest", "match", "score", "reason"}
          == set(json.loads(shaped.content[0].text)))
    short = client.messages.create(**one | {"max_tokens": 20})
    check("anthropic: max_tokens cuts", short.stop_reason == "max_tokens" and short.usage.output_tokens == 20)
    raises("anthropic: temperature in the newest version", anthropic.BadRequestError, lambda: client.messages.create(**one, extra_body={"temperature": 1.0}))
    raises("anthropic: an unknown model", anthropic.NotFoundError, lambda: client.messages.create(**one | {"model": "claude-2"}))
    system, user = prompt(7)
    counted = client.messages.count_tokens(model=one["model"], system=system, messages=[{"role": "user", "content": user}])
    check("anthropic: count_tokens counts what is billed", counted.input_tokens
          == message.usage.input_tokens + message.usage.cache_read_input_tokens + message.usage.cache_creation_input_tokens)
    listed = [m.id for m in client.models.list(limit=2)]
    check("anthropic: models page", len(listed) == 5 and "claude-opus-5-5" in listed)
    check("anthropic: one model", client.models.retrieve("claude-haiku-5-5").display_name == "Claude Haiku 5.5")
    raises("anthropic: no such model", anthropic.NotFoundError, lambda: client.models.retrieve("claude-2"))

    bad = httpx.post(f"{base}/v1/messages/batches", json={"requests": [request(1)]}, headers={"x-api-key": "k"})
    check("anthropic: the version header is required", bad.status_code == 400 and bad.json()["type"] == "error"
          and bad.json()["request_id"] == bad.headers["request-id"])
    for what, requests in {"no requests": [], "a bad id": [request(1) | {"custom_id": "a b"}], "a long id": [request(1) | {"custom_id": "x" * 65}],
                           "ids twice": [request(1), request(1)]}.items():
        raises(f"anthropic: {what}", anthropic.BadRequestError, lambda r=requests: batches.create(requests=r))
    raises("anthropic: no such batch", anthropic.NotFoundError, lambda: batches.retrieve("msgbatch_none"),
           lambda e: e.body["error"]["type"] == "not_found_error" and e.request_id)

    spent = importlib.import_module("anthropic.types.shared").EnforcedSpendLimitReachedError
    table = {400: anthropic.BadRequestError, 401: anthropic.AuthenticationError, 402: anthropic._exceptions.PaymentRequiredError, 403: anthropic.PermissionDeniedError,
             404: anthropic.NotFoundError, 413: anthropic._exceptions.ContentTooLargeError, 429: anthropic.RateLimitError, 500: anthropic.InternalServerError,
             503: anthropic._exceptions.ServiceUnavailableError, 504: anthropic._exceptions.GatewayTimeoutError, 529: anthropic._exceptions.OverloadedError}
    for code, kind in table.items():
        control.status(code, retry_after=7 if code == 429 else None)
        raises(f"anthropic: {code}", kind, lambda: batches.list(), lambda e, code=code: e.status_code == code and "type" in e.body["error"]
               and (code != 429 or e.response.headers["retry-after"] == "7"))
    control.status(429, body="spend_limit")
    raises("anthropic: the spend limit", spent, lambda: batches.list(),
           lambda e: e.body["error"]["details"]["error_code"] == "enforced_spend_limit_reached" and "retry-after" not in e.response.headers)
    control.status(413, body="html")
    raises("anthropic: 413 in HTML", anthropic.APIStatusError, lambda: batches.create(requests=[request(1)]),
           lambda e: e.status_code == 413 and "<html>" in e.body)

    def batch_count():
        return len([b for b in control.call("batches")["data"] if b["provider"] == "anthropic"])

    before = batch_count()
    control.fault("drop_before_commit")
    raises("anthropic: dropped before the commit", anthropic.APIConnectionError, lambda: batches.create(requests=[request(1)]))
    check("anthropic: and nothing was made", batch_count() == before)
    control.fault("commit_then_drop")
    raises("anthropic: dropped after the commit", anthropic.APIConnectionError, lambda: batches.create(requests=[request(1)]))
    check("anthropic: and one was made", batch_count() == before + 1)
    control.fault("commit_then502_html")
    raises("anthropic: 502 after the commit", anthropic.InternalServerError, lambda: batches.create(requests=[request(1)]))
    check("anthropic: and one was made", batch_count() == before + 2)
    control.fault("commit_then_drop")
    anthropic.Anthropic(api_key="k", base_url=base, max_retries=2).messages.batches.create(requests=[request(1)])
    check("anthropic: with the SDK's own retries a lost reply makes two batches", batch_count() == before + 4)

    def ids_of(fault):
        control.fault(fault)
        return [r.custom_id for r in batches.results(made.id)]

    raises("anthropic: cut inside a line", json.JSONDecodeError, lambda: ids_of({"truncate_results": {"how": "inside_line"}}))
    check("anthropic: cut at a line boundary raises nothing", len(ids_of({"truncate_results": {"how": "at_line_boundary"}})) == 3)
    raises("anthropic: cut short of its length", Exception, lambda: ids_of({"truncate_results": {"how": "wrong_length"}}))
    check("anthropic: a duplicate line", len(ids_of("duplicate_line")) == 7)
    check("anthropic: an unknown id", "nobody-asked-for-this" in ids_of("unknown_id_line"))
    control.fault({"not_found_after_create": {"times": 2}})
    for _ in range(2):
        raises("anthropic: not found for a while", anthropic.NotFoundError, lambda: batches.retrieve(made.id))
    check("anthropic: and found again", batches.retrieve(made.id).id == made.id)
    control.fault("all_errored_low_credit")
    poor = finished(batches.create(requests=[request(n) for n in range(3)]))
    check("anthropic: low credit fails every line", poor.request_counts.errored == 3
          and {r.result.error.error.type for r in batches.results(poor.id)} == {"billing_error"})
    control.fault("model_retired")
    raises("anthropic: a retired model", anthropic.NotFoundError, lambda: client.messages.create(**one))
    gone = finished(batches.create(requests=[request(1)]))
    check("anthropic: a retired model fails its lines", gone.request_counts.errored == 1)
    control.call("clear_faults", {})
    control.fault("stuck_pending")
    stuck = batches.create(requests=[request(1)])
    check("anthropic: stuck", [batches.retrieve(stuck.id).processing_status for _ in range(5)] == ["in_progress"] * 5)
    control.fault("expire_now")
    expired = batches.retrieve(batches.create(requests=[request(n) for n in range(20)]).id)
    check("anthropic: expired", expired.request_counts.expired > 0 and expired.request_counts.succeeded > 0)
    foreign = batches.create(requests=[request(1)])
    control.fault("foreign_results_url")
    check("anthropic: a results url on a foreign host", finished(foreign).results_url.startswith(base.replace("127.0.0.1", "localhost")))
    control.call("advance", {"seconds": 25 * 3600})
    check("anthropic: what is stuck expires", batches.retrieve(stuck.id).request_counts.expired == 1)
    control.call("advance", {"seconds": 29 * 86400})
    archived = batches.retrieve(made.id)
    check("anthropic: archived after 29 days", archived.archived_at and archived.results_url is None)
    raises("anthropic: archived results", anthropic.NotFoundError, lambda: client.get(f"/v1/messages/batches/{made.id}/results", cast_to=object))
    control.call("options", {"answers": {"refused": 1.0}})
    refused = client.messages.create(**one)
    check("anthropic: a refusal", refused.stop_reason == "refusal" and refused.content == [] and refused.stop_details.category)
    control.call("options", {"answers": {"truncated": 1.0}})
    cut = client.messages.create(**one)
    check("anthropic: a truncated answer is billed in full", cut.stop_reason == "max_tokens" and cut.usage.output_tokens == 700)
    control.call("options", {"answers": {}, "key": "right"})
    raises("anthropic: a wrong key", anthropic.AuthenticationError, lambda: batches.list())
    check("anthropic: the right key", anthropic.Anthropic(api_key="right", base_url=base).messages.batches.list().data)
    check("anthropic: the right token", anthropic.Anthropic(auth_token="right", api_key=None, base_url=base).models.list().data)
    control.call("options", {"key": None})


# --- OpenAI --------------------------------------------------------------------------------------------------------------------

def openai_checks(base, control):
    client = openai.OpenAI(api_key="k", base_url=f"{base}/v1", max_retries=0)

    def body(n, **more):
        system, user = prompt(n)
        return {"model": "gpt-5-mini", "max_completion_tokens": 700, "messages": [{"role": "system", "content": system},
                {"role": "user", "content": user}]} | more

    def upload(bodies, url="/v1/chat/completions", ids=None):
        lines = [json.dumps({"custom_id": (ids or {}).get(i, f"o-{i}"), "method": "POST", "url": url, "body": b}) for i, b in enumerate(bodies)]
        return client.files.create(file=("in.jsonl", io.BytesIO("\n".join(lines).encode())), purpose="batch")

    def create(bodies, **more):
        return client.batches.create(input_file_id=upload(bodies).id, endpoint="/v1/chat/completions", completion_window="24h", **more)

    def finished(batch):
        while batch.status in ("validating", "in_progress", "finalizing", "cancelling"):
            batch = client.batches.retrieve(batch.id)
        return batch

    def rows(file):
        return [json.loads(line) for line in client.files.content(file).text.splitlines()]

    sent = upload([body(n) for n in range(6)])
    check("openai: a file", sent.object == "file" and sent.purpose == "batch" and sent.filename == "in.jsonl" and sent.bytes > 0)
    check("openai: its facts and content", client.files.retrieve(sent.id) == sent and client.files.content(sent.id).text.count("custom_id") == 6)
    made = client.batches.create(input_file_id=sent.id, endpoint="/v1/chat/completions", completion_window="24h", metadata={"submission": "s1"})
    check("openai: a batch is made, validating", made.status == "validating" and made.metadata == {"submission": "s1"}
          and made.expires_at - made.created_at == 86400 and made.output_file_id is None)
    check("openai: then in progress", client.batches.retrieve(made.id).status == "in_progress")
    ended = finished(made)
    check("openai: completed, with an output file only", ended.status == "completed" and ended.output_file_id and ended.error_file_id is None
          and (ended.request_counts.total, ended.request_counts.completed) == (6, 6) and ended.completed_at)
    lines = rows(ended.output_file_id)
    check("openai: lines hold every id", {x["custom_id"] for x in lines} == {f"o-{n}" for n in range(6)})
    check("openai: lines hold answers", all(x["error"] is None and x["response"]["status_code"] == 200
          and judged(x["response"]["body"]["choices"][0]["message"]["content"]) for x in lines))
    total = sum(x["response"]["body"]["usage"]["total_tokens"] for x in lines)
    billed = [b for b in control.billed() if b["batch"] == made.id]
    check("openai: usage adds up, in the batch and in the bills", ended.usage.total_tokens == total
          and total == sum(b["input"] + b["cache_read"] + b["output"] for b in billed))
    check("openai: the prefix is cached", any(x["response"]["body"]["usage"]["prompt_tokens_details"]["cached_tokens"] >= 1024 for x in lines))
    more = [create([body(n)]) for n in range(4)]
    ids = [b.id for b in client.batches.list(limit=2)]
    check("openai: a list pages to its end, newest first", ids[:4] == [b.id for b in reversed(more)] and made.id in ids)
    check("openai: cancelling", client.batches.cancel(more[0].id).status == "cancelling")
    cancelled = finished(client.batches.cancel(create([body(n) for n in range(20)]).id))
    check("openai: cancelled, with partial results", cancelled.status == "cancelled" and rows(cancelled.output_file_id)
          and {x["error"]["code"] for x in rows(cancelled.error_file_id)} == {"batch_cancelled"})
    raises("openai: cancel of an ended batch", openai.ConflictError, lambda: client.batches.cancel(made.id))
    mixed = finished(create([body(1), body(2, temperature=0.2), body(3, max_tokens=9)]))
    check("openai: bad bodies go to the error file", mixed.status == "completed" and mixed.request_counts.failed == 2
          and {x["response"]["status_code"] for x in rows(mixed.error_file_id)} == {400})
    for what, sent, code in [("ids twice", upload([body(1), body(2)], ids={1: "o-0"}), "duplicate_custom_id"),
                             ("another url", upload([body(1)], url="/v1/embeddings"), "invalid_url"),
                             ("an unknown model", upload([body(1, model="gpt-2")]), "model_not_found"),
                             ("two models", upload([body(1), body(2, model="gpt-4.1-mini")]), "mismatched_model"),
                             ("an empty file", client.files.create(file=("e.jsonl", b"\n"), purpose="batch"), "empty_file"),
                             ("no JSON", client.files.create(file=("e.jsonl", b"{oops"), purpose="batch"), "invalid_json_line")]:
        failed = finished(client.batches.create(input_file_id=sent.id, endpoint="/v1/chat/completions", completion_window="24h"))
        check(f"openai: {what} fails the batch", failed.status == "failed" and failed.errors.data[0].code == code and failed.failed_at)
    control.fault("queued_token_limit")
    check("openai: the queued-token limit fails the batch", finished(create([body(1)])).errors.data[0].code == "token_limit_exceeded")
    control.fault("only_error_file")
    only = finished(create([body(n) for n in range(3)]))
    check("openai: completed with an error file only", only.status == "completed" and only.output_file_id == "" and len(rows(only.error_file_id)) == 3)
    control.fault("error_inside_output")
    inside = finished(create([body(n) for n in range(3)]))
    statuses = sorted(x["response"]["status_code"] for x in rows(inside.output_file_id) if x["error"] is None)
    check("openai: an error inside a response", statuses == [200, 200, 400] and inside.error_file_id is None)
    control.fault("all_errored_low_credit")
    poor = finished(create([body(n) for n in range(3)]))
    check("openai: low credit", {x["response"]["status_code"] for x in rows(poor.error_file_id)} == {429})
    control.fault("expire_now")
    expired = client.batches.retrieve(create([body(n) for n in range(20)]).id)
    check("openai: expired, with partial results", expired.status == "expired" and rows(expired.output_file_id)
          and {x["error"]["code"] for x in rows(expired.error_file_id)} == {"batch_expired"})
    raises("openai: no such batch", openai.NotFoundError, lambda: client.batches.retrieve("batch_none"))
    raises("openai: no such file", openai.NotFoundError, lambda: client.files.content("file-none"))
    raises("openai: a batch of no file", openai.BadRequestError,
           lambda: client.batches.create(input_file_id="file-none", endpoint="/v1/chat/completions", completion_window="24h"))
    raises("openai: another window", openai.BadRequestError,
           lambda: client.batches.create(input_file_id=sent.id, endpoint="/v1/chat/completions", completion_window="1h"))
    answer = client.chat.completions.create(**body(7))
    check("openai: one completion", judged(answer.choices[0].message.content) and answer.choices[0].finish_reason == "stop")
    local = client.chat.completions.create(**body(7, model="llama3.2", max_tokens=700, temperature=0.0))
    check("openai: a local model takes temperature and max_tokens", judged(local.choices[0].message.content))
    shaped = client.chat.completions.create(**body(7), response_format={"type": "json_schema", "json_schema": {"name": "j", "strict": True, "schema": SCHEMA}})
    check("openai: a schema gives JSON", "score" in json.loads(shaped.choices[0].message.content))
    made_up = {"type": "object", "properties": {"articles": {"type": "array"}}}
    asked = body(7, max_completion_tokens=4000, messages=[{"role": "user", "content": "Write 12 articles."}])
    written = client.chat.completions.create(**asked, response_format={"type": "json_schema", "json_schema": {"name": "a", "schema": made_up}})
    articles = json.loads(written.choices[0].message.content)["articles"]
    check("openai: articles are written, all different", len({a["title"] for a in articles}) == 12)
    check("openai: cut by the limit", client.chat.completions.create(**body(7, max_completion_tokens=20)).choices[0].finish_reason == "length")
    raises("openai: max_tokens of a reasoning model", openai.BadRequestError, lambda: client.chat.completions.create(**body(7, max_tokens=5)),
           lambda e: e.code == "unsupported_parameter")
    raises("openai: an unknown model", openai.NotFoundError, lambda: client.chat.completions.create(**body(7, model="gpt-2")),
           lambda e: e.code == "model_not_found")
    control.call("options", {"answers": {"refused": 1.0}})
    refused = client.chat.completions.create(**body(7)).choices[0].message
    check("openai: a refusal", refused.refusal and refused.content is None)
    control.call("options", {"answers": {}})
    check("openai: models", "gpt-6-luna" in [m.id for m in client.models.list()] and client.models.retrieve("gpt-6.1-sol").id == "gpt-6.1-sol")
    raises("openai: no such model", openai.NotFoundError, lambda: client.models.retrieve("gpt-2"))
    table = {400: openai.BadRequestError, 401: openai.AuthenticationError, 403: openai.PermissionDeniedError, 404: openai.NotFoundError,
             409: openai.ConflictError, 413: openai.APIStatusError, 429: openai.RateLimitError, 500: openai.InternalServerError,
             503: openai.InternalServerError}
    for code, kind in table.items():
        control.status(code, retry_after=7 if code == 429 else None)
        raises(f"openai: {code}", kind, lambda: client.batches.list(), lambda e, code=code: e.status_code == code and e.type and e.request_id)
    control.status(429, body="spend_limit")
    raises("openai: the quota", openai.RateLimitError, lambda: client.batches.list(), lambda e: e.code == "insufficient_quota")
    control.fault("commit_then_drop")
    before = len(list(client.batches.list()))
    raises("openai: dropped after the commit", openai.APIConnectionError, lambda: create([body(1)], metadata={"submission": "lost"}))
    found = [b for b in client.batches.list() if b.metadata == {"submission": "lost"}]
    check("openai: and it is found by its metadata", len(found) == 1 and len(list(client.batches.list())) == before + 1)
    control.fault({"truncate_results": {"how": "at_line_boundary"}})
    check("openai: cut at a line boundary raises nothing", len(rows(ended.output_file_id)) == 3)
    control.fault({"truncate_results": {"how": "wrong_length"}})
    raises("openai: cut short of its length", Exception, lambda: rows(ended.output_file_id))
    control.call("options", {"key": "right"})
    raises("openai: a wrong key", openai.AuthenticationError, lambda: client.batches.list(), lambda e: e.code == "invalid_api_key")
    control.call("options", {"key": None})
    check("openai: delete a file", client.files.delete(sent.id).deleted)


# --- Gemini --------------------------------------------------------------------------------------------------------------------

def gemini_checks(base, control):
    client = genai.Client(api_key="k", http_options=types.HttpOptions(base_url=base))
    model = "gemini-2.5-flash"

    def request(n, **more):
        system, user = prompt(n)
        config = {"system_instruction": {"parts": [{"text": system}]}, "max_output_tokens": 700} | more
        return {"contents": [{"role": "user", "parts": [{"text": user}]}], "config": config, "metadata": {"key": f"g-{n}"}}

    def finished(job):
        while job.state.name in ("JOB_STATE_PENDING", "JOB_STATE_RUNNING"):
            job = client.batches.get(name=job.name)
        return job

    def create(count=6, **config):
        return client.batches.create(model=model, src=[request(n) for n in range(count)], config=config or None)

    made = create(display_name="submission s1")
    check("gemini: a batch is made, pending", made.state.name == "JOB_STATE_PENDING" and made.name.startswith("batches/")
          and made.display_name == "submission s1" and made.create_time)
    check("gemini: then running", client.batches.get(name=made.name).state.name == "JOB_STATE_RUNNING")
    ended = finished(made)
    answers = ended.dest.inlined_responses
    check("gemini: succeeded, joined by key", ended.state.name == "JOB_STATE_SUCCEEDED" and ended.end_time
          and {a.metadata["key"] for a in answers} == {f"g-{n}" for n in range(6)})
    check("gemini: every answer parses and fits its tier", all(judged(a.response.text) for a in answers))
    check("gemini: usage is the bill", sum(a.response.usage_metadata.total_token_count for a in answers)
          == sum(b["input"] + b["output"] for b in control.billed() if b["batch"] == made.name.split("/")[1]))
    raw = httpx.get(f"{base}/v1beta/{made.name}", headers={"x-goog-api-key": "k"}).json()
    check("gemini: the operation says done, response and stats", raw["done"] and raw["response"]["inlinedResponses"]["inlinedResponses"]
          and raw["metadata"]["batchStats"] == {"requestCount": "6", "successfulRequestCount": "6"})
    lines = [{"key": f"f-{n}", "request": {"contents": request(n)["contents"], "generationConfig": {"maxOutputTokens": 700}}} for n in range(4)]
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "in.jsonl"
        path.write_text("\n".join(map(json.dumps, lines)))
        sent = client.files.upload(file=str(path), config={"display_name": "in", "mime_type": "application/jsonl"})
    check("gemini: a file is uploaded", sent.name.startswith("files/") and sent.state.name == "ACTIVE" and sent.size_bytes > 0)
    check("gemini: its facts", client.files.get(name=sent.name).display_name == "in")
    job = client.batches.create(model=model, src=sent.name, config={"display_name": "by file"})
    job = finished(job)
    results = [json.loads(line) for line in client.files.download(file=job.dest.file_name).decode().splitlines()]
    check("gemini: a batch by file answers by file", {r["key"] for r in results} == {f"f-{n}" for n in range(4)}
          and all(judged(r["response"]["candidates"][0]["content"]["parts"][0]["text"]) for r in results))
    other = httpx.get(f"{base}/download/v1beta/{job.dest.file_name}:download?alt=media&key=k")
    check("gemini: the documented download address too", other.status_code == 200 and len(other.text.splitlines()) == 4)
    older = genai.Client(api_key="k", http_options=types.HttpOptions(base_url=base, api_version="v1beta"))
    check("gemini: v1beta and v1 are one API", older.batches.get(name=made.name).dest.inlined_responses == answers
          and older.files.get(name=sent.name) == client.files.get(name=sent.name))
    control.fault({"truncate_results": {"how": "at_line_boundary"}})
    check("gemini: cut at a line boundary raises nothing", client.files.download(file=job.dest.file_name).count(b"\n") == 2)
    more = [create(1) for _ in range(4)]
    names = [b.name for b in client.batches.list(config={"page_size": 2})]
    check("gemini: a list pages to its end, newest first", names[:4] == [b.name for b in reversed(more)] and made.name in names)
    client.batches.cancel(name=more[0].name)
    check("gemini: cancelled, with no results", finished(client.batches.get(name=more[0].name)).state.name == "JOB_STATE_CANCELLED")
    client.batches.delete(name=more[0].name)
    raises("gemini: a deleted batch", genai_errors.ClientError, lambda: client.batches.get(name=more[0].name), lambda e: e.code == 404 and e.status == "NOT_FOUND")
    control.fault("expire_now")
    expired = client.batches.get(name=create().name)
    check("gemini: expired, with no results", expired.state.name == "JOB_STATE_EXPIRED" and expired.dest is None)
    control.fault("all_errored_low_credit")
    poor = finished(create(3))
    check("gemini: failures hide in a batch that succeeded", poor.state.name == "JOB_STATE_SUCCEEDED"
          and all(a.error.code == 8 and a.response is None for a in poor.dest.inlined_responses))
    for fault, count in [("duplicate_line", 7), ("unknown_id_line", 7), ({"truncate_results": {"how": "at_line_boundary"}}, 3)]:
        control.fault(fault)
        check(f"gemini: {fault} in an inline answer", len(client.batches.get(name=made.name).dest.inlined_responses) == count)
    contents, config = request(7)["contents"], request(7)["config"]
    answer = client.models.generate_content(model=model, contents=contents, config=config)
    check("gemini: one prompt", judged(answer.text) and answer.candidates[0].finish_reason.name == "STOP")
    shaped = client.models.generate_content(model=model, contents=contents,
                                            config=config | {"response_mime_type": "application/json", "response_json_schema": SCHEMA})
    check("gemini: a JSON schema gives JSON", "score" in json.loads(shaped.text))
    shaped = client.models.generate_content(model=model, contents=contents, config=config | {"response_mime_type": "application/json",
                                            "response_schema": {"type": "OBJECT", "properties": {"score": {"type": "NUMBER"}}}})
    check("gemini: a schema gives JSON", "score" in json.loads(shaped.text))
    short = client.models.generate_content(model=model, contents=contents, config=config | {"max_output_tokens": 20})
    check("gemini: cut by the limit", short.candidates[0].finish_reason.name == "MAX_TOKENS")
    control.call("options", {"answers": {"refused": 1.0}})
    refused = [client.models.generate_content(model=model, contents=request(n)["contents"], config=config) for n in range(12)]
    check("gemini: refusals of both kinds", any(r.prompt_feedback for r in refused) and any(r.candidates for r in refused)
          and all(r.text is None for r in refused))
    control.call("options", {"answers": {}})
    check("gemini: count_tokens", client.models.count_tokens(model=model, contents="12345678").total_tokens == 2)
    check("gemini: models", client.models.get(model=model).name == f"models/{model}"
          and f"models/{model}" in [m.name for m in client.models.list(config={"query_base": True})])
    raises("gemini: no such model", genai_errors.ClientError, lambda: client.models.get(model="gemini-1"), lambda e: e.code == 404)
    raises("gemini: a batch for no such model", genai_errors.ClientError, lambda: client.batches.create(model="gemini-1", src=[request(1)]))
    raises("gemini: no such file", genai_errors.ClientError, lambda: client.batches.create(model=model, src="files/none"), lambda e: e.code == 403)
    for code, kind in {400: genai_errors.ClientError, 401: genai_errors.ClientError, 403: genai_errors.ClientError, 404: genai_errors.ClientError,
                       413: genai_errors.ClientError, 429: genai_errors.ClientError, 500: genai_errors.ServerError, 503: genai_errors.ServerError}.items():
        control.status(code)
        raises(f"gemini: {code}", kind, lambda: client.batches.list(), lambda e, code=code: e.code == code and e.status and e.message)
    control.fault("commit_then_drop")
    raises("gemini: dropped after the commit", Exception, lambda: create(display_name="lost"))
    check("gemini: and it is found by its name", [b.display_name for b in client.batches.list()].count("lost") == 1)
    control.call("options", {"key": "right"})
    raises("gemini: a wrong key is a 400", genai_errors.ClientError, lambda: client.batches.list(), lambda e: e.code == 400
           and e.details["error"]["details"][0]["reason"] == "API_KEY_INVALID")
    control.call("options", {"key": None})
    client.files.delete(name=sent.name)
    raises("gemini: a deleted file", genai_errors.ClientError, lambda: client.files.get(name=sent.name))


def main():
    if len(sys.argv) > 1:
        return run(sys.argv[1].rstrip("/"))
    with tempfile.TemporaryDirectory() as state:
        command = ["cargo", "run", "--quiet", "--locked", "--example", "batch-emulator", "--",
                   "--port", "0", "--dir", state, "--looks", "2", "--seed", "1"]
        server = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        try:
            base = server.stdout.readline().strip()
            if not base.startswith("http"):
                print("FAILED  the emulator did not start")
                return 1
            return run(base)
        finally:
            server.terminate()
            server.wait()


def run(base):
    control = Control(base)
    for part in (anthropic_checks, openai_checks, gemini_checks):
        control.call("clear_faults", {})
        part(base, control)
    print(f"{checks} checks passed: {', '.join(f'{name} {pin}' for name, pin in PINS.items())}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
