"""A month of simulated days with real traffic, and what is left of it in the books.

The recount shares nothing with the metering: requests are lines of the server's access log, bytes
are what this end sent and received, and storage is made of the moments at which this end stored and
removed content, with the sizes of the files on the server's disk.

`EDGE_MONTH_DAYS` says on how many days there is traffic: few here, 31 for a whole month of it.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import datetime as dt
import hashlib
import os
import random
import re
import socket
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
import sqlalchemy as sa

from edge_billing.cloud_usage import BillingCloudUsage
from edge_core.session import EdgeSession
from edge_server.billing.models import BillingUsage
from edge_server.testing.local_server import EdgeServer
from edge_server.testing.simulation import SimulatedTime
from tests.waiting import wait_for

from .conftest import START

DAYS = 31
CUT_DAY = 17
"""The day on which a reader goes away in the middle."""

IDLE_DAY = 9
"""The day on which the second organization does nothing."""

BUSY_DAYS = {
    *(1, 2, IDLE_DAY, CUT_DAY, DAYS),
    *random.Random(31).sample(range(1, DAYS + 1), int(os.environ.get("EDGE_MONTH_DAYS", "0"))),
}
"""Days with traffic, on each of which something else happens; what is stored is so every day."""

COUNTED = ("api_requests", "transfer_in", "transfer_out")
"""What is counted of requests; beside it an organization pays for what it stores."""

STRANGERS_PATH = "download-url"
"""What a stranger asks for, which is refused only to a stranger."""

LINE = re.compile(r'"(\w+) (\S+)" (\d+) (\d+) ')


@dataclasses.dataclass
class Stored:
    size: int
    created_at: dt.datetime
    removed_at: dt.datetime | None = None


class Customer:
    """Uses one organization by plain HTTP, and writes down what it did."""

    def __init__(self, server: EdgeServer, time: SimulatedTime, name: str) -> None:
        self.name = name
        self._server, self._time = server, time
        self._http = requests.Session()
        self._http.trust_env = False
        self._token = server.create_token(server.create_user(organization=name))
        self.requests: dict[dt.date, int] = collections.Counter()
        self.bytes_in: dict[dt.date, int] = collections.Counter()
        self.bytes_out: dict[dt.date, int] = collections.Counter()
        self.contents: list[Stored] = []
        self.tree: dict[str, Stored] = {}
        self.addresses: set[str] = set()
        self.doubt = range(0, 1)
        """How many bytes more may have left the server than have arrived here."""

    def close(self) -> None:
        self._http.close()

    def call(self, method: str, path: str, *, status: int, signed: bool = False, **options: Any) -> requests.Response:
        url = f"{self._server.url}/{path}" if signed else f"{self._server.url}/v1/orgs/{self.name}/{path}"
        if signed:
            self.addresses.add(urlsplit(url).path)
        headers = dict(options.pop("headers", {}))
        if not signed:
            headers["Authorization"] = f"Bearer {self._token}"
        answer = self._http.request(method, url, headers=headers, allow_redirects=False, timeout=60, **options)
        assert answer.status_code == status, answer.text
        today = self._time.now().date()
        self.requests[today] += 1
        self.bytes_in[today] += len(answer.request.body or b"")
        self.bytes_out[today] += len(answer.content)
        return answer

    def put(self, path: str, content: bytes) -> None:
        self.call("PUT", "files/content", params={"path": path}, data=content, status=201)
        self._stored(path, len(content))

    def upload(self, path: str, content: bytes) -> None:
        upload = self.call("POST", "files/uploads", json={"path": path, "size": len(content)}, status=201).json()
        size = upload["part_size"]
        parts = []
        for n, at in enumerate(range(0, len(content), size), 1):
            here = f"files/uploads/{upload['id']}"
            (signed,) = self.call("POST", f"{here}/sign", json={"parts": [{"n": n}]}, status=200).json()["parts"]
            part = content[at : at + size]
            etag = self.call("PUT", signed["url"], signed=True, data=part, status=200).headers["ETag"]
            parts.append({"n": n, "size": len(part), "etag": etag})
        done = {"sha256": hashlib.sha256(content).hexdigest(), "parts": parts}
        self.call("POST", f"{here}/complete", json=done, status=200)
        self._stored(path, len(content))

    def delete(self, path: str) -> None:
        self.call("DELETE", "files/entry", params={"path": path}, status=204)
        self.tree.pop(path).removed_at = self._time.now()

    def get(self, path: str, byte_range: str | None = None) -> None:
        headers = {"Range": f"bytes={byte_range}"} if byte_range else {}
        small = self.tree[path].size <= 1 << 20
        whole = 206 if byte_range else 200
        if small:
            self.call("GET", "files/content", params={"path": path}, headers=headers, status=whole)
            return
        self.call("GET", self.signed(path), signed=True, headers=headers, status=whole)

    def signed(self, path: str) -> str:
        answer = self.call("GET", "files/download-url", params={"path": path, "expires_in": 3600}, status=200)
        url: str = answer.json()["url"]
        return url

    def cut(self, path: str, size: int) -> None:
        """Read that many bytes of a file, then close the connection."""
        url = urlsplit(f"{self._server.url}/{self.signed(path)}")
        self.addresses.add(url.path)
        with socket.socket() as raw:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
            raw.connect((url.hostname, url.port))
            raw.sendall(f"GET {url.path}?{url.query} HTTP/1.1\r\nHost: {url.netloc}\r\n\r\n".encode())
            received = b""
            while len(received.partition(b"\r\n\r\n")[2]) < size:
                received += raw.recv(65536)
        arrived = len(received.partition(b"\r\n\r\n")[2])
        today = self._time.now().date()
        self.requests[today] += 1
        self.bytes_out[today] += arrived
        self.doubt = range(0, self.tree[path].size - arrived)  # not all of it was sent

    def _stored(self, path: str, size: int) -> None:
        now = self._time.now()
        if path in self.tree:
            self.tree[path].removed_at = now
        self.tree[path] = Stored(size, now)
        self.contents.append(self.tree[path])

    def byte_hours(self, day: dt.date) -> Decimal:
        start = dt.datetime.combine(day, dt.time(), dt.UTC)
        end = start + dt.timedelta(days=1)
        total = Fraction(0)
        for content in self.contents:
            lasted = min(content.removed_at or end, end) - max(content.created_at, start)
            total += content.size * Fraction(max(lasted, dt.timedelta()) // dt.timedelta(microseconds=1), 3_600_000_000)
        return round(Decimal(total.numerator) / Decimal(total.denominator), 6)


def live_a_day(customer: Customer, day: int, chance: random.Random, time: SimulatedTime) -> None:
    """Some of everything, at odd moments of a day."""
    moment = START + dt.timedelta(days=day - 1)
    for step in range(5):
        moment += dt.timedelta(seconds=chance.uniform(60, 15_000))
        time.set(moment)
        customer.put(f"runs/{chance.randrange(12)}.csv", chance.randbytes(chance.randrange(1, 40_000)))
        some = chance.choice(sorted(customer.tree))
        customer.get(some)
        customer.get(some, f"{min(7, customer.tree[some].size - 1)}-")
        if step == 2:
            time.set(moment := moment + dt.timedelta(seconds=chance.uniform(1, 100)))
            customer.delete(some)
        if step == 3 and day % 5 == 2:
            customer.upload("plates.bin", chance.randbytes(9_000_000))
            customer.get("plates.bin")
            customer.get("plates.bin", "1000000-2999999")
            customer.get("plates.bin", "-5")
    if day == CUT_DAY:
        customer.cut("plates.bin", 1_000_000)
    customer.call("GET", "files/entries", params={"path": "nothing"}, status=404)
    customer.call("GET", "files/entries", params={"path": "", "wrong": 1}, status=422)


def logged(lines: list[str], customer: Customer) -> int:
    """The requests of a customer among lines of the access log."""
    count = 0
    for line in lines:
        match = LINE.search(line)
        assert match is not None, line
        _, path, status, _ = match.groups()
        mine = path.startswith(f"/v1/orgs/{customer.name}/") or path in customer.addresses
        refused = path.endswith(STRANGERS_PATH) and status == "404"
        count += mine and int(status) < 500 and not refused
    return count


@pytest.mark.slow
def test_a_month_is_counted_closed_and_never_changed(
    server: EdgeServer,
    simulated_time: SimulatedTime,
    connect: Callable[..., EdgeSession],
) -> None:
    server.start("--access-log", "--workers", "2")
    log = server.data / "logs" / "access.log"
    chance = random.Random(7)
    customers = [Customer(server, simulated_time, server.create_organization(name)) for name in ("ada", "bob")]
    # Someone without a right to it, whose requests are nobody's.
    stranger = server.create_token(server.create_user())
    days = [(START + dt.timedelta(days=n)).date() for n in range(DAYS)]
    expected = {(each.name, day): dict.fromkeys(COUNTED, Decimal(0)) for each in customers for day in days}
    seen = len(log.read_text().splitlines())
    for day in sorted(BUSY_DAYS):
        for customer in customers if day != IDLE_DAY else customers[:1]:
            live_a_day(customer, day, chance, simulated_time)
        refuse(server, stranger, [customer.name for customer in customers])
        date = (START + dt.timedelta(days=day - 1)).date()
        # Before content can be collected, which is a day after it was removed, whenever the server does that.
        assert not collections.Counter(sizes_stored_on(date, customers)) - collections.Counter(sizes_on_disk(server))
        # The last answer may be here before the server has counted it, and then it would be tomorrow's.
        wait_for(lambda date=date: all_counted(server, customers, date), f"the counts of {date} did not come")  # type: ignore[misc]
        lines = log.read_text().splitlines()[seen:]
        seen += len(lines)
        for customer in customers:
            expected[customer.name, date] = {
                "api_requests": Decimal(logged(lines, customer)),
                "transfer_in": Decimal(customer.bytes_in[date]),
                "transfer_out": Decimal(customer.bytes_out[date]),
            }
    month_end = START + dt.timedelta(days=DAYS)
    simulated_time.set(month_end + dt.timedelta(minutes=59))

    # Before an hour has passed nothing is final; the counts are what was recounted.
    sessions = {customer.name: connect(server, customer.name) for customer in customers}
    for customer in customers:
        check(sessions[customer.name], customer, expected, estimated=True)
    # The month closes by itself.
    march = (START.date(), (month_end - dt.timedelta(days=1)).date())

    def closed() -> bool:
        simulated_time.set(simulated_time.now() + dt.timedelta(minutes=11))
        return all(
            not record.estimated for s in sessions.values() for record in s.billing.all_cloud_usage(date_range=march)
        )

    wait_for(closed, "the end of the month did not come")
    for customer in customers:
        check(sessions[customer.name], customer, expected, estimated=False)
    books = {name: read_books(session, march) for name, session in sessions.items()}
    assert {len(usage) for usage, _ in books.values()} == {
        DAYS + len(COUNTED) * busy for busy in (len(BUSY_DAYS), len(BUSY_DAYS) - 1)
    }
    for usage, costs in books.values():
        assert_priced(usage, costs)

    # Whatever comes after, the closed month stays as it is.
    for customer in customers:
        customer.put("late.csv", b"x" * 1000)
        customer.delete(min(customer.tree))
    (server.data / "prices.toml").write_text('currency = "USD"\n[api_requests]\nprice = 99\nper = "request"\n')
    simulated_time.jump(START + dt.timedelta(days=11, hours=5))  # back into it
    for customer in customers:
        customer.put("back-in-time.csv", b"x" * 1000)
        customer.get("back-in-time.csv")
    for session in sessions.values():
        session.billing.query_cloud_usage()
    simulated_time.jump(START + dt.timedelta(days=400))  # and far ahead, for a moment
    for customer in customers:
        customer.put("ahead.csv", b"x")
    for session in sessions.values():
        session.billing.query_cloud_usage()
    simulated_time.jump(month_end + dt.timedelta(days=2))
    server.kill()
    server.start("--workers", "2")
    for name in sessions:
        sessions[name].close()
        sessions[name] = connect(server, name)
    assert {name: read_books(session, march) for name, session in sessions.items()} == books
    later = sessions["ada"].billing.all_cloud_usage(date_range=(month_end.date(), dt.date.max))
    assert all(record.estimated for record in later)
    # What was used while the clock was back is not lost: it is in the first month that was open.
    requests_later = sum(record.usage_quantity or 0 for record in later if record.usage_type == "api_requests")
    assert requests_later >= 5
    for customer in customers:
        customer.close()


def check(
    session: EdgeSession,
    customer: Customer,
    expected: dict[tuple[str, dt.date], dict[str, Decimal]],
    *,
    estimated: bool,
) -> None:
    """Compare what the server says with the recount, figure by figure."""
    figures = sent = 0
    for (name, day), counts in expected.items():
        if name != customer.name:
            continue
        records = {record.usage_type: record for record in session.billing.query_cloud_usage(billing_date=day)}
        quantities = {kind: record.usage_quantity for kind, record in records.items()}
        assert {record.estimated for record in records.values()} == {estimated}
        assert quantities.pop("object_storage") == customer.byte_hours(day)
        recounted = {kind: value for kind, value in counts.items() if value}
        if day.day == CUT_DAY:
            sent = int(quantities.pop("transfer_out") or 0) - int(recounted.pop("transfer_out"))
            assert sent in customer.doubt
        assert quantities == recounted, day
        figures += len(records)
    total = {
        kind: sum(counts[kind] for (name, _), counts in expected.items() if name == customer.name) for kind in COUNTED
    }
    summary = f"{figures} figures of {DAYS} days are the recounted ones; {total}"
    print(f"{customer.name}: {summary}; of the answer that was cut {sent} bytes more had left than came")
    # On its idle day an organization still stores what it has.
    assert figures == DAYS + len(COUNTED) * (len(BUSY_DAYS) - (0 if customer.name == "ada" else 1))


def refuse(server: EdgeServer, token: str, organizations: list[str]) -> None:
    """Ask for what is another organization's; nobody pays for that."""
    for name in organizations:
        url = f"{server.url}/v1/orgs/{name}/files/{STRANGERS_PATH}"
        with requests.Session() as http:
            http.trust_env = False
            assert http.get(url, headers={"Authorization": f"Bearer {token}"}, timeout=60).status_code == 404


