"""Transfers beside curl, requests, boto3, rclone and an older version: `python -m benchmarks transfers`.

Each section can be named to be measured alone:

- large: a file of 1 GiB down and up, over the loopback interface. curl and requests write over an old target,
  which takes no new memory; who writes a new file finds as much of it warm, see `programs.warm`.
- reading: the same file read and thrown away, with its digests checked and without (rows B9 and B14).
- proxies: the same file down through nginx: TLS (B10), and 60 MB/s a connection, where several connections help.
- sink: the same file up to a server that throws it away, with digests and without (B12).
- memory: of both sides while a file goes up and down (B13).
- small: 10,000 files of 4 KiB in folders of 100, up, up again unchanged, down, down again unchanged.
- sequence: 2,000 files of 4 KiB, beside a session of requests that does one after another (B15, B16).
- late: calls of 32 threads to a server that answers after 20 ms (B17).
- listing: 50,000 files in 5,000 folders: their upload, walk, glob("**/*.csv"), and sync with nothing to do.

Servers run as they are started by default and keep their files in folders; SeaweedFS does with the same bytes what
boto3 and rclone ask for. Clients take turns, ratios are formed within a round, and a figure is the median of the
rounds. `--against COMMIT` adds client and server of a commit, which are installed in a folder of their own; f8cd191 is
the one before transfers went in parts. `--small` shows within two minutes that all of it works. Linux only.
"""
