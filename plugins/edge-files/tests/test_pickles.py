"""Folders and files travel to other processes, and are known again by where they are, never by who asks."""

from __future__ import annotations

import concurrent.futures
import copy
import multiprocessing
import os
import pickle
from typing import Any

import cloudpickle
import dask
import joblib
import joblib.externals.loky
import pytest
from dask.base import tokenize

from edge_core.errors import BadEntry
from edge_core.session import EdgeSession
from edge_files.file import File
from edge_files.folder import Folder


@pytest.fixture
def environment(environment: EdgeSession) -> EdgeSession:
    """A session that has all settings from the environment."""
    return EdgeSession()


def arrived(value: Any) -> Any:
    return pickle.loads(pickle.dumps(value))


def read(folder: Folder, name: str) -> bytes:
    return folder.open(name, "file").read()


@pytest.mark.slow
def test_other_processes_read_through_a_folder(environment: EdgeSession) -> None:
    folder = environment.files.make_folder("runs")
    names = [f"{n}.txt" for n in range(20)]
    for name in names:
        folder.upload(name, name.encode())
    spawned = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(2, mp_context=spawned) as pool:
        assert list(pool.map(read, [folder] * 20, names)) == [name.encode() for name in names]
        file = folder.open("3.txt", "file")
        file.seek(1)
        assert pool.submit(File.read, file).result() == b".txt"
    assert file.tell() == 1


def by_loky(folder: Folder, names: list[str]) -> list[tuple[int, bytes]]:
    try:
        return joblib.Parallel(2, "loky")(joblib.delayed(read_there)(folder, name) for name in names)  # type: ignore[no-any-return]
    finally:
        joblib.externals.loky.get_reusable_executor().shutdown()


def by_dask(folder: Folder, names: list[str]) -> list[tuple[int, bytes]]:
    tasks = [dask.delayed(read_there)(folder, name) for name in names]
    return list(dask.compute(*tasks, scheduler="processes", num_workers=2))


def read_there(folder: Folder, name: str) -> tuple[int, bytes]:
    return os.getpid(), read(folder, name)


@pytest.mark.slow
@pytest.mark.parametrize("compute", [by_loky, by_dask])
def test_joblib_and_dask_read_100_files_through_a_folder(environment: EdgeSession, compute: Any) -> None:
    folder = environment.files.make_folder("runs")
    contents = {f"{n}.txt": f"content {n}".encode() for n in range(100)}
    for name, content in contents.items():
        folder.upload(name, content)
    answers = compute(folder, list(contents))
    assert [content for _, content in answers] == list(contents.values())
    assert os.getpid() not in {process for process, _ in answers}
    assert environment.config.api_token.encode() not in cloudpickle.dumps((read_there, folder))
    assert tokenize(folder) == tokenize(arrived(folder)), "dask knows it again"


def test_a_pickle_has_a_token_only_if_it_was_an_argument(environment: EdgeSession) -> None:
    token, url, organization = (
        environment.config.api_token,
        environment.config.service_url,
        environment.config.organization,
    )
    environment.files.upload("a.txt", b"x")
    for edge, carried in [(environment, False), (EdgeSession(token, url, organization), True)]:
        for value in (edge.files, edge.files / "runs", edge.files.open("a.txt", "file")):
            assert (token.encode() in pickle.dumps(value)) is carried
            assert arrived(value) == value


def test_folders_are_equal_by_where_they_are(environment: EdgeSession, edge_server: Any) -> None:
    settings = environment.config
    token = edge_server.create_token(edge_server.create_user(organization=settings.organization))
    with EdgeSession(token, settings.service_url + "/", settings.organization) as other:
        assert other.config.api_token != settings.api_token
        assert other.files == environment.files
        assert {environment.files / "runs", other.files / "runs", arrived(other.files) / "runs"} == {
            environment.files / "runs"
        }
        assert other.files / "runs" != environment.files / "run"
        environment.files.upload("runs/a.txt", b"x")
        assert other.files.open(arrived(environment.files / "runs" / "a.txt")) == "x"
    elsewhere = edge_server.create_organization()
    with EdgeSession(token, settings.service_url, elsewhere) as other:
        assert other.files != environment.files
        with pytest.raises(BadEntry, match="another store"):
            environment.files.exists(arrived(other.files / "runs"))
    assert environment.files != "/"


def test_files_are_equal_by_their_version(files: Folder) -> None:
    files.upload("a.txt", b"one")
    first = files.open("a.txt", "file")
    assert first == files.open("a.txt", "file") == arrived(first) == copy.copy(first)
    assert len({first, files.open("a.txt", "file"), arrived(first)}) == 1
    files.upload("b.txt", b"one")
    assert first != files.open("b.txt", "file")
    carried = pickle.dumps(first)
    files.upload("a.txt", b"two")
    assert first != files.open("a.txt", "file")
    assert pickle.loads(carried).read() == b"one", "it goes on reading the version that was opened"
    first.close()
    with pytest.raises(ValueError, match="closed"):
        pickle.dumps(first)
