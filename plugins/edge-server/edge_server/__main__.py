"""`python -m edge_server run`, for when the `edge` command is not installed."""

from edge_server.run.command import server

server(prog_name="python -m edge_server")
