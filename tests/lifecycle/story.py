"""The life of an image: uploaded, fetched, booted, changed, snapshotted, kept.

    python -m tests.lifecycle

Real programs do everything: a registry, `imagereg upload`, `imagereg-fetch` on two
nodes, and machines under software emulation.  Each step asserts what it shows.
"""

import hashlib
import json
import os
import shlex
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from tests.lifecycle.disk import GREETING, bootable
from tests.lifecycle.machine import Machine, qemu_img
from tests.server import PROGRAM, Config, Server
from tests.wire import Client, Document

#: A bootable image that others made (Debian: grub-rescue-pc), and what it says.
RESCUE = Path("/usr/lib/grub-rescue/grub-rescue-cdrom.iso")
RESCUE_GREETING = "Welcome to GRUB!"
NO_RESCUE = f"{RESCUE} is missing: it is NOT booted (Debian: grub-rescue-pc)"

CONFIG: Config = {
    "DEFAULT": {"show_multiple_locations": "true"},
    "glance_store": {"filesystem_store_metadata_file": "{dir}/etc/metadata.json"},
    "paste_deploy": {"flavor": None},
}
METADATA = '{"id": "fs-1", "mountpoint": "{dir}/state/images"}'

#: A node that has the file system of the store, and keeps images as they are.
DIRECT = """\
[glance]
endpoint_override = {base}
[image_file_url]
filesystems = store
[image_file_url:store]
id = fs-1
mountpoint = {images}
readonly_check = false
[image_cache]
cache_dir = {node}/cache
instances_path = {node}/instances
"""

#: A node that has not, and keeps images as a compute service does.
STREAMED = """\
[glance]
endpoint_override = {base}
[image_cache]
layout = compat
instances_path = {node}/instances
"""

Say = Callable[[str], object]


class Node:
    """A compute node: a configuration, a cache and instances below one directory."""

    def __init__(self, name: str, text: str, server: Server, say: Say) -> None:
        self.name = name
        self.where = server.where.parent / name
        self.instances = self.where / "instances"
        self.instances.mkdir(parents=True)
        self._conf = self.where / "node.conf"
        self._conf.write_text(
            text.format(base=server.base, images=server.images_dir, node=self.where)
        )
        self._say = say

    def fetch(self, image_id: str, source: str) -> Path:
        """Have an image in the cache, from ``source``, and return where it lies."""
        (line,) = self.run(image_id, "--json", "--progress", "none")
        told = json.loads(line)
        self._say(
            f"   {told['source']}, {told['bytes']} bytes, verified: {told['verified']}"
        )
        assert (told["source"], told["verified"]) == (source, True)
        return Path(told["path"])

    def run(self, *words: str) -> list[str]:
        """Run `imagereg-fetch` with the configuration of the node."""
        command = ["imagereg-fetch", *words, "--config", "node.conf"]
        self._say(f"   {self.name}$ {shlex.join(command)}")
        program = PROGRAM.with_name("imagereg-fetch")
        return run([str(program), *command[1:]], self.where)


