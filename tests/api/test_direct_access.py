"""Who is told where the data lie: options, the rule, and the metadata of the place.

Source: contract stores 2.1 and 5, policy P-10.
"""

import json
from pathlib import Path

import pytest

from tests.registry import SEVERAL_STORES, LocalRegistry, merged
from tests.server import Config
from tests.wire import Document, as_

INSIDER = as_(roles=("member", "reader", "insider"))
MOUNTS = "filesystem_store_metadata_file"
SINGLE: Config = {"glance_store": {MOUNTS: "{dir}/mounts.json"}}
SEVERAL: Config = merged(SEVERAL_STORES, {"fast": {MOUNTS: "{dir}/mounts.json"}})


def registry_of(
    where: Path, config: Config, direct: bool, shown: bool
) -> LocalRegistry:
    """Return a registry with its options; only insiders may know locations."""
    options = {
        "show_image_direct_url": str(direct),
        "show_multiple_locations": str(shown),
    }
    mounts = [{"id": "shared", "mountpoint": str(where / "images"), "rack": "7"}]
    return LocalRegistry(
        where,
        merged(
            config,
            {"DEFAULT": options, "oslo_policy": {"policy_file": "policy.json"}},
        ),
        files={
            "policy.json": json.dumps({"get_image_location": "role:insider"}),
            "mounts.json": json.dumps(mounts),
        },
    )


@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize("direct", [False, True])
@pytest.mark.parametrize("shown", [False, True])
@pytest.mark.parametrize("headers", [INSIDER, as_()], ids=["insider", "member"])
def test_an_option_and_the_rule_must_both_allow_it(
    tmp_path: Path,
    several: bool,
    direct: bool,
    shown: bool,
    headers: dict[str, str],
) -> None:
    registry = registry_of(tmp_path, SEVERAL if several else SINGLE, direct, shown)
    client = registry.client(headers)
    image_id = str(client.create()["id"])
    client.upload(image_id, b"bytes")
    path = tmp_path / "images" / ("fast" if several else "") / image_id
    metadata = {"id": "shared", "mountpoint": str(tmp_path / "images"), "rack": "7"}
    if several:
        metadata["store"] = "fast"
    place = {"url": f"file://{path}", "metadata": metadata}
    may = headers is INSIDER

    records: list[Document] = [
        client.show(image_id),
        *client.get("/v2/images").json()["images"],
    ]
    registry.close()

    assert path.read_bytes() == b"bytes"
    for record in records:
        assert record.get("direct_url") == (place["url"] if direct and may else None)
        if not shown:
            assert "locations" not in record
        else:
            assert record["locations"] == ([place] if may else [])
        assert record.get("stores") == ("fast" if several else None)
        told = str(record)
        assert (str(tmp_path) in told) is ((direct or shown) and may)
