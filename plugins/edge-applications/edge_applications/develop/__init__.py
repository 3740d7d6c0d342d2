"""From an application's folder to a version that is published: its environment, its run, its image."""
