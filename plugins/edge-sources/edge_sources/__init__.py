"""session.sources: the data connectors of an Edge organization."""