def all_counted(server: EdgeServer, customers: list[Customer], day: dt.date) -> bool:
    """Whether the workers have written all requests of that day."""
    expected = {customer.name: customer.requests[day] for customer in customers if customer.requests[day]}
    rows = sa.select(BillingUsage.org_name, BillingUsage.amount)
    with server.database.read() as session:
        counts = session.execute(
            rows.where(BillingUsage.billing_date == day, BillingUsage.usage_type == "api_requests")
        )
        return {row.org_name: row.amount for row in counts} == expected


def sizes_stored_on(day: dt.date, customers: list[Customer]) -> list[int]:
    return [each.size for customer in customers for each in customer.contents if each.created_at.date() == day]


def sizes_on_disk(server: EdgeServer) -> list[int]:
    sizes = []
    for path in (server.data / "content").rglob("*"):
        with contextlib.suppress(FileNotFoundError):  # collected this moment
            if path.is_file():
                sizes.append(path.stat().st_size)
    return sizes


def read_books(session: EdgeSession, days: tuple[dt.date, dt.date]) -> tuple[list[object], list[object]]:
    billing = session.billing
    return (
        [record.to_dict() for record in billing.all_cloud_usage(date_range=days)],
        [record.to_dict() for record in billing.all_computed_costs(date_range=days)],
    )


def assert_priced(usage: list[dict[str, object]], costs: list[dict[str, object]]) -> None:
    """Each cost is its usage at the price of the file."""
    each = {
        "object_storage": Fraction(23, 1000) / (10**9 * 730),
        "transfer_out": Fraction(9, 100) / 10**9,
        "api_requests": Fraction(4, 10) / 10**6,
    }
    by_id = {record["id"]: BillingCloudUsage.from_answer(record) for record in usage}
    assert [cost["id"] for cost in costs] == [n for n, record in by_id.items() if record.usage_type in each]
    for cost in costs:
        used = by_id[cost["id"]]
        exact = Fraction(used.usage_quantity or 0) * each[str(used.usage_type)]
        assert abs(Fraction(str(cost["computed_cost"])) - exact) <= Fraction(1, 10**10)
        assert (cost["currency"], cost["estimated"]) == ("EUR", False)
