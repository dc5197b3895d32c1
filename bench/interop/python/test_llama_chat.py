"""The official openai SDK, through Friday, against llama.cpp's server with a real
model that chats: whole answers, streams, and callers that leave, whose slot the
server must get back at once."""

import json
import os
import statistics
import threading
import time
import urllib.request

import openai
import pytest

MODEL = os.environ["MODEL"]
DIRECT = os.environ["DIRECT"]
FRIDAY = os.environ["FRIDAY"]
ADMIN = os.environ["ADMIN"]

# What Friday may add to the time that the server itself takes to notice.
ADDED = 0.100

# The server's own: nothing is left from one question to the next, and it goes on and on.
AFRESH = {"cache_prompt": False}
ENDLESS = AFRESH | {"ignore_eos": True}


def client(address):
    return openai.OpenAI(base_url=f"http://{address}/v1", api_key="none", max_retries=0, timeout=120)


@pytest.fixture(scope="module")
def ways():
    with client(DIRECT) as direct, client(FRIDAY) as friday:
        yield direct, friday


def get(address, path):
    with urllib.request.urlopen(f"http://{address}{path}") as answer:
        return answer.read().decode()


def busy():
    return sum(slot["is_processing"] for slot in json.loads(get(DIRECT, "/slots")))


def wait_for(condition, limit=20.0, every=0.002):
    """Waits until a condition holds; how long that took."""
    start = time.monotonic()
    while not condition():
        assert time.monotonic() - start < limit, f"still not after {limit} s, {busy()} slots busy"
        time.sleep(every)
    return time.monotonic() - start


def connections():
    """Friday's connections to the server."""
    name = 'friday_upstream_connections_open{cluster="upstream"} '
    return next(int(line.removeprefix(name)) for line in get(ADMIN, "/metrics").splitlines() if line.startswith(name))


def chat(way, text="Name three colours.", extra=AFRESH, **more):
    return way.chat.completions.create(
        model=MODEL, messages=[{"role": "user", "content": text}],
        temperature=0, seed=7, extra_body=extra, **({"max_tokens": 32} | more),
    )


def test_chat(ways):
    direct, friday = (chat(way) for way in ways)
    assert friday.choices[0].message.content.strip()
    assert friday.choices == direct.choices
    assert friday.usage.completion_tokens == direct.usage.completion_tokens
    assert friday.usage.prompt_tokens == direct.usage.prompt_tokens
    assert friday.model == direct.model


def test_streamed_chat(ways):
    whole = chat(ways[0]).choices[0].message.content
    shapes = []
    for way in ways:
        chunks = list(chat(way, stream=True, stream_options={"include_usage": True}))
        text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
        assert text == whole
        assert chunks[-1].usage.completion_tokens > 1
        shapes.append([(len(c.choices), c.choices[0].finish_reason if c.choices else None) for c in chunks])
    assert shapes[0] == shapes[1]
    assert len(shapes[1]) > 8


def test_completion(ways):
    def ask(way):
        return way.completions.create(model=MODEL, prompt="The sea is", max_tokens=16, temperature=0, seed=7, extra_body=AFRESH)

    direct, friday = (ask(way) for way in ways)
    assert friday.choices == direct.choices


def test_pieces_come_as_they_are_made(ways):
    start = time.monotonic()
    times = [time.monotonic() - start for c in chat(ways[1], stream=True, extra=ENDLESS, max_tokens=64) if c.choices]
    assert len(times) > 50
    # All at the end would have the first and the last come together.
    assert times[-1] - times[1] > (times[-1]) / 4


def test_errors_are_the_servers(ways):
    def outcome(call):
        with pytest.raises(openai.APIStatusError) as e:
            call()
        return e.value.status_code, e.value.body

    for call in (
        lambda way: way.moderations.create(input="there is no such path"),
        lambda way: chat(way, "far too long " * 9000, stream=True),
    ):
        direct, friday = (outcome(lambda: call(way)) for way in ways)
        assert friday == direct


def leave_streaming(way):
    stream = chat(way, "Tell me a very long story.", stream=True, extra=ENDLESS, max_tokens=3000)
    for n, _ in enumerate(stream):
        if n == 5:
            break
    assert busy() == 1
    stream.close()
    return wait_for(lambda: busy() == 0)


def test_who_leaves_a_stream_frees_the_slot():
    took = {DIRECT: [], FRIDAY: []}
    for _ in range(5):
        for address in took:
            with client(address) as way:
                took[address].append(leave_streaming(way))
    direct, friday = (statistics.median(took[address]) for address in (DIRECT, FRIDAY))
    print(f"the slot was free after {direct * 1000:.0f} ms directly, {friday * 1000:.0f} ms through Friday")
    assert friday < direct + ADDED


def test_who_leaves_while_waiting_frees_the_slot():
    """Before it has sent anything the server looks only every second whether its caller
    is there, and not at all while it is asked for its slots more often than that. So it is
    Friday that is timed, and the slot is waited for with patience."""

    def ask(impatient, left):
        with pytest.raises(openai.APITimeoutError):
            chat(impatient, "Tell me a very long story.", extra=ENDLESS, max_tokens=3000)
        left.set()

    took = []
    for _ in range(5):
        left = threading.Event()
        with client(FRIDAY).with_options(timeout=1.5) as impatient:
            asking = threading.Thread(target=ask, args=[impatient, left])
            asking.start()
            wait_for(lambda: busy() == 1)
            before = connections()
            assert left.wait(20)
            took.append(wait_for(lambda: connections() < before))
            asking.join()
        wait_for(lambda: busy() == 0, limit=60, every=1.5)
    print(f"Friday had left the server after {statistics.median(took) * 1000:.0f} ms")
    assert statistics.median(took) < ADDED


def test_what_friday_has_seen():
    metrics = get(ADMIN, "/metrics")
    for line in (
        f'friday_stream_first_chunk_seconds_count{{cluster="upstream",model="{MODEL}"}}',
        f'friday_streams_cancelled_total{{cluster="upstream",model="{MODEL}"}}',
        f'gen_ai_client_token_usage_count{{cluster="upstream",gen_ai_operation_name="chat",gen_ai_provider_name="openai",gen_ai_request_model="{MODEL}",gen_ai_token_type="output"}}',
    ):
        assert line in metrics, line
