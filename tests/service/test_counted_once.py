"""A usage that a provider shows again and again is counted once: a batch, its polls, its results."""

from __future__ import annotations

import contextlib
import sqlite3

from tests.loopback import provider, reply
from tests.service.running import request, service
from tests.wire.fixture_files import ROOT

GEMINI, ANTHROPIC, OPENAI = "/gemini/v1beta", "/anthropic/v1/messages/batches", "/openai/v1"
ASKED = [  # each with the fixture that answers it
    ("POST", f"{GEMINI}/models/gemini-2.5-flash:batchGenerateContent", "gemini_batches/created.json"),
    ("GET", f"{GEMINI}/batches/tides1", "gemini_batches/created.json"),
    ("GET", f"{GEMINI}/batches/tides1", "gemini_batches/done.json"),
    ("GET", f"{GEMINI}/batches/tides1", "gemini_batches/done_shown_twice.json"),
    ("GET", f"{GEMINI}/batches/tides1", "gemini_batches/done.json"),
    *[("GET", "/gemini/download/v1beta/files/batch-t2:download?alt=media", "gemini_batch_answers/answers.jsonl")] * 3,
    *[("GET", f"{ANTHROPIC}/msgbatch_1/results", "anthropic_batches/results.jsonl")] * 3,
    *[("GET", f"{OPENAI}/batches/batch_1", "openai_batches/completed.json")] * 3,
    *[("GET", f"{OPENAI}/responses/resp_1", "openai_responses_view/completed.json")] * 3,
    *[("GET", f"{OPENAI}/threads/t/runs/r", "openai_runs/completed.json")] * 3,
    *[("GET", f"{GEMINI}/interactions/i", "gemini_interactions/background_done.json")] * 3,
]
# Of each surface: what its calls and their lines have read.
COUNTED = {
    "gemini.batches": ([], [18]),
    "gemini.batch_answers": ([], [9, 18]),
    "anthropic.batches": ([], [59, 150]),
    "openai.batches": ([1_000], []),
    "openai.responses_view": ([20], []),
    "openai.runs": ([423], []),
    "gemini.interactions_view": ([240_000], []),
}


def test_what_is_shown_again_is_counted_once(tmp_path):
    answers = iter([(ROOT / fixture).read_bytes() for _, _, fixture in ASKED])

    async def script(seen, writer):
        writer.write(reply(next(answers)))

    with provider(script) as there:
        names = ("gemini", "anthropic", "openai")
        toml = "".join(f'[[provider]]\nname = "{each}"\norigin = "{there.origin}"\n' for each in names)
        with service(tmp_path, toml) as running:
            for method, path, fixture in ASKED:
                body = b'{"batch":{}}' if method == "POST" else b""
                answer = request(method, running.gate + path, content=body)
                assert answer.content == (ROOT / fixture).read_bytes()
            rows = running.wait_for_calls(len(ASKED))
    with contextlib.closing(sqlite3.connect(running.ledger)) as connection:
        lines = connection.execute("SELECT call_id, input_tokens FROM usage_lines ORDER BY input_tokens").fetchall()
    surfaces = {row["id"]: row["surface"] for row in rows}
    assert {
        surface: (
            [row["input_tokens"] for row in rows if row["surface"] == surface and row["input_tokens"] is not None],
            [tokens for call, tokens in lines if surfaces[call] == surface],
        )
        for surface in surfaces.values()
    } == COUNTED
    assert all(row["outcome"] == "ok" for row in rows)
