"""The lines that people type: a library each, which reads, writes, lists and matches by `edge://`."""

from __future__ import annotations

import io
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import dask
import fsspec
import h5py
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet as pq
import pytest
import xarray as xr
from upath import UPath

from edge_core.session import EdgeSession
from edge_files.folder import Folder

pytestmark = pytest.mark.slow

FRAME = pd.DataFrame({"plate": ["007", "008", "009"], "volume": [1.5, 2.5, 3.5], "n": [1, 2, 3]})


@pytest.fixture
def files(edge_session: EdgeSession, monkeypatch: pytest.MonkeyPatch) -> Folder:
    """The files of the environment's organization."""
    settings = edge_session.config
    monkeypatch.setenv("EDGE_API_TOKEN", settings.api_token)
    monkeypatch.setenv("EDGE_API_SERVICE_URL", settings.service_url)
    monkeypatch.setenv("EDGE_API_ORG", settings.organization)
    return edge_session.files


def test_pandas(files: Folder) -> None:
    FRAME.to_csv("edge://runs/a.csv", index=False)
    FRAME.to_parquet("edge://runs/a.parquet")
    FRAME.to_excel("edge://runs/a.xlsx", index=False)
    FRAME.to_json("edge://runs/a.json.gz", orient="records", lines=True)
    assert files.open("runs").list() == ["a.csv", "a.json.gz", "a.parquet", "a.xlsx"]
    types = {"plate": str}
    for frame in (
        pd.read_csv("edge://runs/a.csv", dtype=types),
        pd.read_parquet("edge://runs/a.parquet"),
        pd.read_excel("edge://runs/a.xlsx", dtype=types, engine="openpyxl"),
        pd.read_json("edge://runs/a.json.gz", orient="records", lines=True, dtype=types),
    ):
        pd.testing.assert_frame_equal(frame, FRAME, check_dtype=False)


