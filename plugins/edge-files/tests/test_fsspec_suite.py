"""fsspec's own tests of what every file system does the same way, on a live server."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import fsspec
import pytest
from fsspec.tests import abstract

from edge_core.session import EdgeSession
from edge_files.filesystem import EdgeFileSystem
from edge_server.testing.local_server import EdgeServer

numbers = itertools.count()


@pytest.fixture(scope="module")
def session(edge_server: EdgeServer) -> Iterator[EdgeSession]:
    organization = edge_server.create_organization()
    user = edge_server.create_user(organization=organization, roles=("developer",))
    with EdgeSession(edge_server.create_token(user, note="suite"), edge_server.url, organization) as session:
        yield session


class Fixtures(abstract.AbstractFixtures):
    @pytest.fixture
    def fs(self, session: EdgeSession) -> EdgeFileSystem:
        return fsspec.filesystem("edge", session=session)

    @pytest.fixture
    def fs_path(self, fs: EdgeFileSystem) -> str:
        path = f"test-{next(numbers)}"
        fs.mkdir(path)
        return path

    @pytest.fixture
    def fs_join(self) -> Callable[..., str]:
        return lambda *parts: "/".join(parts)


class TestCopy(abstract.AbstractCopyTests, Fixtures):
    pass


class TestGet(abstract.AbstractGetTests, Fixtures):
    pass


class TestPut(abstract.AbstractPutTests, Fixtures):
    pass


class TestPipe(abstract.AbstractPipeTests, Fixtures):
    pass


class TestOpen(abstract.AbstractOpenTests, Fixtures):
    pass
