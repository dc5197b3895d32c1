"""The official openai SDK, through Friday, against the stand-in. What comes back
must be what the server answers directly, when it does, and a caller that leaves
must stop the work."""

import json
import os
import statistics
import threading
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import openai
import pytest

DIRECT = os.environ["DIRECT"]
FRIDAY = os.environ["FRIDAY"]

# Work for a caller that left has to stop within this time.
STOPPED_WITHIN = 0.100


def client(address):
    return openai.OpenAI(base_url=f"http://{address}/v1", api_key="none", max_retries=0, timeout=30)


@pytest.fixture(scope="module")
def ways():
    with client(DIRECT) as direct, client(FRIDAY) as friday:
        yield direct, friday


def stats():
    with urllib.request.urlopen(f"http://{DIRECT}/stats") as answer:
        return json.load(answer)


def wait_for(condition, limit=5.0):
    """Waits until the server's stats meet a condition; how long that took."""
    start = time.monotonic()
    while not condition(stats()):
        assert time.monotonic() - start < limit, f"still not after {limit} s: {stats()}"
        time.sleep(0.002)
    return time.monotonic() - start


def chat(way, text, **more):
    return way.chat.completions.create(
        model="standin", messages=[{"role": "user", "content": text}], **more
    )


def test_embeddings_of_a_list(ways):
    texts = ["one", "two words", "three more words", "ünïcödé ☃ \"quoted\" \\ text"]
    direct, friday = (way.embeddings.create(model="standin", input=texts) for way in ways)
    assert friday.model_dump() == direct.model_dump()
    assert [d.index for d in friday.data] == [0, 1, 2, 3]
    assert all(len(d.embedding) == 16 for d in friday.data)


@pytest.mark.parametrize("form", ["base64", "float"])
def test_embeddings_from_many_threads(ways, form):
    def one(way, i):
        texts = [f"text {i}.{j}" for j in range(1 + i % 3)]
        more = {} if form == "base64" else {"encoding_format": "float"}  # base64 is the SDK's own
        answer = way.embeddings.create(model="standin", input=texts, dimensions=24, **more)
        assert answer.usage.total_tokens >= 1
        return [(d.index, d.embedding) for d in answer.data]

    direct, friday = ways
    expected = [one(direct, i) for i in range(48)]
    before = stats()
    with ThreadPoolExecutor(16) as pool:
        assert list(pool.map(lambda i: one(friday, i), range(48))) == expected
    after = stats()
    calls, items = after["calls"] - before["calls"], after["items"] - before["items"]
    assert items == 96
    assert calls < 48, "nothing was batched, so batching was not tested"


def test_token_lists_are_one_item(ways):
    direct, friday = (way.embeddings.create(model="standin", input=[101, 2000, 102]) for way in ways)
    assert friday.model_dump() == direct.model_dump()
    assert len(friday.data) == 1


def test_a_bad_item_fails_its_own_caller_only(ways):
    def one(i):
        text = "poison" if i % 8 == 0 else f"text {i}"
        try:
            return len(ways[1].embeddings.create(model="standin", input=text).data)
        except openai.BadRequestError as e:
            return e.status_code

    with ThreadPoolExecutor(16) as pool:
        assert list(pool.map(one, range(48))) == [400 if i % 8 == 0 else 1 for i in range(48)]


def test_a_whole_chat_answer(ways):
    direct, friday = (chat(way, "say something", max_tokens=12) for way in ways)
    assert friday.model_dump() == direct.model_dump()
    assert friday.usage.completion_tokens == 12


def test_a_streamed_chat_answer_is_complete_and_in_order(ways):
    options = {"stream": True, "max_tokens": 30, "stream_options": {"include_usage": True}}
    direct, friday = ([c.model_dump() for c in chat(way, "stream it", **options)] for way in ways)
    assert friday == direct
    assert sum(bool(c["choices"] and c["choices"][0]["delta"]["content"]) for c in friday) == 30
    assert friday[-1]["usage"]["completion_tokens"] == 30


def test_tokens_arrive_as_they_are_made(ways):
    gap, tokens = 0.020, 25
    arrivals = []
    for chunk in chat(ways[1], "take your time", stream=True, max_tokens=tokens, metadata={"gap_ms": "20"}):
        if chunk.choices[0].delta.content:
            arrivals.append(time.monotonic())
    assert len(arrivals) == tokens
    gaps = [b - a for a, b in zip(arrivals, arrivals[1:])]
    assert arrivals[-1] - arrivals[0] > 0.8 * gap * (tokens - 1), "the tokens came in a heap"
    assert 0.5 * gap < statistics.median(gaps) < 1.5 * gap


def test_many_streams_at_once(ways):
    def one(way, i):
        return "".join(c.choices[0].delta.content or "" for c in chat(way, f"stream {i}", stream=True, max_tokens=20))

    expected = [one(ways[0], i) for i in range(24)]
    with ThreadPoolExecutor(24) as pool:
        assert list(pool.map(lambda i: one(ways[1], i), range(24))) == expected


def test_closing_a_stream_stops_the_work(ways):
    before = stats()
    stream = chat(ways[1], "a long story", stream=True, max_tokens=2000, metadata={"gap_ms": "10"})
    for _, chunk in zip(range(4), stream):
        assert chunk.choices
    assert stats()["streams"] == before["streams"] + 1
    stream.close()
    took = wait_for(lambda s: s["streams"] == before["streams"])
    after = stats()
    assert took < STOPPED_WITHIN
    assert after["cancelled"] == before["cancelled"] + 1
    assert after["chunks"] - before["chunks"] < 100
    print(f"stopped after {1000 * took:.1f} ms")


@pytest.mark.parametrize("streamed", [True, False], ids=["streamed", "whole"])
def test_leaving_while_the_server_thinks_stops_the_work(ways, streamed):
    before = stats()
    seen_thinking = []
    watcher = threading.Thread(
        target=lambda: seen_thinking.append(wait_for(lambda s: s["thinking"] == before["thinking"] + 1))
    )
    watcher.start()
    with pytest.raises(openai.APITimeoutError):
        chat(ways[1].with_options(timeout=0.5), "think hard", stream=streamed, metadata={"think_ms": "8000"})
    took = wait_for(lambda s: s["thinking"] == before["thinking"])
    watcher.join()
    assert seen_thinking
    assert took < STOPPED_WITHIN
    assert stats()["cancelled"] == before["cancelled"] + 1
    print(f"stopped after {1000 * took:.1f} ms")


def test_errors_are_the_servers(ways):
    def outcome(call):
        with pytest.raises(openai.APIStatusError) as e:
            call()
        return e.value.status_code, e.value.body

    for call in (
        lambda way: way.embeddings.create(model="standin", input=[]),
        lambda way: chat(way, "poison"),
        lambda way: way.moderations.create(input="there is no such path"),
    ):
        direct, friday = (outcome(lambda: call(way)) for way in ways)
        assert friday == direct
