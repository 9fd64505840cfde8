"""The demo on object storage: starts an S3 server on this machine, fills it, runs the program, stops it."""

import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from pipeline.stores.aws import connect
from pipeline.stores.s3 import S3Store

HERE = Path(__file__).parent
KEYS = {"accessKey": "demo", "secretKey": "demo-secret"}
READER_KEYS = {"accessKey": "reader", "secretKey": "reader-secret"}  # has no permission to write
BUCKET = "bucket"


@contextlib.contextmanager
def server(folder: Path) -> Iterator[str]:
    """Run a SeaweedFS that keeps its data in a folder, with an empty bucket; yields its endpoint."""
    identities = [
        {"name": "demo", "credentials": [KEYS], "actions": ["Admin", "Read", "Write", "List"]},
        {"name": "reader", "credentials": [READER_KEYS], "actions": ["Read", "List"]},
    ]
    (folder / "s3.json").write_text(json.dumps({"identities": identities}))
    process, endpoint_url = _started(folder)
    try:
        os.environ.setdefault("AWS_ACCESS_KEY_ID", KEYS["accessKey"])
        os.environ.setdefault("AWS_SECRET_ACCESS_KEY", KEYS["secretKey"])
        os.environ.setdefault("AWS_DEFAULT_REGION", "us-east-1")
        connect("s3", endpoint_url).create_bucket(Bucket=BUCKET)
        yield endpoint_url
    finally:
        _end(process)


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.kill()
    process.wait()


def _started(folder: Path) -> "tuple[subprocess.Popen[bytes], str]":
    """Start the server, again where another program took one of its ports; returns its endpoint, too."""
    names = [f"{part}.port" for part in ("master", "volume", "filer", "s3")]
    names += [f"{name}.grpc" for name in names]
    command = [str(Path(sys.executable).parent / "weed"), "server", "-s3", "-ip=127.0.0.1"]
    command += ["-s3.port.iceberg=0", "-s3.port.lance=0"]  # 0: without these services
    command += [f"-dir={folder}", f"-s3.config={folder / 's3.json'}"]
    for _ in range(3):
        ports = dict(zip(names, _free_ports(len(names)), strict=True))
        with (folder / "log").open("w") as log:
            flags = [f"-{name}={port}" for name, port in ports.items()]
            process = subprocess.Popen(command + flags, stdout=log, stderr=log)
        try:
            if _is_up(process, ports["s3.port"]):
                return process, f"http://127.0.0.1:{ports['s3.port']}"
        except BaseException:
            _end(process)
            raise
        _end(process)
    raise RuntimeError(f"SeaweedFS did not start: {(folder / 'log').read_text()[-1000:]}")


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def _is_up(process: "subprocess.Popen[bytes]", port: int) -> bool:
    """Wait until the server answers, up to a minute; false where it ends before."""
    for _ in range(600):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return process.poll() is None  # otherwise it is another program that answers
        if process.poll() is not None:
            return False
        time.sleep(0.1)
    return False


def main() -> int:
    """Run the demo; returns the exit code of the program."""
    # Do not send the user's own keys to the server of the demo.
    for name in ("AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN"):
        os.environ.pop(name, None)
    os.environ.update(AWS_ACCESS_KEY_ID=KEYS["accessKey"], AWS_SECRET_ACCESS_KEY=KEYS["secretKey"])
    with tempfile.TemporaryDirectory() as folder, server(Path(folder)) as endpoint_url:
        client = connect("s3", endpoint_url)
        inbox, outbox = (S3Store(f"s3://{BUCKET}/{name}", client) for name in ("in", "out"))
        for path in sorted((HERE / "images").glob("*.[jp][pn]g")):
            inbox.write(f"images/{path.name}", path.read_bytes())
        inbox.write("demo.json", (HERE / "demo.json").read_bytes())
        # Flush, so that this line comes before the output of the program.
        print(f"A SeaweedFS at {endpoint_url} has {inbox.url}/demo.json until this demo ends.", flush=True)
        command = [str(Path(sys.executable).parent / "nst-pipeline"), "watch", "--once"]
        command += ["--inbox", inbox.url, "--outbox", outbox.url, "--endpoint-url", endpoint_url]
        code = subprocess.run(command).returncode
        print(f"\nFiles in {outbox.url}/demo:")
        for entry in outbox.entries("demo"):
            print(f"{entry.size:>9,} bytes  {entry.name}")
    return code


if __name__ == "__main__":
    sys.exit(main())
