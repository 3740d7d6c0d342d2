"""What the type checkers say to a user who has edge-files."""

from pathlib import Path
from typing import Any, assert_type

from edge.api import EdgeSession, File, Folder, NotFound
from edge_core.plugin import Namespace

edge = EdgeSession()

# A property is of its plugin's class, and Any where the plugin is not installed.
assert_type(edge.files, Folder)
assert_type(edge.files.list(), list[str])
assert_type(edge.files.make_folder("runs"), Folder)
assert_type(edge.files / "runs" / Path("2024"), Folder)
assert_type(edge.files.stat("plate.csv").size, int | None)
assert_type(list(edge.files.glob("*.csv")), list[str])
assert_type([folder for folder, folders, files in edge.files.walk()], list[Folder])
assert_type(edge.billing, Any)

# Misspelt names are caught, on the session and on what hangs on it.
print(edge.fles)  # error
print(edge.files.lst())  # error
edge.files.upload("plate.csv")  # error


def suffix(file: File) -> str:
    return file.basename.rpartition(".")[2]


try:
    edge.files.open("plate.csv")
except NotFound as error:
    assert_type(error.status, int | None)


# A third party's plugin is typed by its class.
class Lab(Namespace):
    namespace = "lab"
    plugin_api = 1

    def status(self) -> str:
        return "open"


assert_type(edge.get(Lab), Lab)
assert_type(edge.get(Lab).status(), str)
edge.get(str)  # error
