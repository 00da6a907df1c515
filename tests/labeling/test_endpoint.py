"""The LLM labeller against a real server on this machine that behaves and misbehaves."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from hilum.errors import DependencyError, UsageError
from hilum.labeling.endpoint import EndpointLabeller
from hilum.records import NAMES, NO_FINDING, LabelState

TEXT = "No pneumothorax. Small left\npleural effusion. "
MEANT = {"Pneumothorax": ("absent", "No pneumothorax"), "Pleural Effusion": ("present", "left pleural effusion")}


def answer(**changes: object) -> str:
    findings: dict[str, object] = {name: {"state": "not_mentioned", "evidence": []} for name in NAMES}
    findings |= {name: {"state": state, "evidence": [quote]} for name, (state, quote) in MEANT.items()}
    findings |= {name.replace("_", " "): value for name, value in changes.items()}
    return json.dumps({"findings": {name: value for name, value in findings.items() if value is not None}})


def completion(content: object, **more: object) -> tuple[int, bytes]:
    choice = {"message": {"role": "assistant", "content": content}, "finish_reason": "stop", **more}
    return 200, json.dumps({"model": "served-7b", "choices": [choice]}).encode()


Reply = Callable[[], tuple[int, bytes] | None]
GOOD: Reply = lambda: completion(answer())  # noqa: E731


class Server:
    """Answers with the replies given, one a request, the last one for ever; keeps what it was asked."""

    def __init__(self) -> None:
        self.replies: list[Reply] = [GOOD]
        self.asked: list[dict[str, object]] = []
        self.keys: list[str | None] = []
        lock = threading.Lock()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with lock:
                    outer.asked.append(body)
                    outer.keys.append(self.headers.get("Authorization"))
                    reply = outer.replies.pop(0) if len(outer.replies) > 1 else outer.replies[0]
                made = reply()
                if made is None:
                    self.close_connection = True
                    return
                status, content = made
                self.send_response(status)
                if status == 429:
                    self.send_header("Retry-After", "7")
                if status == 302:
                    self.send_header("Location", "http://example.invalid/")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}/v1"


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    thread = threading.Thread(target=made.http.serve_forever, args=(0.02,))
    thread.start()
    yield made
    made.http.shutdown()
    thread.join()
    made.http.server_close()


def labeller(server: Server, waits: list[float] | None = None, **options: object) -> EndpointLabeller:
    sleep = (lambda _: None) if waits is None else waits.append
    return EndpointLabeller(server.url, "m", sleep=sleep, **options)  # type: ignore[arg-type]


def test_states_and_quotes_of_a_good_answer(server: Server) -> None:
    (got,) = labeller(server).label([TEXT])
    assert got.failed is None
    assert tuple(got.states) == NAMES
    assert got.states["Pneumothorax"] is LabelState.ABSENT
    assert got.states["Edema"] is LabelState.NOT_MENTIONED
    (span,) = got.evidence["Pleural Effusion"]
    assert span.text == TEXT[span.start : span.end] == "left\npleural effusion"
    (asked,) = server.asked
    assert asked["temperature"] == 0
    assert asked["response_format"] == {"type": "json_object"}
    assert TEXT in str(asked["messages"][1]["content"])  # type: ignore[index]


def slow() -> tuple[int, bytes]:
    time.sleep(0.6)
    return completion(answer())


MISBEHAVIOUR: dict[str, Reply] = {
    "cut JSON": lambda: completion(answer()[:-40]),
    "cut by length": lambda: completion(answer(), finish_reason="length"),
    "wrong keys": lambda: completion(json.dumps({"labels": {"Effusion": 1}})),
    "a finding missing": lambda: completion(answer(Edema=None)),
    "a state of its own": lambda: completion(answer(Edema={"state": "maybe", "evidence": ["effusion"]})),
    "binary": lambda: completion(json.dumps(dict.fromkeys(NAMES, 0))),
    "a quote not in the text": lambda: completion(answer(Edema={"state": "present", "evidence": ["edema"]})),
    "no quote": lambda: completion(answer(Edema={"state": "present", "evidence": []})),
    "an empty quote": lambda: completion(answer(Edema={"state": "present", "evidence": [" "]})),
    "no finding beside one": lambda: completion(answer(No_Finding={"state": "present", "evidence": []})),
    "prose": lambda: completion("The lungs are clear."),
    "empty": lambda: completion(""),
    "null": lambda: completion(None),
    "an empty body": lambda: (200, b""),
    "no choices": lambda: (200, b'{"choices": []}'),
    "HTML": lambda: (200, b"<html>busy</html>"),
    "429": lambda: (429, b""),
    "500": lambda: (500, b"oops"),
    "503": lambda: (503, b""),
    "hung up": lambda: None,
    "too slow": slow,
}


@pytest.mark.parametrize("kind", MISBEHAVIOUR)
def test_one_fault_is_tried_again(server: Server, kind: str) -> None:
    server.replies = [MISBEHAVIOUR[kind], GOOD]
    (got,) = labeller(server, timeout_s=0.3).label([TEXT])
    assert got.failed is None
    assert got.states["Pleural Effusion"] is LabelState.PRESENT
    assert len(server.asked) == 2


@pytest.mark.parametrize("kind", MISBEHAVIOUR)
def test_nothing_but_faults_is_a_failure_and_never_zeros(server: Server, kind: str) -> None:
    server.replies = [MISBEHAVIOUR[kind]]
    (got,) = labeller(server, timeout_s=0.3, tries=2).label([TEXT])
    assert got.failed
    assert not got.states
    assert "effusion" not in got.failed.lower().replace("pleural effusion", "")  # says nothing of the report
    assert len(server.asked) == 2


@pytest.mark.parametrize("status", [302, 400, 401, 404])
def test_a_refusal_is_final(server: Server, status: int) -> None:
    server.replies = [lambda: (status, b"")]
    (got,) = labeller(server).label([TEXT])
    assert got.failed
    assert str(status) in got.failed
    assert len(server.asked) == 1


def test_waits_grow_and_the_server_s_own_is_kept(server: Server) -> None:
    server.replies = [MISBEHAVIOUR["500"], MISBEHAVIOUR["500"], MISBEHAVIOUR["429"], GOOD]
    waits: list[float] = []
    (got,) = labeller(server, waits).label([TEXT])
    assert got.failed is None
    assert waits == [1.0, 2.0, 7.0]


def test_among_many_none_is_lost_none_is_zero_and_the_order_stays(server: Server) -> None:
    faults = list(MISBEHAVIOUR.values())[:18]
    server.replies = [reply for pair in zip(faults, [GOOD] * len(faults), strict=True) for reply in pair] + [GOOD]
    texts = [f"{TEXT} Report {n}." for n in range(60)] + ["   "]
    got = labeller(server, workers=8).label(texts)
    assert len(got) == 61
    assert all(bool(one.states) != bool(one.failed) for one in got)
    assert got[-1].failed
    assert sum(one.failed is None for one in got) >= 55
    for text, one in zip(texts, got, strict=True):
        for spans in one.evidence.values():
            assert all(text[span.start : span.end] == span.text for span in spans)


def test_a_kept_answer_is_not_asked_for_again(server: Server, tmp_path: Path) -> None:
    first = labeller(server, cache=tmp_path).label([TEXT, "Other. " + TEXT])
    again = labeller(server, cache=tmp_path).label([TEXT, "Other. " + TEXT])
    assert first == again
    assert len(server.asked) == 2
    (kept, _) = sorted(tmp_path.iterdir())
    assert json.loads(kept.read_text())["model"] == "served-7b"
    kept.write_text("{")  # as after a power cut of another program
    assert labeller(server, cache=tmp_path).label([TEXT, "Other. " + TEXT]) == first
    assert len(server.asked) == 3
    server.replies = [MISBEHAVIOUR["empty"]]
    labeller(server, cache=tmp_path, tries=1).label(["Fails. " + TEXT])
    assert len(list(tmp_path.iterdir())) == 2, "a failure is not kept"


def test_the_key_comes_from_the_environment(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HILUM_LLM_API_KEY", "k-1")
    labeller(server).label([TEXT])
    assert server.keys == ["Bearer k-1"]


def test_a_proxy_never_sees_what_is_for_this_machine(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    assert labeller(server).label([TEXT])[0].failed is None


@pytest.mark.parametrize(
    "url",
    [
        "http://10.0.0.5/v1",
        "https://api.example.com/v1",
        "http://localhost.example.com/v1",
        "http://127.0.0.1.example.com",
        "http://127.0.0.1@example.com/v1",
        "http://[2001:db8::1]/v1",
    ],
)
def test_another_machine_is_refused_unless_allowed(url: str) -> None:
    with pytest.raises(UsageError, match="patient data"):
        EndpointLabeller(url, "m")
    assert EndpointLabeller(url, "m", allow_remote=True).identity == "llm:m/prompt-1"


@pytest.mark.parametrize("url", ["http://localhost:1/v1", "http://127.0.0.9/v1", "http://[::1]:8000/v1"])
def test_this_machine_is_allowed(url: str) -> None:
    assert EndpointLabeller(url, "m")


@pytest.mark.parametrize(
    ("url", "model"),
    [("ftp://127.0.0.1", "m"), ("127.0.0.1:8000", "m"), ("http://", "m"), ("http://127.0.0.1/v1", " ")],
)
def test_bad_settings_are_usage_errors(url: str, model: str) -> None:
    with pytest.raises(UsageError):
        EndpointLabeller(url, model)


def test_no_finding_alone_needs_no_quote(server: Server) -> None:
    clear = {name: {"state": "not_mentioned", "evidence": []} for name in NAMES} | {
        NO_FINDING: {"state": "present", "evidence": []}
    }
    server.replies = [lambda: completion("```json\n" + json.dumps({"findings": clear}) + "\n```")]
    (got,) = labeller(server).label(["Normal chest."])
    assert got.of(LabelState.PRESENT) == (NO_FINDING,)


def test_nothing_there_stops_at_once_and_says_so() -> None:
    waits: list[float] = []
    made = EndpointLabeller("http://127.0.0.1:9/v1", "m", sleep=waits.append)
    with pytest.raises(DependencyError, match=r"Nothing answers at http://127\.0\.0\.1:9/v1 .*start the server.*--url"):
        made.label([f"{TEXT} Report {n}." for n in range(300)])
    assert waits == []


def test_a_server_that_goes_away_fails_what_is_left_and_loses_nothing(tmp_path: Path) -> None:
    first = Server()
    thread = threading.Thread(target=first.http.serve_forever, args=(0.02,))
    thread.start()
    waits: list[float] = []
    made = labeller(first, waits, workers=2, cache=tmp_path)
    assert made.label([TEXT])[0].failed is None
    first.http.shutdown()
    thread.join()
    first.http.server_close()
    got = made.label([TEXT, *(f"{TEXT} Report {n}." for n in range(100))])
    assert got[0].failed is None, "kept"
    assert all(one.failed and not one.states for one in got[1:])
    assert "any more" in str(got[-1].failed)
    assert len(waits) <= 6  # of the reports under way, not of all
