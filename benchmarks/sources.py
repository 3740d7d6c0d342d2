"""Reading tables and listing keys beside the plain libraries: `python -m benchmarks.sources`.

Prints for each the median of the ratios of times and their range. Reads 1,000,000 rows from the PostgreSQL
named in EDGE_TEST_POSTGRES (127.0.0.1:5432, user postgres), whole by one and then by the other; lists 100,000
keys of an object store that it starts, page by page in turns, as that takes a minute, in which a shared machine
changes its pace. Give `tables` or `keys` to do only that.
"""

from __future__ import annotations

import concurrent.futures
import functools
import importlib.util
import itertools
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas

from edge_sources.s3 import S3Connection
from edge_sources.sql import SQLConnection
from tests import object_stores

ROUNDS = 5
ROWS = 1_000_000
KEYS = 100_000
PAGE = 1000
"""Keys that a store gives at a time."""


def report(what: str, ratios: list[float]) -> None:
    """Print how much longer ours takes than the plain library."""
    print(
        f"{what}: {statistics.median(ratios):.3f} x in the median, {min(ratios):.3f} to {max(ratios):.3f}", flush=True
    )


def seconds_of(run: Callable[[], Any]) -> float:
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def read_page(keys: Iterator[str], into: list[str]) -> None:
    into.extend(itertools.islice(keys, PAGE))


def tables() -> None:
    server = _engines().server
    postgres = server("postgresql", "EDGE_TEST_POSTGRES", "postgres@127.0.0.1:5432")
    connection = SQLConnection(
        "x", "X", postgres.host, postgres.port, "postgresql", "postgres", postgres.admin, postgres.admin_password
    )
    name = "edge_benchmark_sources"
    with connection.engine.begin() as begun:
        begun.exec_driver_sql(f"DROP TABLE IF EXISTS {name}")
        begun.exec_driver_sql(
            f"CREATE TABLE {name} AS SELECT n AS plate, n / 7.0::float8 AS value, 'row ' || n AS label, "
            f"timestamp '2024-01-01' + n * interval '1 second' AS seen FROM generate_series(1, {ROWS}) AS n"
        )
    try:
        ratios = []
        for number in range(ROUNDS):
            runs = {
                "ours": lambda: connection.tables[name].to_dataframe(),
                "plain": lambda: pandas.read_sql_table(name, connection.engine),
            }
            order = runs if number % 2 else reversed(runs)
            took = {which: seconds_of(runs[which]) for which in order}
            print(f"  to_dataframe: {took['ours']:.2f} s, plain {took['plain']:.2f} s", flush=True)
            ratios.append(took["ours"] / took["plain"])
        report(f"to_dataframe, {ROWS:,} rows", ratios)
    finally:
        with connection.engine.begin() as begun:
            begun.exec_driver_sql(f"DROP TABLE {name}")


def keys() -> None:
    with tempfile.TemporaryDirectory() as folder, object_stores.juicefs(Path(folder)) as store:
        connection = S3Connection("x", "X", "keys", *store)
        client = connection.client()
        client.create_bucket(Bucket="keys")
        with concurrent.futures.ThreadPoolExecutor(16) as pool:
            list(pool.map(lambda n: client.put_object(Bucket="keys", Key=f"d{n // 1000:03}/k{n:06}"), range(KEYS)))

        def plain() -> Iterator[str]:
            for page in client.get_paginator("list_objects_v2").paginate(Bucket="keys"):
                for entry in page.get("Contents", ()):
                    yield entry["Key"]

        ratios = []
        for _ in range(ROUNDS):
            runs = {"ours": connection.iter_keys(), "plain": plain()}
            took = dict.fromkeys(runs, 0.0)
            listed: dict[str, list[str]] = {"ours": [], "plain": []}
            for page in range(KEYS // PAGE + 1):
                for which in runs if page % 2 else reversed(runs):
                    took[which] += seconds_of(functools.partial(read_page, runs[which], listed[which]))
            assert listed["ours"] == listed["plain"]
            assert len(listed["ours"]) >= KEYS
            print(f"  iter_keys: {took['ours']:.2f} s, plain {took['plain']:.2f} s", flush=True)
            ratios.append(took["ours"] / took["plain"])
        report(f"iter_keys, {KEYS:,} keys", ratios)


def _engines() -> Any:
    """The engines of the tests, which are no package."""
    path = Path(__file__).parents[1] / "plugins" / "edge-sources" / "tests" / "engines.py"
    spec = importlib.util.spec_from_file_location("engines", path)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules["engines"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


if __name__ == "__main__":
    for part in sys.argv[1:] or ("tables", "keys"):
        {"tables": tables, "keys": keys}[part]()
