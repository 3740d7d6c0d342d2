"""What the type checkers say about the results of `Folder.open`; `DataFrame` comes from a stand-in for pandas."""

from typing import Any, assert_type

from pandas import DataFrame

import edge_vfs
from edge.api import EdgeSession, File, Folder

edge = EdgeSession()

assert_type(edge.files.open("plate.csv", "file"), File)
assert_type(edge.files.open("plate.csv", open_with="pandas"), DataFrame)
assert_type(edge.files.open("notes.md", "text"), str)
assert_type(edge.files.open("plate.csv"), Any)
assert_type(edge.files.open("plate.csv", "a third party's"), Any)
assert_type((edge.files / "runs").open("plate.csv", "file").size, int)


def size(folder: edge_vfs.Folder) -> int:
    assert_type(folder.open("plate.csv", "file"), edge_vfs.File)
    return folder.open("plate.csv", "file").size


size(edge.files)


class SpecialFile(File):
    pass


class SpecialFolder(edge_vfs.Folder[SpecialFile]):
    _file_class = SpecialFile


def special(folder: SpecialFolder) -> SpecialFile:
    assert_type(folder / "runs", SpecialFolder)
    return folder.open("plate.csv", "file")


def plain(folder: Folder) -> SpecialFile:
    return folder.open("plate.csv", "file")  # error


class WrongFolder(edge_vfs.Folder[SpecialFile]):
    _file_class = File  # error
