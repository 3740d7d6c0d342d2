"""The proxy in front of an application, which tells it who visits."""
