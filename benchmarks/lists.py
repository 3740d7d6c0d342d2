"""What a list of 100,000 items costs beside plain requests, and what records cost beside other objects."""

from __future__ import annotations

from benchmarks.answering import answering
from benchmarks.measuring import Row, figures

ROUNDS = 7

COMMON = """
import json, sys, time
started = time.perf_counter()
url, most = sys.argv[1], int(sys.argv[2])

def done(first, count):
    status = open("/proc/self/status").read()
    peak = next(int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmHWM"))
    print(json.dumps([first, time.perf_counter() - started, peak, count]))
"""

BY_REQUESTS = f"""{COMMON}
import requests
session, cursor, count, first = requests.Session(), None, 0, None
while count < most:
    query = {{"limit": 1000}} if cursor is None else {{"limit": 1000, "cursor": cursor}}
    page = session.get(url + "/v1/orgs/default/items", params=query, headers={{"Authorization": "Bearer edg_x"}}).json()
    for one in page["items"]:
        count += 1
        if first is None:
            first = time.perf_counter() - started
    cursor = page["next"]
    if cursor is None:
        break
done(first, count)
"""

BY_EDGE = f"""{COMMON}
from edge.api import EdgeSession
from edge_core.records import Record
class Item(Record):
    name: str
edge, count, first = EdgeSession("edg_x", url, "default"), 0, None
items = edge.http.core.items("/v1/orgs/default/items", params={{"limit": 1000}}, make=Item.from_answer, max_items=most)
for one in items:
    count += 1
    if first is None:
        first = time.perf_counter() - started
done(first, count)
"""

RECORDS = """
import dataclasses, datetime as dt, json, sys, time
import marshmallow
from marshmallow import fields
from edge_core.records import Record, field

ITEMS = json.loads(sys.stdin.read())

class Owner(Record):
    user_name: str
    first_name: str

class Item(Record):
    id: int
    uid: str
    name: str
    kind: str
    size: int
    ratio: float
    ready: bool
    note: str | None
    created_at: dt.datetime
    modified_at: dt.datetime
    owner: Owner
    labels: dict[str, str]
    tags: list[str]

NAMES = list(Item._fields)

@dataclasses.dataclass(slots=True)
class PlainOwner:
    user_name: str
    first_name: str

@dataclasses.dataclass(slots=True)
class Plain:
    id: int
    uid: str
    name: str
    kind: str
    size: int
    ratio: float
    ready: bool
    note: str | None
    created_at: dt.datetime
    modified_at: dt.datetime
    owner: PlainOwner
    labels: dict[str, str]
    tags: list[str]

def read_all(made):
    made.id, made.uid, made.name, made.kind, made.size, made.ratio, made.ready, made.note
    made.created_at, made.modified_at, made.owner, made.labels, made.tags

def plain():
    read = dt.datetime.fromisoformat
    for one in ITEMS:
        owner = one["owner"]
        made = Plain(
            one["id"], one["uid"], one["name"], one["kind"], one["size"], one["ratio"], one["ready"], one["note"],
            read(one["created_at"]), read(one["modified_at"]), PlainOwner(owner["user_name"], owner["first_name"]),
            dict(one["labels"]), list(one["tags"]))
        read_all(made)

def records():
    for one in ITEMS:
        read_all(Item.from_answer(one))

def wrapped():
    for one in ITEMS:
        Item.from_answer(one).created_at

class OwnerSchema(marshmallow.Schema):
    user_name = fields.String()
    first_name = fields.String()

class ItemSchema(marshmallow.Schema):
    id = fields.Integer()
    uid = fields.String()
    name = fields.String()
    kind = fields.String()
    size = fields.Integer()
    ratio = fields.Float()
    ready = fields.Boolean()
    note = fields.String(allow_none=True)
    created_at = fields.AwareDateTime(format="iso")
    modified_at = fields.AwareDateTime(format="iso")
    owner = fields.Nested(OwnerSchema)
    labels = fields.Dict(keys=fields.String(), values=fields.String())
    tags = fields.List(fields.String())

schema = ItemSchema(many=True)

def loaded():
    schema.load(ITEMS)

def seconds(call):
    started = time.perf_counter()
    call()
    return time.perf_counter() - started

for call in (plain, records, wrapped):
    call()
print(json.dumps([[seconds(call) for call in (plain, records, wrapped, loaded)] for _ in range(7)]))
"""


def rows() -> list[Row]:
    """Measure."""
    with answering() as url:
        figures(BY_REQUESTS, url, "100000")  # makes the answers
        rounds = [
            [figures(code, url, most) for code, most in ((BY_REQUESTS, "100000"), (BY_EDGE, "100000"))]
            for _ in range(ROUNDS)
        ]
        short = [figures(BY_EDGE, url, "2000")[2] for _ in range(5)]
    records = _records()
    assert all(ours[3] == peer[3] == 100_000 for peer, ours in rounds)
    what = "list 100,000 items in pages of 1,000"
    return [
        Row("B24", f"{what}, wall, of requests and .json()", 1.10, "x", [ours[1] / peer[1] for peer, ours in rounds]),
        Row("B25", "the first item of it, wall, of the same", 1.15, "x", [ours[0] / peer[0] for peer, ours in rounds]),
        Row("B26", f"{what}, peak memory over the same", 8, " MiB", [ours[2] - peer[2] for peer, ours in rounds]),
        Row(
            "B26",
            "the same over a list of 2,000",
            None,
            " MiB",
            [ours[2] - less for (_, ours), less in zip(rounds, short, strict=False)],
        ),
        Row(
            "B27",
            "records, every field read, of marshmallow's load(many=True)",
            0.08,
            "x",
            [ours / peer for _, ours, _, peer in records],
        ),
        Row(
            "B28",
            "the same, of slotted dataclasses filled by hand with the same values and read",
            3,
            "x",
            [ours / peer for peer, ours, _, _ in records],
        ),
        Row("", "records, one field read, of that dataclass", None, "x", [ours / peer for peer, _, ours, _ in records]),
    ]


def _records() -> list[list[float]]:
    import json
    import subprocess
    import sys

    from benchmarks.answering import row

    text = json.dumps([row(number) for number in range(10_000)])
    ran = subprocess.run(
        [sys.executable, "-I", "-c", RECORDS], input=text, check=True, stdout=subprocess.PIPE, text=True
    )
    times: list[list[float]] = json.loads(ran.stdout)
    return times
