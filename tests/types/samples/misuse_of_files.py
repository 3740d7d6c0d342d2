"""Mistakes in the use of files that a type checker must refuse, each marked line of them."""

from edge_core.plugin import OpenSession


def command(open_session: OpenSession) -> None:
    with open_session() as edge:
        edge.files.lst()  # error
        edge.files.list(recursiv=True)  # error
        print(edge.files.stat("plate.csv").siz)  # error
