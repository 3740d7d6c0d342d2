"""Edge and JupyterHub: what stands between a visitor and an application."""
