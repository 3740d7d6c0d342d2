"""An Edge server in whose world it is another time, for tests of what takes days.

    python -m edge_server.testing.simulation TIME run --data ./edge-data

is `python -m edge_server run --data ./edge-data`, with the time told by the file TIME, which
`SimulatedTime` writes. It stands still in between. What the server does every few seconds it does
every few milliseconds, as nobody can wait for a month of them.
"""

from __future__ import annotations

import datetime as dt
import sys
from pathlib import Path

from edge_core.replacing import replacing
from edge_server.base import clock


class SimulatedTime:
    """The time as a file tells it, to all processes that read it.

    Args:
        path: the file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def now(self) -> dt.datetime:
        """The time in UTC."""
        return dt.datetime.fromisoformat(self.path.read_text().split()[0])

    def monotonic(self) -> float:
        """Seconds by the clock that nobody sets."""
        return float(self.path.read_text().split()[1])

    def set(self, now: dt.datetime) -> None:
        """Let time pass until `now`, or begin there."""
        even = 0.0
        if self.path.exists():
            even = self.monotonic() + (now - self.now()).total_seconds()
        self._write(now, even)

    def jump(self, now: dt.datetime) -> None:
        """Set the clock to `now` without that time passing, as someone or a time server does."""
        self._write(now, self.monotonic())

    def _write(self, now: dt.datetime, even: float) -> None:
        with replacing(self.path, mode=0o600) as file:
            file.write(f"{now.isoformat()} {even!r}\n".encode())


def main() -> None:
    """Run the server's command in the time of the file that is the first argument."""
    time = SimulatedTime(Path(sys.argv.pop(1)))
    clock.replace(time.now, time.monotonic)
    from edge_server.billing import closing, meter
    from edge_server.run.command import server

    meter.FLUSH_SECONDS = closing.INTERVAL = 0.05
    server(prog_name="python -m edge_server.testing.simulation TIME")


if __name__ == "__main__":
    main()
