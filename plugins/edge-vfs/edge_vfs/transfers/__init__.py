"""Moving content between this machine and a store: single files, folders and what keeps them equal.

A download is written beside its target and takes its name when it is whole; folders go by one list, in order and with a
few workers. What both directions share with the stores (sources, digests, progress, reports) is one room up.
"""
