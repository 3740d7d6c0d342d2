"""A server without threads and sockets, whose disk a test makes fail: it answers the requests of a test, one by one.

Run as ``python fault_subject.py DATA PORT``: it connects to the port, says which token it has, and answers a line of
JSON for each line of JSON.
"""

from __future__ import annotations

import base64
import json
import os
import socket
import sys
from pathlib import Path

from edge_server.run import app, start


def main(data: Path, port: int) -> None:
    engines, loaded, token = start.prepare(data)
    client = app.build(engines, loaded).test_client()
    with socket.create_connection(("127.0.0.1", port)) as test, test.makefile("rb") as lines:
        test.sendall(json.dumps({"token": token, "pid": os.getpid()}).encode() + b"\n")
        for line in lines:
            request = json.loads(line)
            answer = client.open(
                request["path"],
                method=request["method"],
                headers=request["headers"],
                data=base64.b64decode(request["body"]),
            )
            outcome = {
                "status": answer.status_code,
                "headers": dict(answer.headers),
                "body": base64.b64encode(answer.get_data()).decode(),
            }
            answer.close()
            test.sendall(json.dumps(outcome).encode() + b"\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