def run(command: list[str], where: Path) -> list[str]:
    """Run a program, insist that it succeeds, and return its lines."""
    done = subprocess.run(
        command, cwd=where, check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def tell(folder: Path, say: Say) -> None:
    """Live through it all below ``folder``, and ``say`` what happens."""
    where = folder / "registry"
    where.mkdir()
    server = Server(where, CONFIG, files={"metadata.json": METADATA}).start()
    try:
        one = Node("node1", DIRECT, server, say)
        two = Node("node2", STREAMED, server, say)
        _live(server, one, two, say)
        if RESCUE.exists():
            _boot_what_others_made(server, two, say)
        else:
            say(NO_RESCUE)
    finally:
        server.stop()


def _live(server: Server, one: Node, two: Node, say: Say) -> None:
    client = server.client({})
    say("1. A bootable disk becomes an image.")
    base = _upload(server, _packed(server.where), "counter", say)

    say("2. Two nodes fetch it: one reads the store, one is sent the bytes.")
    kept = {one.fetch(base, "direct"): "qcow2", two.fetch(base, "http"): "raw"}
    before = {path: _digest(path) for path in kept}
    one.fetch(base, "cache")

    say("3. Each node boots an instance, whose disk is a copy on write.")
    first, second = (
        Machine(node.instances, path, kind)
        for node, (path, kind) in zip((one, two), kept.items(), strict=True)
    )
    for machine, count in ((first, 1), (first, 2), (second, 1)):
        _boot(machine, count, say)

    say("4. The image below them is what it was, and stays while it is used.")
    for path in kept:
        os.utime(path, (time.time() - 9 * 86400,) * 2)
    assert one.run("cache", "gc") == two.run("cache", "gc") == []
    assert {path: _digest(path) for path in kept} == before
    say(f"   sha256 of both caches unchanged, {len(before)} files")

    say("5. The changed disk of the first instance goes back as a snapshot.")
    snapshot = _snapshot(client, first, client.show(base), server.where)
    _list(client, {base: "", snapshot: first.uuid}, say)

    say("6. The other node fetches the snapshot and boots it: it goes on counting.")
    third = Machine(two.instances, two.fetch(snapshot, "http"), "raw")
    _boot(third, 3, say)

    say("7. The instances are deleted; the images do not notice.")
    for machine in (first, second, third):
        machine.delete()
    for image_id in (base, snapshot):
        image = client.show(image_id)
        data = client.download(image_id).body
        assert image["status"] == "active"
        assert hashlib.sha512(data).hexdigest() == image["os_hash_value"]
        say(f"   {image_id} {image['status']}, {len(data)} bytes of the same sha512")
    assert {path: _digest(path) for path in kept} == before
    fourth = Machine(one.instances, one.fetch(base, "cache"), "qcow2")
    _boot(fourth, 1, say)
    fourth.delete()


def _boot_what_others_made(server: Server, node: Node, say: Say) -> None:
    say("8. An image that others made: GRUB's rescue disk.")
    image_id = _upload(server, RESCUE, "rescue", say)
    path = node.fetch(image_id, "http")
    before = _digest(path)
    assert path.read_bytes() == RESCUE.read_bytes()
    machine = Machine(node.instances, path, "raw")
    line = machine.boot(RESCUE_GREETING, screen=True)
    say(f"   instance {machine.uuid[:8]} says: {line}")
    machine.delete()
    assert _digest(path) == before


def _packed(where: Path) -> Path:
    """Return the disk as a QCOW2, as images are usually kept."""
    raw, packed = where / "counter.raw", where / "counter.qcow2"
    raw.write_bytes(bootable())
    qemu_img("convert", "-f", "raw", "-O", "qcow2", raw, packed)
    return packed


def _upload(server: Server, path: Path, name: str, say: Say) -> str:
    words = ["upload", path.name, "--name", name, "--property", "hw_disk_bus=ide"]
    say(f"   $ imagereg {shlex.join(words)}")
    command = [str(PROGRAM), *words, "--quiet", "--endpoint", server.base]
    (image_id,) = run(command, path.parent)
    say(f"   {image_id}")
    return image_id


def _boot(machine: Machine, count: int, say: Say) -> None:
    line = machine.boot(GREETING)
    say(f"   instance {machine.uuid[:8]} says: {line}")
    assert line == f"{GREETING} {count}"


def _snapshot(client: Client, machine: Machine, base: Document, folder: Path) -> str:
    """Send the disk of a machine back, in the three requests of a compute service."""
    image: Document = client.request(
        "POST",
        "/v2/images",
        document={
            "name": "counter, later",
            "visibility": "private",
            "min_disk": base["min_disk"],
            "min_ram": base["min_ram"],
            "hw_disk_bus": base["hw_disk_bus"],
            "instance_uuid": machine.uuid,
            "user_id": "somebody",
            "image_type": "snapshot",
            "base_image_ref": base["id"],
        },
    ).json()
    path = f"/v2/images/{image['id']}"
    fields = {
        "disk_format": "qcow2",
        "container_format": "bare",
        "image_location": "snapshot",
        "image_state": "available",
    }
    changes = [
        {
            "op": "replace" if name in image else "add",
            "path": f"/{name}",
            "value": value,
        }
        for name, value in fields.items()
    ]
    kind = {"Content-Type": "application/openstack-images-v2.1-json-patch"}
    body = json.dumps(changes).encode()
    assert client.request("PATCH", path, body=body, headers=kind).status == 200
    disk = folder / "snapshot.qcow2"
    machine.snapshot(disk)
    with disk.open("rb") as file:
        blocks = iter(lambda: file.read(1 << 16), b"")
        assert client.upload(image["id"], blocks).status == 204
    return str(image["id"])


def _list(client: Client, servers: dict[str, str], say: Say) -> None:
    """Show the images as old listings do, snapshots with their server."""
    images = client.get("/v2/images").json()["images"]
    for image in images:
        server = image.get("instance_uuid", "")
        say(f"   {image['id']} | {image['name']:<14} | {image['status']} | {server}")
    assert {image["id"]: image.get("instance_uuid", "") for image in images} == servers
    found = client.get("/v2/images?image_type=snapshot").json()["images"]
    assert [image["id"] for image in found] == [
        each for each in servers if servers[each]
    ]
    (base,) = (each for each in servers if not servers[each])
    assert found[0]["base_image_ref"] == base


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
