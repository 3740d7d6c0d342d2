"""A bad network before a live server: every call gives the right answer or a typed error, in time.

Each cell of the table is one kind of call, one fault, and the fault striking once (so that trying
again heals it) or every time. ``python -m tests.test_chaos`` prints the table. Faults over which a time limit runs out
meet one or two kinds of call each here, and all of them with ``EDGE_CHAOS=all``.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import random
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from edge_core.errors import EdgeError
from edge_core.session import EdgeSession
from edge_testing.chaos import (
    Answer,
    ChaosProxy,
    Cut,
    Delay,
    Exchange,
    Fault,
    Garbage,
    HalfClose,
    Reset,
    Slow,
    Stall,
    error_inside,
    throttled,
    unavailable,
)

TIMEOUT = (60.0, 60.0)

SHORT = (60.0, 2.0)
"""The time limits where they run out: long enough for a server on a busy machine."""

LIMIT = 60.0
"""Seconds in which a call ends, whatever its server does: far more than three attempts and the waits between them."""

SMALL = b"sample,volume\nA,1.5\n" * 50
LARGE = random.Random(7).randbytes((5 << 20) // 2)
NAMES = ["a", "b", "c", "d", "e"]


class BadFault(NamedTuple):
    """A fault, and what the table says of it."""

    name: str
    fault: Fault
    heals: bool = True
    """Whether trying again gives the right answer, if it strikes once."""
    waits: tuple[str, ...] = ()
    """If time limits run out over it, the kinds of calls that meet it in every run."""


FAULTS = [
    BadFault("answer later than the time limit", Delay(4.0), waits=("POST", "part of an upload")),
    BadFault("cut in the answer's head", Cut(100)),
    BadFault("cut in the answer's body", Cut(20, "body")),
    BadFault("reset before the answer", Reset()),
    BadFault("reset in the answer's head", Reset(100)),
    BadFault("stall before the answer", Stall(), waits=("small PUT", "download")),
    BadFault("stall in the answer's body", Stall(20, "body"), waits=("GET", "page of a list")),
    BadFault("half-closed in the answer", HalfClose(100)),
    BadFault("1 byte in 5 seconds", Slow(0.2), waits=("POST", "download")),
    BadFault("garbage", Garbage()),
    BadFault("503", unavailable()),
    BadFault("429, Retry-After: 1", throttled(1), waits=("GET", "part of an upload")),
    BadFault("504 after the server did it", Answer(504, handled=True)),
    BadFault("200 with an error inside", error_inside(), heals=False),
    BadFault("200 with a problem document", error_inside("application/problem+json"), heals=False),
    BadFault("200 with nothing inside", Answer(200), heals=False),
    BadFault("request cut in the middle", Cut(300, "request")),
    BadFault("request reset in the middle", Reset(300, "request")),
]


class Place(NamedTuple):
    """Where a call is made and looked at."""

    edge: EdgeSession
    """Through the proxy."""
    direct: EdgeSession
    folder: Path


class Call:
    """One kind of call; `only` names the request of it that is struck."""

    name: str
    only: str

    def prepare(self, place: Place) -> None:
        """What has to be there before."""

    def run(self, place: Place) -> None:
        """Make the call, and check what it gives."""
        raise NotImplementedError

    def succeeded(self, place: Place) -> None:
        """Check what it has done."""

    def failed(self, place: Place) -> None:
        """Check that it has done nothing, or all of it."""


class Get(Call):
    name = "GET"
    only = "^GET .*/v1/users/me"

    def run(self, place: Place) -> None:
        assert place.edge.whoami().user_name == place.direct.whoami().user_name


class Post(Call):
    name = "POST"
    only = "^POST .*/folders"

    def run(self, place: Place) -> None:
        assert place.edge.files.make_folder("new").list() == []

    def succeeded(self, place: Place) -> None:
        assert place.direct.files.list_folders() == ["new"]

    def failed(self, place: Place) -> None:
        assert place.direct.files.list_folders() in ([], ["new"])


class Put(Call):
    name = "small PUT"
    only = "^PUT .*/content"

    def run(self, place: Place) -> None:
        place.edge.files.upload("small.csv", SMALL)

    def succeeded(self, place: Place) -> None:
        assert place.direct.files.list() == ["small.csv"]
        assert place.direct.files.open("small.csv", open_with="file").read() == SMALL

    def failed(self, place: Place) -> None:
        if place.direct.files.list():
            self.succeeded(place)


class Part(Call):
    name = "part of an upload"
    only = "^PUT .*/v1/parts/"

    def run(self, place: Place) -> None:
        place.edge.files.upload("large.bin", LARGE)

    def succeeded(self, place: Place) -> None:
        with place.direct.files.open("large.bin", open_with="file") as file:
            assert hashlib.sha256(file.read()).digest() == hashlib.sha256(LARGE).digest()

    def failed(self, place: Place) -> None:
        assert place.direct.files.list() == []


class Complete(Part):
    name = "end of an upload"
    only = "^POST .*/complete"

    def failed(self, place: Place) -> None:
        if place.direct.files.list():
            self.succeeded(place)


class Download(Call):
    name = "download"
    only = "^GET .*/v1/content/"

    def prepare(self, place: Place) -> None:
        place.direct.files.upload("large.bin", LARGE)

    def run(self, place: Place) -> None:
        target = place.edge.files.download("large.bin", place.folder / "large.bin")
        assert target.read_bytes() == LARGE

    def succeeded(self, place: Place) -> None:
        assert [path.name for path in place.folder.iterdir()] == ["large.bin"]

    def failed(self, place: Place) -> None:
        assert list(place.folder.iterdir()) == []


class Page(Call):
    name = "page of a list"
    only = "^GET .*/entries.*cursor="

    def prepare(self, place: Place) -> None:
        for name in NAMES:
            place.direct.files.make_folder(name)

    def run(self, place: Place) -> None:
        client = place.edge.http.for_plugin("edge_files", "/v1/orgs/{organization}/files")
        assert [entry["name"] for entry in client.items("/entries", params={"limit": 2})] == NAMES


CALLS = [Get(), Post(), Put(), Part(), Complete(), Download(), Page()]

# The server may read a whole upload again before it answers, so the call that ends one has a longer
# limit of its own. The answer to a part has no body; what would be struck is the call after it.
LEFT_OUT = {(bad.name, Complete.name) for bad in FAULTS if bad.waits}
LEFT_OUT |= {(f"{what} in the answer's body", Part.name) for what in ("cut", "stall")}

CELLS = [
    (bad, call, times)
    for bad in FAULTS
    for call in CALLS
    for times in (1, None)
    if (bad.name, call.name) not in LEFT_OUT
]


def tried(bad: BadFault, call: Call) -> bool:
    """Whether a cell is tried in every run, and not only where there is time for all of them."""
    return not bad.waits or call.name in bad.waits or os.environ.get("EDGE_CHAOS", "some") == "all"


class Outcome(NamedTuple):
    error: EdgeError | None
    seconds: float
    struck: int
    repeatable: bool
    """Whether the request that was struck may be sent again (RFC 9110, or by its key)."""


def strike(direct: EdgeSession, folder: Path, bad: BadFault, call: Call, times: int | None) -> Outcome:
    """Make one call through one fault, and check what has come of it."""
    with contextlib.ExitStack() as stack:
        settings = direct.config
        limits = SHORT if bad.waits else TIMEOUT
        proxy = stack.enter_context(ChaosProxy(settings.service_url))
        edge = stack.enter_context(
            EdgeSession(settings.api_token, proxy.url, settings.organization, timeout=limits, retries=2)
        )
        place = Place(edge, direct, folder)
        call.prepare(place)
        repeatable = []

        def fault(exchange: Exchange) -> None:
            repeatable.append(exchange.method != "POST" or "idempotency-key" in exchange.headers)
            bad.fault(exchange)

        proxy.inject(fault, times=times, only=call.only)
        error = None
        start = time.monotonic()
        try:
            call.run(place)
        except EdgeError as raised:
            error = raised
        seconds = time.monotonic() - start
    if error is None:
        call.succeeded(place)
    else:
        call.failed(place)
    return Outcome(error, seconds, proxy.struck, all(repeatable))


def parameters() -> list[Any]:
    cases = []
    for bad, call, times in CELLS:
        if not tried(bad, call):
            continue
        name = f"{call.name}-{bad.name}-{'once' if times else 'always'}".replace(" ", "_")
        # Of those that take a blink, there are some hundred.
        slow = bool(bad.waits) or call.name not in (Get.name, Put.name)
        cases.append(pytest.param(bad, call, times, id=name, marks=[pytest.mark.slow] if slow else []))
    return cases


@pytest.mark.parametrize(("bad", "call", "times"), parameters())
def test_the_answer_is_right_or_a_typed_error_in_time(
    edge_session: EdgeSession, tmp_path: Path, bad: BadFault, call: Call, times: int | None
) -> None:
    outcome = strike(edge_session, tmp_path, bad, call, times)

    assert outcome.struck >= 1
    assert outcome.seconds < LIMIT
    if times is not None and bad.heals and outcome.repeatable:
        assert outcome.error is None, f"{outcome.error!r}"
    if outcome.error is not None:
        assert 20 < len(str(outcome.error)) < 250
        assert edge_session.config.api_token not in repr(outcome.error)


@pytest.mark.parametrize(
    "fault", [error_inside(), error_inside("application/problem+json"), Answer(200)], ids=["error", "problem", "empty"]
)
@pytest.mark.parametrize("content", [SMALL, LARGE], ids=["small", "large"])
def test_an_error_inside_a_200_is_never_taken_for_content(
    edge_session: EdgeSession, fault: Fault, content: bytes
) -> None:
    settings = edge_session.config
    edge_session.files.upload("a.bin", content)
    with ChaosProxy(settings.service_url) as proxy:
        proxy.inject(fault, only="content")
        with (
            EdgeSession(settings.api_token, proxy.url, settings.organization) as edge,
            edge.files.open("a.bin", open_with="file") as file,
        ):
            for start in (0, 7):
                file.seek(start)
                with pytest.raises(EdgeError):
                    file.read(5)


@pytest.mark.parametrize(
    "fault", [Cut(100), Reset(100), Garbage(), unavailable()], ids=["cut", "reset", "garbage", "503"]
)
def test_no_log_shows_a_signature(
    edge_session: EdgeSession, tmp_path: Path, caplog: pytest.LogCaptureFixture, fault: Fault
) -> None:
    caplog.set_level("DEBUG")
    signatures: set[str] = set()
    settings = edge_session.config

    def noted(exchange: Exchange) -> None:
        signatures.add(exchange.target.partition("signature=")[2].partition("&")[0])
        fault(exchange)

    with ChaosProxy(settings.service_url) as proxy:
        proxy.inject(noted, only="signature=")
        with EdgeSession(settings.api_token, proxy.url, settings.organization) as edge:
            edge_session.files.upload("large.bin", LARGE)
            with pytest.raises(EdgeError):
                edge.files.download("large.bin", tmp_path / "large.bin")
            with pytest.raises(EdgeError):
                edge.files.upload("other.bin", LARGE)
    assert len(signatures) >= 2
    assert [secret for secret in (*signatures, settings.api_token) if secret in caplog.text] == []


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10))
def test_a_download_survives_a_connection_that_breaks_anywhere(
    edge_session: EdgeSession, tmp_path: Path, seed: int
) -> None:
    chance = random.Random(seed)
    kinds: list[Callable[[int], Fault]] = [
        lambda after: Cut(after),
        lambda after: Reset(after),
        lambda after: HalfClose(after),
    ]
    settings = edge_session.config
    edge_session.files.upload("large.bin", LARGE)
    with ChaosProxy(settings.service_url) as proxy:
        for _ in range(4):
            proxy.inject(chance.choice(kinds)(chance.randrange(len(LARGE))), times=1, only="/v1/content/")
        with EdgeSession(settings.api_token, proxy.url, settings.organization, timeout=TIMEOUT) as edge:
            with contextlib.suppress(EdgeError):  # four in a row without a byte in between are too many
                edge.files.download("large.bin", tmp_path / "large.bin")
            assert [path.read_bytes() == LARGE for path in tmp_path.iterdir()] in ([], [True])
            proxy.calm()
            assert edge.files.download("large.bin", tmp_path / "large.bin").read_bytes() == LARGE


def table() -> str:
    """What comes of each cell, as Markdown."""
    from edge_server.testing.local_server import EdgeServer

    def described(outcome: Outcome) -> str:
        return f"{type(outcome.error).__name__ if outcome.error else 'right'} {outcome.seconds:.1f} s"

    rows = {bad.name: {call.name: "" for call in CALLS} for bad in FAULTS}
    with tempfile.TemporaryDirectory() as folder:
        server = EdgeServer(Path(folder) / "data")
        server.start()
        try:
            for number, (bad, call, times) in enumerate(CELLS):
                organization = server.create_organization()
                user = server.create_user(organization=organization, roles=("admin", "developer"))
                target = Path(folder) / str(number)
                target.mkdir()
                with EdgeSession(server.create_token(user), server.url, organization) as direct:
                    try:
                        cell = described(strike(direct, target, bad, call, times))
                    except Exception as error:
                        cell = f"**WRONG** ({type(error).__name__})"
                before = rows[bad.name][call.name]
                rows[bad.name][call.name] = cell if times else f"{before}; {cell}"
        finally:
            server.close()
    lines = ["| fault, once; always | " + " | ".join(call.name for call in CALLS) + " |"]
    lines.append("|---" * (len(CALLS) + 1) + "|")
    lines += [f"| {name} | " + " | ".join(row.values()) + " |" for name, row in rows.items()]
    return "\n".join(lines)


if __name__ == "__main__":
    print(table())
