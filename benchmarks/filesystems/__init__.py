"""Reading by fsspec's interface beside other file systems: `python -m benchmarks filesystems`.

Five tasks on three files of 200 MiB, each by every client:

- zip: the names of 2,000 members (B18), and one of 100 kB (B19).
- parquet: one of 50 columns in 10 row groups (B20).
- plain: all of it in reads of 1 MiB (B21), 500 reads of 4 KiB at random places (B22), and the first 64 KiB, with what
  opening takes of it (B23).

Clients, with their defaults:

- edge: `edge://`, from a server of ours as it is started by default; for B21 also without checking what is read
  against its digests, as nobody else does it.
- http, http none: fsspec's HTTP file system, with its own read-ahead of 5 MiB and with `cache_type="none"`.
- smart_open: its HTTP files.
- s3fs: from SeaweedFS.
- huggingface_hub: `HfFileSystem`, from a stand-in of the hub that answers what the client asks of a data set, and
  redirects content, as the hub does to its storage.
- requests: for B21, `iter_content` of 1 MiB.

http, smart_open, requests and the stand-in have signed addresses of our server, so that one server sends the bytes.

Requests and bytes are counted once for each client by a proxy, and are all that it passes on: also what a client asks
for before it reads, and bytes that it throws away. Where a client breaks an answer off, some more or fewer bytes are on
their way. Times are taken without the proxy; clients take turns, ratios are formed within a round, and a figure is the
median of the rounds. Each turn is a process of its own, that has imported everything and read a small file before the
clock starts. `--small` shows within two minutes that all of it works, with files of 20 MiB and a single round.
"""