def test_pandas_with_options(files: Folder, edge_session: EdgeSession, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("EDGE_API_TOKEN", "EDGE_API_SERVICE_URL", "EDGE_API_ORG"):
        monkeypatch.delenv(name)
    files.write_text("runs/a#1 [x].csv", "a\n1\n")
    settings = edge_session.config
    options = {"api_token": settings.api_token, "service_url": settings.service_url}
    options |= {"organization": settings.organization}
    assert pd.read_csv("edge://runs/a#1 [x].csv", storage_options=options).to_dict("list") == {"a": [1]}
    assert pd.read_csv("edge://runs/a#1 [x].csv", storage_options={"session": edge_session}).shape == (1, 1)


@pytest.mark.usefixtures("files")
def test_pandas_says_that_a_token_is_refused() -> None:
    with pytest.raises(PermissionError, match="the API token is mistyped or cut off"):
        pd.read_csv("edge://runs/a.csv", storage_options={"api_token": "edg_unknown"})


def test_pyarrow(files: Folder) -> None:
    table = pa.table(FRAME)
    fs = fsspec.filesystem("edge")
    pq.write_table(table, "runs/a.parquet", filesystem=fs)
    assert pq.read_table("runs/a.parquet", columns=["n"], filesystem=fs).column_names == ["n"]
    pa.dataset.write_dataset(table, "parts", format="parquet", partitioning=["plate"], filesystem=fs)
    parts = pa.dataset.dataset("parts", format="parquet", partitioning=["plate"], filesystem=fs)
    assert len(parts.files) == 3
    assert parts.to_table(filter=pa.dataset.field("plate") == 8).to_pydict()["n"] == [2]


@pytest.mark.filterwarnings("ignore:The inplace keyword")  # of Dask
def test_dask(files: Folder) -> None:
    import dask.dataframe as dd

    frame = dd.from_pandas(FRAME, npartitions=3)
    with dask.config.set(scheduler="threads"):
        frame.to_csv("edge://parts/*.csv", index=False)
        frame.to_parquet("edge://table")
        assert len(files.open("parts").list()) == 3
        back = dd.read_csv("edge://parts/*.csv", dtype={"plate": str}).compute().reset_index(drop=True)
        pd.testing.assert_frame_equal(back, FRAME, check_dtype=False)
        pd.testing.assert_frame_equal(dd.read_parquet("edge://table").compute(), FRAME, check_dtype=False)


DASK = """
    import dask
    import dask.dataframe as dd
    import pandas as pd

    FRAME = pd.DataFrame({"plate": ["A", "B", "C"] * 10, "n": range(30)})

    if __name__ == "__main__":
        dask.config.set(scheduler="processes", num_workers=2)
        dd.from_pandas(FRAME, npartitions=3).to_csv("edge://parts/*.csv", index=False)
        csv = dd.read_csv("edge://parts/*.csv")
        assert csv.npartitions == 3
        csv.to_parquet("edge://table", partition_on=["plate"], write_index=False)
        table = dd.read_parquet("edge://table")
        part = dd.read_parquet("edge://table", filters=[("plate", "==", "B")])
        csv, table, part = dask.compute(csv, table, part)
        table = table.assign(plate=table["plate"].astype(str)).sort_values("n")[["plate", "n"]]
        for frame in (csv, table):
            pd.testing.assert_frame_equal(frame.reset_index(drop=True), FRAME, check_dtype=False)
        assert sorted(part["n"]) == list(range(1, 30, 3))
"""


def test_dask_in_processes(files: Folder, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(textwrap.dedent(DASK))
    subprocess.run([sys.executable, script], check=True, timeout=300)
    assert files.open("parts").list() == ["0.csv", "1.csv", "2.csv"]
    assert files.open("table").list() == ["plate=A", "plate=B", "plate=C"]
    assert len(fsspec.filesystem("edge").glob("table/plate=A/*.parquet")) == 3
    assert files.uploads() == []


def test_polars(files: Folder) -> None:
    import polars as pl

    frame = pl.DataFrame({"plate": ["007", "008"], "n": [1, 2]})
    with fsspec.open("edge://runs/a.parquet", "wb") as file:
        frame.write_parquet(file)
    with fsspec.open("edge://runs/a.csv", "wb") as file:
        frame.write_csv(file)
    with fsspec.open("edge://runs/a.parquet") as file:
        assert pl.read_parquet(file).equals(frame)
    with fsspec.open("edge://runs/a.csv") as file:
        assert pl.read_csv(file, schema_overrides={"plate": pl.String}).equals(frame)
    dataset = pa.dataset.dataset("runs/a.parquet", filesystem=fsspec.filesystem("edge"))
    assert pl.scan_pyarrow_dataset(dataset).filter(pl.col("n") == 2).collect().rows() == [("008", 2)]


def test_duckdb(files: Folder) -> None:
    import duckdb

    with duckdb.connect() as database:
        database.register_filesystem(fsspec.filesystem("edge"))
        database.execute("COPY (SELECT range AS n FROM range(100)) TO 'edge://runs/a.parquet' (FORMAT parquet)")
        database.execute("COPY (SELECT range AS n FROM range(100, 200)) TO 'edge://runs/b.parquet' (FORMAT parquet)")
        assert database.sql("SELECT count(*), sum(n) FROM 'edge://runs/*.parquet'").fetchall() == [(200, 19900)]
        files.write_text("runs/c.csv", "a,b\n1,x\n")
        assert database.sql("SELECT * FROM 'edge://runs/c.csv'").fetchall() == [(1, "x")]


def test_xarray(files: Folder) -> None:
    dataset = xr.Dataset({"t": (("x",), np.arange(10.0))}, coords={"x": np.arange(10)})
    content = io.BytesIO(bytes(dataset.to_netcdf(engine="h5netcdf")))
    files.upload("runs/a.nc", content)
    with fsspec.open("edge://runs/a.nc") as file, xr.open_dataset(file, engine="h5netcdf") as opened:
        assert opened.equals(dataset)
    dataset.to_zarr("edge://runs/a.zarr", zarr_format=3, consolidated=False)
    with xr.open_zarr("edge://runs/a.zarr", consolidated=False) as opened:
        assert opened.equals(dataset)


def test_zarr(files: Folder) -> None:
    import zarr

    group = zarr.open_group("edge://runs/b.zarr", mode="w")
    array = group.create_array("values", shape=(100, 100), chunks=(25, 25), dtype="i4")
    array[:] = np.arange(10_000).reshape(100, 100)
    again = zarr.open_group("edge://runs/b.zarr", mode="r")
    assert list(again.array_keys()) == ["values"]
    assert (again["values"][30:60, 70] == np.arange(10_000).reshape(100, 100)[30:60, 70]).all()  # type: ignore[index]


def test_h5py_and_numpy(files: Folder) -> None:
    content = io.BytesIO()
    with h5py.File(content, "w") as hdf5:
        hdf5["volume"] = [1.5, 2.5]
    files.upload("runs/a.h5", content.getvalue())
    with fsspec.open("edge://runs/a.h5") as file, h5py.File(file) as hdf5:
        assert hdf5["volume"][1] == 2.5
    with fsspec.open("edge://runs/a.npy", "wb") as file:
        np.save(file, np.eye(3))
    with fsspec.open("edge://runs/a.npy") as file:
        assert (np.load(file) == np.eye(3)).all()


def test_pillow_and_tifffile(files: Folder) -> None:
    import tifffile
    from PIL import Image

    fs = fsspec.filesystem("edge")
    pixels = np.arange(12, dtype=np.uint8).reshape(3, 4)
    with fsspec.open("edge://runs/a.png", "wb") as file:
        Image.fromarray(pixels).save(file, "PNG")
    with fsspec.open("edge://runs/a.png") as file, Image.open(file) as image:
        assert np.array_equal(np.asarray(image), pixels)
    packed = io.BytesIO()
    tifffile.imwrite(packed, pixels)
    fs.pipe_file("runs/a.tif", packed.getvalue())
    with fsspec.open("edge://runs/a.tif") as file:
        assert np.array_equal(tifffile.imread(file), pixels)
    assert fs.ls("runs", detail=False) == ["runs/a.png", "runs/a.tif"]
    assert fs.glob("runs/*.tif") == ["runs/a.tif"]


def test_partitions_are_text_if_their_type_says_so(files: Folder) -> None:
    import dask.dataframe as dd

    frame = pd.DataFrame({"plate": ["007", "008"], "volume": [1.5, 2.5]})
    frame.to_parquet("edge://plates", partition_cols=["plate"])
    assert sorted(pd.read_parquet("edge://plates")["plate"]) == [7, 8]
    text = pa.dataset.partitioning(pa.schema([("plate", pa.string())]), flavor="hive")
    assert sorted(dd.read_parquet("edge://plates", dataset={"partitioning": text}).compute()["plate"]) == ["007", "008"]
    assert sorted(pd.read_parquet("edge://plates", partitioning=text)["plate"]) == ["007", "008"]


def test_upath(files: Folder) -> None:
    path = UPath("edge://runs/notes.txt")
    path.write_text("washed twice\n")
    assert path.read_text() == "washed twice\n"
    assert [entry.name for entry in UPath("edge://runs").iterdir()] == ["notes.txt"]
    path.rename("edge://kept/notes.txt")
    assert [str(each) for each in UPath("edge://").glob("**/*.txt")] == ["edge://kept/notes.txt"]
    UPath("edge://kept/notes.txt").unlink()
    assert not UPath("edge://kept/notes.txt").exists()


def test_many_files_at_once(files: Folder) -> None:
    with fsspec.open_files("edge://parts/*.txt", "wt", num=3) as opened:
        for number, file in enumerate(opened):
            file.write(f"part {number}")
    with fsspec.open_files("edge://parts/*.txt", "rt") as opened:
        texts: list[Any] = [file.read() for file in opened]
    assert texts == ["part 0", "part 1", "part 2"]
