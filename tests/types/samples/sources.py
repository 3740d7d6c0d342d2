"""What the type checkers say to a user of data connectors."""

from typing import assert_type

from pandas import DataFrame

from edge.api import EdgeSession, OpenAPIConnection, S3Connection, S3File, S3Folder, SQLConnection, SQLTable
from edge_sources.connection import Connection
from edge_sources.wire import ConnectorEntry

edge = EdgeSession()

assert_type(edge.sources.list(), list[str])
assert_type(next(iter(edge.sources.scan())), ConnectorEntry)
assert_type(edge.sources.get("lims"), Connection)
assert_type(edge.sources.get("lims", kind=SQLConnection), SQLConnection)
assert_type(edge.sources.get("plates", kind=S3Connection).root, S3Folder)
assert_type(edge.sources.get("plates", kind=S3Connection).root.open("a.csv", "file"), S3File)
assert_type(edge.sources.get("plates", kind=S3Connection).open("a.csv", "file"), S3File)
assert_type(list(edge.sources.get("lims", kind=SQLConnection).tables), list[str])


class Lims(Connection):
    kind = "lims"
    plugin_api = 1

    def plates(self) -> list[str]:
        return []


assert_type(edge.sources.get("lims", kind=Lims).plates(), list[str])

print(edge.sources.get("lims").tables)  # error
print(edge.sources.get("lims", kind=SQLConnection).tabels)  # error
print(edge.sources.get("lims", kind=S3Connection).tables)  # error
print(edge.sources.get("pets", kind=OpenAPIConnection).spek)  # error
edge.sources.get("lims", kind="sql")  # error
edge.sources.get("lims", kind=str)  # error
edge.sources.get("lims", SQLConnection)  # error
edge.sources.get(7)  # error
table = edge.sources.get("lims", kind=SQLConnection).tables["runs"]
assert_type(table, SQLTable)
assert_type(table.to_dataframe(columns=["plate"], where={"plate": 7}, limit=10), DataFrame)
table.to_dataframe(colums=["plate"])  # error
table.to_dataframe(limit="all")  # error
SQLTable("lims", "runs")  # error
for connector in edge.sources.scan():
    print(connector.titel)  # error
