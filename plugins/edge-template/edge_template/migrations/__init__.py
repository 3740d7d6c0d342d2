"""The history of the plugin's table, one revision after another."""
