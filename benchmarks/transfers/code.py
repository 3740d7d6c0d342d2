"""What the clients do that `benchmarks.transfers` measures, each in a process of its own.

Ours use only what older versions have as well.
"""

from __future__ import annotations

from benchmarks.transfers.objects import BUCKET, CLIENT

EDGE = """
from edge.api import EdgeSession
edge = EdgeSession()
files = edge.files
files.exists("small.bin")
"""

DOWN = f"""{EDGE}
files.download("small.bin", sys.argv[1] + ".small")
measured(lambda: files.download("large.bin", sys.argv[1]))
"""

UP = f"""{EDGE}
files.upload("small.bin", b"small")
measured(lambda: files.upload("up.bin", sys.argv[1]))
"""

READ = f"""{EDGE}
if sys.argv[1] == "unchecked":
    from edge_vfs.content import Check
    Check.see = lambda *_: None

def read():
    with files.open("large.bin", open_with="file") as file:
        while file.read(1 << 20):
            pass

measured(read)
"""

# To a server that throws everything away; digests are those of nothing where they cost nothing.
SEND = """
import types
from edge.api import EdgeSession
import edge_files.sending, edge_vfs.source
if sys.argv[2] == "unchecked":
    class Free:
        update = staticmethod(lambda block: None)
        digest = staticmethod(lambda: bytes(32))
        hexdigest = staticmethod(lambda: "0" * 64)
    edge_vfs.source.hashlib = types.SimpleNamespace(sha256=Free)
edge = EdgeSession()
edge.http.core.get("/v1/users/me")
measured(lambda: edge.files.upload("up.bin", sys.argv[1]))
"""

ADDRESS = """
from edge.api import EdgeSession
print(EdgeSession().files.open("large.bin", open_with="file").download_url())
"""

REQUESTS_DOWN = """
import requests
session = requests.Session()
session.trust_env = False

def down():
    with session.get(sys.argv[1], stream=True) as answer, open(sys.argv[2], "r+b", buffering=0) as file:
        answer.raise_for_status()
        for block in answer.iter_content(1 << 20):
            file.write(block)

measured(down)
"""

REQUESTS_READ = """
import requests
session = requests.Session()
session.trust_env = False

def read():
    with session.get(sys.argv[1], stream=True) as answer:
        answer.raise_for_status()
        for block in answer.iter_content(1 << 20):
            pass

measured(read)
"""

REQUESTS_UP = """
import requests
session = requests.Session()
session.trust_env = False

def up():
    with open(sys.argv[1], "rb") as file:
        session.put(sys.argv[2], data=file).raise_for_status()

measured(up)
"""

BOTO3_DOWN = f"""{CLIENT}
measured(lambda: s3.download_file("{BUCKET}", "large.bin", sys.argv[1]))
"""

BOTO3_UP = f"""{CLIENT}
measured(lambda: s3.upload_file(sys.argv[1], "{BUCKET}", "up.bin"))
"""

UP_FOLDER = f"""{EDGE}
measured(lambda: files.upload_folder(sys.argv[1], sys.argv[2]))
"""

DOWN_FOLDER = f"""{EDGE}
measured(lambda: files.download_folder(sys.argv[1], sys.argv[2]))
"""

BOTO3_FOLDER = f"""{CLIENT}
from boto3.s3.transfer import TransferConfig, create_transfer_manager

def managed(transfers):
    with create_transfer_manager(s3, TransferConfig()) as manager:
        for future in transfers(manager):
            future.result()
"""

BOTO3_UP_FOLDER = f"""{BOTO3_FOLDER}
def up(manager):
    name, top = sys.argv[1:]
    paths = [os.path.join(here, file) for here, _, found in os.walk(top) for file in found]
    return [manager.upload(path, "{BUCKET}", name + "/" + os.path.relpath(path, top)) for path in paths]

measured(lambda: managed(up))
"""

BOTO3_DOWN_FOLDER = f"""{BOTO3_FOLDER}
def down(manager):
    name, top = sys.argv[1:]
    futures = []
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket="{BUCKET}", Prefix=name + "/"):
        for item in page["Contents"]:
            path = os.path.join(top, item["Key"][len(name) + 1:])
            os.makedirs(os.path.dirname(path), exist_ok=True)
            futures.append(manager.download("{BUCKET}", item["Key"], path))
    return futures

measured(lambda: managed(down))
"""

REQUESTS_FILES = """
import os, requests
verb, top, url, token = sys.argv[1:]
session = requests.Session()
session.headers["Authorization"] = "Bearer " + token
session.get(url + "entry?path=").raise_for_status()

def down():
    os.mkdir(top + ".down")
    for path, name in names:
        answer = session.get(url + "content", params={"path": "sequence/" + path})
        answer.raise_for_status()
        with open(os.path.join(top + ".down", name), "wb") as file:
            file.write(answer.content)

def up():
    for path, name in names:
        with open(os.path.join(top, path), "rb") as file:
            session.put(url + "content", params={"path": "requests/" + path}, data=file).raise_for_status()

names = [
    (os.path.relpath(os.path.join(here, name), top), name) for here, _, found in os.walk(top) for name in sorted(found)]
measured(down if verb == "down" else up)
"""

LATE_CALLS = """
import concurrent.futures
from edge.api import EdgeSession
import requests
who, url, threads, calls = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
edge = EdgeSession("edg_x", url + "/late", "default")
session = requests.Session()
session.mount("http://", requests.adapters.HTTPAdapter(pool_maxsize=threads))

def by_edge(_):
    return edge.http.core.get("/v1/users/me")

def by_requests(_):
    return session.get(url + "/late/v1/users/me", headers={"Authorization": "Bearer edg_x"}).json()

call = by_edge if who == "edge" else by_requests
with concurrent.futures.ThreadPoolExecutor(threads) as pool:
    list(pool.map(call, range(2 * threads)))
    measured(lambda: list(pool.map(call, range(calls))))
"""

# What goes out is counted, whoever in the client sends it.
COUNTED = f"""
import http.client
sent = 0
begin = http.client.HTTPConnection.putrequest

def counting(*arguments, **options):
    global sent
    sent += 1
    return begin(*arguments, **options)

http.client.HTTPConnection.putrequest = counting
{EDGE}
name, top = sys.argv[1:]

def counted(call):
    def run():
        before = sent
        count = call()
        return {{"requests": sent - before, "count": count}}
    measured(run)
"""

LISTING = {
    "walk": f"{COUNTED}\ncounted(lambda: sum(len(found) for _, _, found in (files / name).walk()))\n",
    'glob("**/*.csv")': f'{COUNTED}\ncounted(lambda: len(list((files / name).glob("**/*.csv"))))\n',
    "sync up, nothing to do": f'{COUNTED}\ncounted(lambda: len(files.sync(top, name, "up").skipped))\n',
    "sync down, nothing to do": f'{COUNTED}\ncounted(lambda: len(files.sync(top, name, "down").skipped))\n',
    "sync up by time, nothing to do": (
        f'{COUNTED}\ncounted(lambda: len(files.sync(top, name, "up", compare="time").skipped))\n'
    ),
}


PREPARE = f"""{EDGE.replace('files.exists("small.bin")', "")}
files.upload("small.bin", b"small")
measured(lambda: files.upload("large.bin", sys.argv[1]))
"""

BOTO3_PREPARE = f"""{CLIENT}
measured(lambda: s3.upload_file(sys.argv[1], "{BUCKET}", "large.bin"))
"""
