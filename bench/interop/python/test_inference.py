"""The official Triton clients, HTTP and gRPC, through Friday, against a real server of
the Open Inference Protocol. What comes back must be what the server answers directly,
the last digits of what a model computes aside, and it must have come in batches.

FORM says how tensors travel: json, binary (JSON with binary tensors) or grpc."""

import json
import os
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tritonclient.grpc
import tritonclient.http
from tritonclient.utils import InferenceServerException

FORM = os.environ["FORM"]
MODEL = os.environ["MODEL"]
INPUT = os.environ["INPUT"]
OUTPUT = os.environ["OUTPUT"]
DIRECT = os.environ["DIRECT"]
FRIDAY = os.environ["FRIDAY"]
WAYS = (DIRECT, FRIDAY)
# Where Triton counts what it runs; other servers do not.
METRICS = os.environ.get("METRICS", "")
ROUNDS = 20

triton = tritonclient.grpc if FORM == "grpc" else tritonclient.http

if "DIGITS" in os.environ:
    with open(os.environ["DIGITS"]) as f:
        ROWS = np.array(json.load(f)["rows"], dtype=np.float32)[:200]
else:
    ROWS = np.random.default_rng(1).standard_normal((200, 64)).astype(np.float32)


def ask(client, rows, request_id=""):
    """One call; the whole result."""
    tensor = triton.InferInput(INPUT, list(rows.shape), "FP32")
    if FORM == "grpc":
        tensor.set_data_from_numpy(rows)
        outputs = [triton.InferRequestedOutput(OUTPUT)]
    else:
        tensor.set_data_from_numpy(rows, binary_data=FORM == "binary")
        outputs = [triton.InferRequestedOutput(OUTPUT, binary_data=FORM == "binary")]
    return client.infer(MODEL, [tensor], outputs=outputs, request_id=request_id)


def outcome(address, rows):
    """What a call came to, so that two may be compared."""
    with triton.InferenceServerClient(address) as client:
        try:
            return "answer", ask(client, rows).as_numpy(OUTPUT).shape
        except InferenceServerException as e:
            return "error", e.status(), e.message()


def from_threads(address, pieces, threads=12):
    """Asks about every piece, each thread with a client of its own."""

    def work(mine):
        with triton.InferenceServerClient(address) as client:
            return [(i, ask(client, ROWS[a:b]).as_numpy(OUTPUT)) for i, (a, b) in mine]

    numbered = list(enumerate(pieces))
    with ThreadPoolExecutor(threads) as pool:
        done = pool.map(work, [numbered[k::threads] for k in range(threads)])
    found = dict(pair for part in done for pair in part)
    return [found[i] for i in range(len(pieces))]


def executed():
    """Rows that the model was asked for so far, and how often it ran for them."""
    with urllib.request.urlopen(f"http://{METRICS}/metrics") as answer:
        text = answer.read().decode()
    counts = []
    for name in ("nv_inference_count", "nv_inference_exec_count"):
        start = f'{name}{{model="{MODEL}",'
        counts.append(sum(float(line.split()[-1]) for line in text.splitlines() if line.startswith(start)))
    return np.array(counts)


def settled():
    """What was executed once the counters rest: Triton counts a request after it has answered."""
    last, now = None, executed()
    while last is None or (last != now).any():
        time.sleep(0.2)
        last, now = now, executed()
    return now


def same(friday, direct):
    assert len(friday) == len(direct)
    for f, d in zip(friday, direct):
        assert f.shape == d.shape and f.dtype == d.dtype
        np.testing.assert_allclose(f, d, rtol=1e-6, atol=1e-6)


@pytest.fixture
def clients():
    with triton.InferenceServerClient(DIRECT) as direct, triton.InferenceServerClient(FRIDAY) as friday:
        yield direct, friday


def test_health_and_metadata_are_the_servers(clients):
    direct, friday = clients
    assert friday.is_server_live() and friday.is_server_ready() and friday.is_model_ready(MODEL)
    assert friday.get_server_metadata() == direct.get_server_metadata()
    assert friday.get_model_metadata(MODEL) == direct.get_model_metadata(MODEL)


@pytest.mark.parametrize("sizes", [[1], [1, 2, 3, 4, 5, 6, 7]], ids=["alone", "different sizes"])
def test_rows_from_many_threads_are_batched(sizes):
    pieces, at = [], 0
    while at < len(ROWS):
        size = min(sizes[len(pieces) % len(sizes)], len(ROWS) - at)
        pieces.append((at, at + size))
        at += size
    direct = from_threads(DIRECT, pieces)
    # The model is so fast that few requests wait at once: how many rounds it takes until
    # some met depends on the machine, that their rows are computed once does not.
    for _ in range(ROUNDS):
        before = settled() if METRICS else None
        friday = from_threads(FRIDAY, pieces)
        same(friday, direct)
        if not METRICS:
            return
        rows, runs = settled() - before
        print(f"{rows:.0f} rows of {len(pieces)} requests in {runs:.0f} runs of the model")
        assert rows == len(ROWS), "rows were computed twice"
        assert runs <= len(pieces)
        # Of requests that are batches themselves, more may not pay.
        if sizes != [1] or runs < rows:
            return
    raise AssertionError("the server was not sent batches")


def test_as_many_rows_as_the_model_takes(clients):
    direct, friday = (ask(client, ROWS[:32]).as_numpy(OUTPUT) for client in clients)
    same([friday], [direct])


def test_ids_come_back_to_their_own_caller():
    def work(i):
        with triton.InferenceServerClient(FRIDAY) as client:
            response = ask(client, ROWS[i : i + 1], request_id=f"caller-{i}").get_response()
            return response.id if FORM == "grpc" else response["id"]

    with ThreadPoolExecutor(12) as pool:
        assert list(pool.map(work, range(60))) == [f"caller-{i}" for i in range(60)]


def test_a_row_of_the_wrong_width_fails_alone():
    narrow = ROWS[:1, :10]

    def work(address, i):
        return outcome(address, narrow if i % 5 == 0 else ROWS[i : i + 1])

    direct = [work(DIRECT, i) for i in range(40)]
    with ThreadPoolExecutor(12) as pool:
        friday = list(pool.map(lambda i: work(FRIDAY, i), range(40)))
    assert friday == direct
    assert sum(o[0] == "error" for o in direct) == 8


def test_an_unknown_model_is_the_servers_to_refuse(clients):
    def refusal(client):
        tensor = triton.InferInput(INPUT, [1, 64], "FP32")
        tensor.set_data_from_numpy(ROWS[:1])
        with pytest.raises(InferenceServerException) as e:
            client.infer("no-such-model", [tensor])
        return e.value.status(), e.value.message()

    direct, friday = (refusal(client) for client in clients)
    assert friday == direct
