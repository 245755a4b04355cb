"""What a program does with openstacksdk; run by the clients' own Python.

Usage: sdk_story.py URL FILE FOLDER.  Prints what it saw as one JSON object.
"""

import hashlib
import io
import json
import sys
from pathlib import Path

import openstack  # type: ignore[import-not-found]  # only the clients' Python has it


def main(url: str, source: Path, folder: Path) -> dict[str, object]:
    """Create, wait, download three ways, change, find and delete."""
    cloud = openstack.connect(auth_type="none", endpoint=url)
    images = cloud.image
    created = cloud.create_image(
        "sdk",
        filename=str(source),
        disk_format="raw",
        container_format="bare",
        wait=True,
        timeout=60,
        colour="red",
    )

    streamed = hashlib.sha512()
    for piece in images.download_image(created, stream=True).iter_content(65536):
        streamed.update(piece)
    saved = folder / "saved.raw"
    images.download_image(created, output=str(saved))
    buffer = io.BytesIO()
    images.download_image(created, output=buffer)

    images.update_image(created, name="renamed", os_distro="debian")
    images.add_tag(created, "blue")
    found = images.find_image("renamed")
    tagged = [image.id for image in images.images(tag="blue")]

    record_only = images.create_image(
        "sdk-empty", disk_format="raw", container_format="bare"
    )
    images.delete_image(record_only)
    images.delete_image(created)

    return {
        "id": created.id,
        "status": created.status,
        "size": created.size,
        "hash": created.hash_value,
        "colour": created.properties["colour"],
        "streamed": streamed.hexdigest(),
        "saved": hashlib.sha512(saved.read_bytes()).hexdigest(),
        "buffered": hashlib.sha512(buffer.getvalue()).hexdigest(),
        "found": found.id,
        "found_distro": found.os_distro,
        "tagged": tagged,
        "empty_status": record_only.status,
        "after_delete": images.find_image(created.id),
    }


if __name__ == "__main__":
    _, url, source, folder = sys.argv
    json.dump(main(url, Path(source), Path(folder)), sys.stdout)
