"""The official openai SDK, through Friday, against llama.cpp's server with a real
embedding model. That server batches by itself, in arithmetic that shows what is
computed together from the fifth digit on, also where nobody stands before it."""

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import openai
import pytest

MODEL = os.environ["MODEL"]
DIRECT = os.environ["DIRECT"]
FRIDAY = os.environ["FRIDAY"]
TOLERANCE = 1e-4

TEXTS = [f"sentence {i} is about {what}" for i in range(12) for what in ("the sea", "a sidecar", "ünïcödé ☃", "rain" * i)]


def client(address):
    return openai.OpenAI(base_url=f"http://{address}/v1", api_key="none", max_retries=0, timeout=120)


@pytest.fixture(scope="module")
def ways():
    with client(DIRECT) as direct, client(FRIDAY) as friday:
        yield direct, friday


def embed(way, texts, **more):
    answer = way.embeddings.create(model=MODEL, input=texts, **more)
    assert answer.object == "list" and answer.usage.prompt_tokens >= 1
    assert [d.index for d in answer.data] == list(range(len(answer.data)))
    return np.array([d.embedding for d in answer.data])


def same(friday, direct):
    assert friday.shape == direct.shape
    np.testing.assert_allclose(friday, direct, atol=TOLERANCE)


@pytest.mark.parametrize("form", ["base64", "float"])
def test_texts_from_many_threads(ways, form):
    direct, friday = ways
    more = {} if form == "base64" else {"encoding_format": "float"}  # base64 is the SDK's own
    expected = [embed(direct, text, **more) for text in TEXTS]
    with ThreadPoolExecutor(12) as pool:
        for got, due in zip(pool.map(lambda text: embed(friday, text, **more), TEXTS), expected, strict=True):
            assert due.shape == (1, 384)
            same(got, due)


def test_lists_from_many_threads(ways):
    direct, friday = ways
    pieces = [TEXTS[i : i + 1 + i % 4] for i in range(0, 40, 4)]
    expected = [embed(direct, texts) for texts in pieces]
    with ThreadPoolExecutor(8) as pool:
        for got, due in zip(pool.map(lambda texts: embed(friday, texts), pieces), expected, strict=True):
            same(got, due)


def test_token_ids_are_one_item(ways):
    direct, friday = (embed(way, [101, 2000, 2003, 102]) for way in ways)
    assert len(direct) == 1
    same(friday, direct)


def test_errors_are_the_servers(ways):
    def outcome(call):
        with pytest.raises(openai.APIStatusError) as e:
            call()
        return e.value.status_code, e.value.body

    for call in (
        lambda way: way.embeddings.create(model=MODEL, input=[]),
        lambda way: way.embeddings.create(model=MODEL, input="far too long " * 3000),
        lambda way: way.moderations.create(input="there is no such path"),
    ):
        direct, friday = (outcome(lambda: call(way)) for way in ways)
        assert friday == direct
