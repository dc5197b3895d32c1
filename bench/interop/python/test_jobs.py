"""The official openai SDK hands batches over to Friday, which does them in front of a
server that knows nothing of batches."""

import io
import json
import os
import threading
import time

import openai
import pytest

FRIDAY = os.environ["FRIDAY"]
MODEL = os.environ["MODEL"]
ENDPOINT = os.environ["ENDPOINT"]
LINES = int(os.environ["LINES"])
PATIENCE = 1800


@pytest.fixture(scope="module")
def client():
    with openai.OpenAI(base_url=f"http://{FRIDAY}/v1", api_key="none", timeout=60) as c:
        yield c


def body(i):
    if ENDPOINT == "/v1/chat/completions":
        return {"model": MODEL, "max_tokens": 4, "messages": [{"role": "user", "content": f"What is {i} plus one?"}]}
    return {"model": MODEL, "input": f"sentence {i} is about the sea"}


def lines(n, **more):
    return "\n".join(
        json.dumps({"custom_id": f"line {i}", "method": "POST", "url": ENDPOINT, "body": body(i)} | more) for i in range(n)
    ).encode()


def upload(client, content, **more):
    return client.files.create(file=("lines.jsonl", io.BytesIO(content)), purpose="batch", **more)


def create(client, file, **metadata):
    return client.batches.create(input_file_id=file.id, endpoint=ENDPOINT, completion_window="24h", metadata=metadata)


def finished(client, batch):
    until = time.monotonic() + PATIENCE
    while batch.status in ("validating", "in_progress", "finalizing", "cancelling"):
        assert time.monotonic() < until, batch
        time.sleep(0.05)
        batch = client.batches.retrieve(batch.id)
    return batch


def test_upload_create_poll_content(client):
    file = upload(client, lines(LINES), expires_after={"anchor": "created_at", "seconds": 3600})
    assert (file.object, file.purpose, file.status) == ("file", "batch", "processed")
    assert file.expires_at - file.created_at == 3600
    batch = create(client, file, of=ENDPOINT)
    assert (batch.object, batch.endpoint, batch.completion_window, batch.metadata) == ("batch", ENDPOINT, "24h", {"of": ENDPOINT})
    begin = time.monotonic()
    batch = finished(client, batch)
    print(f"{LINES} lines of {ENDPOINT} in {time.monotonic() - begin:.1f} s")
    assert batch.status == "completed", batch
    counts = batch.request_counts
    assert (counts.total, counts.completed, counts.failed) == (LINES, LINES, 0)
    assert batch.error_file_id is None and batch.errors is None
    assert batch.created_at <= batch.in_progress_at <= batch.finalizing_at <= batch.completed_at <= batch.expires_at
    seen = set()
    for text in client.files.content(batch.output_file_id).text.splitlines():
        line = json.loads(text)
        assert set(line) == {"id", "custom_id", "response", "error"} and line["error"] is None
        assert line["response"]["status_code"] == 200 and line["response"]["request_id"]
        seen.add(line["custom_id"])
        if ENDPOINT == "/v1/chat/completions":
            answer = openai.types.chat.ChatCompletion.model_validate(line["response"]["body"])
            assert answer.choices[0].message.role == "assistant"
        else:
            answer = openai.types.CreateEmbeddingResponse.model_validate(line["response"]["body"])
            assert len(answer.data) == 1 and len(answer.data[0].embedding) > 1
    assert len(seen) == LINES
    output = client.files.retrieve(batch.output_file_id)
    assert output.purpose == "batch_output" and output.bytes > 0
    assert client.files.delete(file.id).deleted
    with pytest.raises(openai.NotFoundError):
        client.files.retrieve(file.id)


def test_pages_without_gaps_while_others_create(client):
    file = upload(client, lines(1))
    made = [create(client, file, n=str(i)).id for i in range(25)]
    stop = threading.Event()

    def others():
        i = 0
        while not stop.is_set():
            create(client, file, other=str(i))
            i += 1

    thread = threading.Thread(target=others)
    thread.start()
    try:
        listed = [b.id for b in client.batches.list(limit=4)]
    finally:
        stop.set()
        thread.join()
    assert len(listed) == len(set(listed))
    assert [i for i in listed if i in made] == made[::-1]
    assert file.id in [f.id for f in client.files.list(purpose="batch")]


def test_errors_that_clients_know(client):
    with pytest.raises(openai.NotFoundError):
        client.batches.retrieve("batch_none")
    with pytest.raises(openai.NotFoundError):
        client.batches.create(input_file_id="file-none", endpoint=ENDPOINT, completion_window="24h")
    file = upload(client, lines(2) + b"\n{")
    with pytest.raises(openai.BadRequestError) as e:
        client.batches.create(input_file_id=file.id, endpoint=ENDPOINT, completion_window="1h")
    assert e.value.param == "completion_window"
    batch = finished(client, create(client, file))
    assert batch.status == "failed" and batch.output_file_id is None
    assert (batch.errors.data[0].code, batch.errors.data[0].line) == ("invalid_json_line", 3)
    with pytest.raises(openai.BadRequestError):
        client.batches.cancel(batch.id)


def test_others_know_nothing(client):
    file = upload(client, lines(1))
    batch = create(client, file)
    with openai.OpenAI(base_url=f"http://{FRIDAY}/v1", api_key="other", timeout=60) as other:
        with pytest.raises(openai.NotFoundError):
            other.batches.retrieve(batch.id)
        with pytest.raises(openai.NotFoundError):
            other.files.content(file.id)
        assert not list(other.batches.list())
