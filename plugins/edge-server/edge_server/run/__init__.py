"""The server as it runs: commands, processes, the data folder, and the application made of all subsystems."""
