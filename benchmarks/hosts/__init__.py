"""What users see while hosts, the database and the object store die under them: `python -m benchmarks hosts`.

Two hosts of the server, nginx, and PostgreSQL with an object store (SeaweedFS) are in network namespaces of their own.
Clients work through nginx, each in a folder of its own of which it knows all that was acknowledged. Every few seconds
one of the hosts is killed and started again, in the middle of the time PostgreSQL is, and later the store. In the end
everything that was acknowledged must be there, byte for byte, and nothing else; `edge server fsck --deep` must find
nothing; and no client may have seen an error that its own retries did not get over. Exit code 1 if one of that is not
so.

Linux only, as root, with iproute2, nginx and PostgreSQL's programs.
"""
