"""`python -m edge_server run`, for when the `edge` command is not installed."""

from edge_server.cli import server

server(prog_name="python -m edge_server")
