"""Edge and JupyterHub: a hub's configuration, and what stands between a visitor and an application."""

from edge_hub.configuration import configure
from edge_hub.placeholders import Placeholders

__all__ = ["Placeholders", "configure"]
