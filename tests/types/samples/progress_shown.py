"""What type checkers accept as `progress`, and what they refuse: each marked line."""

from edge.api import EdgeSession, TransferProgress

edge = EdgeSession()


def show(state: TransferProgress) -> None:
    print(state.phase, state.bytes, state.total_bytes)
    state.bytes = 0  # error


def count(done: int) -> None:
    print(done)


class Callback:
    """What an fsspec Callback has of methods that are used."""

    def set_size(self, size: int) -> None:
        print(size)

    def absolute_update(self, value: int) -> None:
        print(value)


edge.files.upload("plate.csv", b"A1,3", progress=True)
edge.files.download_folder("runs", progress=show)
edge.files.copy("runs", "kept", recursive=True, progress=lambda state: print(state.files))
edge.files.download("plate.csv", progress=Callback())
edge.files.download("plate.csv", progress=count)  # error
edge.files.download("plate.csv", progress="yes")  # error
edge.files.download("plate.csv", None, True)  # error
