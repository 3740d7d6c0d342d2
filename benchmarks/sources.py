"""Reading tables and listing keys beside the plain libraries: `python -m benchmarks.sources`.

Prints for each the best and the median of the ratio of times, one round of both after the other. Reads
1,000,000 rows from the PostgreSQL named in EDGE_TEST_POSTGRES (127.0.0.1:5432, user postgres), and lists
100,000 keys of an object store that it starts.
"""

from __future__ import annotations

import concurrent.futures
import importlib.util
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas

from edge_sources.s3 import S3Connection
from edge_sources.sql import SQLConnection

ROUNDS = 5
ROWS = 1_000_000
KEYS = 100_000


def compare(what: str, ours: Callable[[], Any], plain: Callable[[], Any]) -> None:
    """Print how much longer `ours` takes than `plain`."""
    ratios = []
    for number in range(ROUNDS):
        pair = [("ours", ours), ("plain", plain)]
        seconds = {}
        for name, run in pair if number % 2 else reversed(pair):
            started = time.perf_counter()
            run()
            seconds[name] = time.perf_counter() - started
        ratios.append(seconds["ours"] / seconds["plain"])
        print(f"  {what}: {seconds['ours']:.2f} s, plain {seconds['plain']:.2f} s", flush=True)
    print(
        f"{what}: {statistics.median(ratios):.3f} x in the median, {min(ratios):.3f} to {max(ratios):.3f}", flush=True
    )


def tables() -> None:
    server = _engines().server
    found = server("postgresql", "EDGE_TEST_POSTGRES", "postgres@127.0.0.1:5432")
    connection = SQLConnection(
        "x", "X", found.host, found.port, "postgresql", "postgres", found.admin, found.admin_password
    )
    name = "edge_benchmark_sources"
    with connection.engine.begin() as begun:
        begun.exec_driver_sql(f"DROP TABLE IF EXISTS {name}")
        begun.exec_driver_sql(
            f"CREATE TABLE {name} AS SELECT n AS plate, n / 7.0::float8 AS value, 'row ' || n AS label, "
            f"timestamp '2024-01-01' + n * interval '1 second' AS seen FROM generate_series(1, {ROWS}) AS n"
        )
    try:
        compare(
            f"to_dataframe, {ROWS:,} rows",
            lambda: connection.tables[name].to_dataframe(),
            lambda: pandas.read_sql_table(name, connection.engine),
        )
    finally:
        with connection.engine.begin() as begun:
            begun.exec_driver_sql(f"DROP TABLE {name}")


def keys() -> None:
    object_store = _engines().object_store
    with tempfile.TemporaryDirectory() as folder, object_store(Path(folder)) as store:
        connection = S3Connection("x", "X", "keys", *store)
        client = connection.client()
        client.create_bucket(Bucket="keys")
        with concurrent.futures.ThreadPoolExecutor(16) as pool:
            list(pool.map(lambda n: client.put_object(Bucket="keys", Key=f"d{n // 1000:03}/k{n:06}"), range(KEYS)))

        def plain() -> int:
            pages = client.get_paginator("list_objects_v2").paginate(Bucket="keys")
            return len([one["Key"] for page in pages for one in page.get("Contents", ())])

        assert plain() == len(connection.list_keys())
        compare(f"iter_keys, {KEYS:,} keys", lambda: sum(1 for _ in connection.iter_keys()), plain)


def _engines() -> Any:
    """The engines of the tests, which are no package."""
    path = Path(__file__).parents[1] / "plugins" / "edge-sources" / "tests" / "engines.py"
    found = importlib.util.spec_from_file_location("engines", path)
    assert found is not None
    assert found.loader is not None
    module = sys.modules["engines"] = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


if __name__ == "__main__":
    tables()
    keys()
