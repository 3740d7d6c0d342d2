"""What authors of plugins test with: the contract kit, a server that answers as it is told to, a bad network."""
