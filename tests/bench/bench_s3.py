"""What an S3 store costs the client: CPU time and memory, against boto3's own way.

    python -m tests.bench.bench_s3 --mib 1024 --rounds 3

The service is real and runs in processes of its own, as does the TLS in front of it.
Each way runs in a process of its own too, so that its peak memory is its own.  The
ways take turns; the medians are compared.  Hashing the image is no part of any way;
without TLS the bytes must be hashed once more to be signed, which is measured apart.

512 MiB, one round at the highest priority beside a load of 12, buffers kept as the
server keeps them (`server._keep_buffers`): 1.10 s/GiB over TLS, and 1.39 without, of
which signing is 0.76; memory grew by 39 MiB.  With glibc left to itself, 256 MiB, two
rounds: 1.41 and 1.51.  boto3's own way took 2.4 to 2.5, and 112 to 132 MiB.
"""

import argparse
import hashlib
import json
import resource
import shutil
import ssl
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from imagereg.stores.s3 import S3Driver
from imagereg.stores.s3_client import S3Options
from tests.stores.bucket import s3_service
from tests.stores.s3_proxy import s3_proxy

MiB = 1024 * 1024
PROGRAM = (sys.executable, "-m", "tests.bench.bench_s3")
WAYS = ("upload", "boto3 upload", "download", "signing alone")
CERTIFICATE = Path(__file__).parent.parent / "policy" / "tls" / "cert.pem"


@dataclass(frozen=True)
class Cost:
    """What one way took in one round."""

    way: str
    tls: bool
    wall_s: float
    cpu_s: float
    grown_mib: float


def chunks(size_bytes: int) -> Iterator[bytes]:
    """Yield data as a server hands them on: in fresh objects of 1 MiB."""
    pattern = bytes(range(256)) * 4096
    for number in range(size_bytes // MiB):
        yield number.to_bytes(8, "big") + pattern[8:]


class _File:
    """The same data as a file, for boto3's own way."""

    def __init__(self, size_bytes: int) -> None:
        self._chunks = chunks(size_bytes)
        self._held = b""

    def read(self, size: int) -> bytes:
        """Return the next bytes, joined as a file would."""
        parts = [self._held]
        while sum(map(len, parts)) < size and (chunk := next(self._chunks, b"")):
            parts.append(chunk)
        data = b"".join(parts)
        self._held = data[size:]
        return data[:size]


def run_once(way: str, options: S3Options, size_bytes: int) -> Cost:
    """Do one transfer in this process and return what it took."""
    driver = S3Driver(options)
    key = "bench"
    # What boto3 needs to be there at all counts neither as time nor as growth.
    driver.find(key)
    before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    wall, cpu = time.perf_counter(), time.process_time()
    if way == "upload":
        with driver.writer(key, 0, replace=True) as writer:
            for chunk in chunks(size_bytes):
                writer.write(chunk)
            writer.commit()
    elif way == "boto3 upload":
        client: Any = driver._client._client(hasty=False)
        client.upload_fileobj(_File(size_bytes), options.bucket, key)
    elif way == "signing alone":
        digest = hashlib.sha256()
        for chunk in chunks(size_bytes):
            digest.update(chunk)
    else:
        with driver.open(driver._url(key), 0, None) as reader:
            assert sum(map(len, reader)) == size_bytes
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    grown_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kib
    return Cost(way, options.secure, wall, cpu, grown_kib / 1024)


@contextmanager
def tls_in_front(upstream: str) -> Iterator[str]:
    """Run a TLS end in front of the service; yield its address."""
    command = (*PROGRAM, "--front", upstream)
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as front:
        try:
            assert front.stdout is not None
            yield front.stdout.readline().strip()
        finally:
            front.terminate()


def serve_front(upstream: str) -> None:
    """Be the TLS end, until the end."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE, CERTIFICATE.with_name("key.pem"))
    with s3_proxy(upstream, context) as proxy:
        sys.stdout.write(f"{proxy.host}\n")
        sys.stdout.flush()
        threading.Event().wait()


def measure(size_bytes: int, rounds: int, part_bytes: int) -> list[Cost]:
    """Run every way in turn, ``rounds`` times, each in a new process."""
    where = Path(tempfile.mkdtemp(prefix="bench-s3-"))
    costs: list[Cost] = []
    try:
        with (
            s3_service(where / "service") as service,
            tls_in_front(service.host) as front,
        ):
            bucket = service.driver()._options.bucket
            for _ in range(rounds):
                for tls in (False, True):
                    host = front if tls else service.host
                    given = {
                        "host": host,
                        "bucket": bucket,
                        "access_key": service.access_key,
                        "secret_key": service.secret_key,
                        "secure": tls,
                        "ca_file": str(CERTIFICATE) if tls else None,
                        "part_bytes": part_bytes,
                    }
                    costs += [_in_own_process(way, given, size_bytes) for way in WAYS]
    finally:
        shutil.rmtree(where, ignore_errors=True)
    return costs


def _in_own_process(way: str, given: Mapping[str, Any], size_bytes: int) -> Cost:
    order = json.dumps({"way": way, "options": given, "size_bytes": size_bytes})
    done = subprocess.run(
        (*PROGRAM, "--once", order),
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return Cost(**json.loads(done.stdout))


def report(costs: Sequence[Cost], size_bytes: int) -> Iterator[str]:
    """Yield lines that tell the medians."""
    yield f"{'':24}{'MiB/s':>8}{'CPU s/GiB':>12}{'grown MiB':>12}"
    gib = size_bytes / 1024**3
    for tls in (False, True):
        for way in WAYS:
            own = [each for each in costs if (each.way, each.tls) == (way, tls)]
            rate = size_bytes / MiB / statistics.median(each.wall_s for each in own)
            cpu = statistics.median(each.cpu_s for each in own) / gib
            grown = max(each.grown_mib for each in own)
            name = f"{way}, {'TLS' if tls else 'plain'}"
            yield f"{name:24}{rate:8.0f}{cpu:12.2f}{grown:12.1f}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description="Compare ways to S3.")
    parser.add_argument("--mib", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--part-mib", type=int, default=10)
    parser.add_argument("--once", help=argparse.SUPPRESS)
    parser.add_argument("--front", help=argparse.SUPPRESS)
    chosen = parser.parse_args(arguments)
    if chosen.front:
        serve_front(chosen.front)
    elif chosen.once:
        order = json.loads(chosen.once)
        given = order["options"]
        given["ca_file"] = Path(given["ca_file"]) if given["ca_file"] else None
        cost = run_once(order["way"], S3Options(**given), order["size_bytes"])
        sys.stdout.write(json.dumps(asdict(cost)))
    else:
        size = chosen.mib * MiB
        costs = measure(size, chosen.rounds, chosen.part_mib * MiB)
        for line in report(costs, size):
            sys.stdout.write(f"{line}\n")


if __name__ == "__main__":
    main()
