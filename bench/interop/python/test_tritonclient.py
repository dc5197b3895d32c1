"""The official Triton client, through Friday, against a real MLServer. What
comes back must be what the server answers directly."""

import json
import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tritonclient.http as triton

MODEL = "digits-rf"
DIRECT = os.environ["DIRECT"]
FRIDAY = os.environ["FRIDAY"]
WAYS = (DIRECT, FRIDAY)

with open(os.environ["DIGITS"]) as f:
    digits = json.load(f)
ROWS = np.array(digits["rows"], dtype=np.float32)
LABELS = np.array(digits["labels"])


def ask(client, rows, request_id="", binary=False):
    """One call; the prediction of each row."""
    tensor = triton.InferInput("predict", list(rows.shape), "FP32")
    tensor.set_data_from_numpy(rows, binary_data=binary)
    outputs = None if binary else [triton.InferRequestedOutput("predict", binary_data=False)]
    return client.infer(MODEL, [tensor], outputs=outputs, request_id=request_id)


def predictions(result):
    return [int(v) for v in result.as_numpy("predict").reshape(-1)]


def from_threads(address, pieces, threads=12):
    """Asks about every piece, each thread with a client of its own."""

    def work(mine):
        client = triton.InferenceServerClient(address)
        try:
            return [(i, predictions(ask(client, ROWS[a:b]))) for i, (a, b) in mine]
        finally:
            client.close()

    numbered = list(enumerate(pieces))
    with ThreadPoolExecutor(threads) as pool:
        done = pool.map(work, [numbered[k::threads] for k in range(threads)])
    found = dict(pair for part in done for pair in part)
    return [found[i] for i in range(len(pieces))]


def outcome(call):
    """What a call came to, so that two may be compared."""
    try:
        return "answer", predictions(call())
    except triton.InferenceServerException as e:
        return "error", e.status(), e.message()


@pytest.fixture
def clients():
    made = [triton.InferenceServerClient(address) for address in WAYS]
    yield made
    for client in made:
        client.close()


def test_health_and_metadata_are_the_servers(clients):
    direct, friday = clients
    assert friday.is_server_live() and friday.is_server_ready() and friday.is_model_ready(MODEL)
    assert friday.get_server_metadata() == direct.get_server_metadata()
    assert friday.get_model_metadata(MODEL) == direct.get_model_metadata(MODEL)
    assert not friday.is_model_ready("no-such-model")


def test_each_digit_alone_from_many_threads():
    pieces = [(i, i + 1) for i in range(len(ROWS))]
    direct, friday = (np.array(from_threads(address, pieces)).reshape(-1) for address in WAYS)
    assert friday.tolist() == direct.tolist()
    accuracy = float((friday == LABELS).mean())
    assert accuracy == float((direct == LABELS).mean())
    assert accuracy > 0.9
    print(f"accuracy {accuracy:.3f} both ways")


def test_requests_of_different_sizes_from_many_threads():
    pieces, at = [], 0
    while at < len(ROWS):
        size = min(1 + len(pieces) % 7, len(ROWS) - at)
        pieces.append((at, at + size))
        at += size
    direct, friday = (from_threads(address, pieces) for address in WAYS)
    assert friday == direct
    assert [len(p) for p in friday] == [b - a for a, b in pieces]


def test_a_request_larger_than_any_batch(clients):
    direct, friday = (predictions(ask(client, ROWS[:100])) for client in clients)
    assert friday == direct and len(friday) == 100


def test_ids_come_back_to_their_own_caller():
    def work(i):
        client = triton.InferenceServerClient(FRIDAY)
        try:
            return ask(client, ROWS[i : i + 1], request_id=f"caller-{i}").get_response()["id"]
        finally:
            client.close()

    with ThreadPoolExecutor(12) as pool:
        assert list(pool.map(work, range(60))) == [f"caller-{i}" for i in range(60)]


def test_binary_tensors_fare_as_they_do_directly(clients):
    # The client's default. MLServer's REST refuses it; Friday must neither hide
    # that nor make it worse.
    direct, friday = (outcome(lambda: ask(client, ROWS[:1], binary=True)) for client in clients)
    assert friday == direct


def test_a_row_of_the_wrong_width_fails_alone():
    narrow = ROWS[:1, :10]

    def work(address, i):
        client = triton.InferenceServerClient(address)
        try:
            rows = narrow if i % 5 == 0 else ROWS[i : i + 1]
            return outcome(lambda: ask(client, rows))
        finally:
            client.close()

    direct = [work(DIRECT, i) for i in range(40)]
    with ThreadPoolExecutor(12) as pool:
        friday = list(pool.map(lambda i: work(FRIDAY, i), range(40)))
    differing = [(i, d, f) for i, (d, f) in enumerate(zip(direct, friday, strict=True)) if d[:2] != f[:2]]
    assert differing == []
    assert sum(o[0] == "error" for o in direct) == 8
