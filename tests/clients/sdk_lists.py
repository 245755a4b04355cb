"""Lists, waiting and sharing with openstacksdk; run by the clients' own Python.

Usage: sdk_lists.py URL.  Prints what it saw as one JSON object.
"""

import hashlib
import json
import sys

import openstack  # type: ignore[import-not-found]  # only the clients' Python has it

RAW = {"disk_format": "raw", "container_format": "bare"}
DATA = bytes(range(256)) * 5000


def main(url: str) -> dict[str, object]:
    """Create three images, fill one, and look at them in every way."""
    cloud = openstack.connect(auth_type="none", endpoint=url)
    images = cloud.image
    made = [
        images.create_image(f"list-{number}", colour="red", min_ram=number, **RAW)
        for number in range(3)
    ]
    made[0].data = DATA
    images.update_image(made[0], colour="green", min_disk=1)
    made[0].upload(images)
    filled = cloud.wait_for_image(made[0], timeout=60)
    waited = images.wait_for_status(made[0], "active", wait=60)
    images.update_image(made[1], name="renamed", hw_disk_bus="scsi")

    seen = {
        "filled": [filled.status, filled.size],
        "waited": waited.status,
        "updated": [waited.properties["colour"], waited.min_disk],
        "streamed": streamed(images, made[0]) == hashlib.sha512(DATA).hexdigest(),
        **lists(images),
        **shared(images, made[2]),
    }
    for image in made:
        images.delete_image(image)
        images.wait_for_delete(image, wait=60)
    seen["left"] = names(images)
    return seen


def streamed(images: object, image: object) -> str:
    """Return the digest of an image that is read piece by piece."""
    proxy: openstack.image.v2._proxy.Proxy = images
    digest = hashlib.sha512()
    for piece in proxy.download_image(image, stream=True).iter_content(100_000):
        digest.update(piece)
    return digest.hexdigest()


def lists(images: object) -> dict[str, object]:
    """Return what filtered, ordered and paged lists hold."""
    return {
        "by_name": names(images, name="renamed"),
        "by_several": names(images, name="in:list-0,list-2", status="queued"),
        "by_size": names(images, size_min=len(DATA)),
        "paged": names(images, limit=1, sort="name:asc", disk_format="raw"),
    }


def names(images: object, **query: object) -> list[str]:
    """Return the names of the images of a list, in its order."""
    proxy: openstack.image.v2._proxy.Proxy = images
    return [image.name for image in proxy.images(**query)]


def shared(images: object, image: object) -> dict[str, object]:
    """Return what is seen of an image that is shared, used and taken out of use."""
    proxy: openstack.image.v2._proxy.Proxy = images
    proxy.add_member(image, member_id="guest")
    proxy.update_member("guest", image, status="accepted")
    members = [[each.member_id, each.status] for each in proxy.members(image)]
    proxy.remove_member("guest", image=image)
    return {"members": members, "unshared": list(proxy.members(image))}


if __name__ == "__main__":
    json.dump(main(sys.argv[1]), sys.stdout)
