"""One cloud of a ``clouds.yaml``, as operators have it for other programs.

What such files say is put together in the order that `openstack` has: the profile of
a vendor, the cloud, its secrets, the values of its region; the later goes above.

Source: contract auth 5, compute-fetch C-14; the files, their places and their words
are those of openstacksdk.
"""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from imagereg.errors import Invalid

#: Names the file itself, or the one with the passwords.
_VARIABLES = {
    "clouds": "OS_CLIENT_CONFIG_FILE",
    "secure": "OS_CLIENT_SECURE_FILE",
}
_SYSTEM = Path("/etc/openstack")

#: Vendors that the operator describes, and the older word for naming one.
_VENDORS, _PROFILE = "clouds-public", ("profile", "cloud")

#: One domain for both the user and the project.
_DOMAINS = ("domain_id", "domain_name")

#: Options beside ``auth``; what else such files hold is none of our business.
_OPTIONS = (
    *("auth_type", "interface", "endpoint_type", "verify", "cacert"),
    "image_endpoint_override",
)

_Cloud = Mapping[str, Any]


def read_cloud(name: str, environ: Mapping[str, str]) -> Mapping[str, str]:
    """Return the options of a cloud: those of its ``auth``, and those beside it.

    ``OS_REGION_NAME`` chooses among its regions, of which the first counts otherwise.

    Raises:
        Invalid: there is no such cloud, or it is described in a way that is not
            understood.
    """
    said = [
        _entry(_document(kind, environ), "clouds", name)
        for kind in ("clouds", "secure")
    ]
    if not any(said):
        raise Invalid(f"no clouds.yaml knows the cloud `{name}`")
    own = _above(*said)
    known = _above(_vendor(own, name, environ), own)
    cloud = _in_region(known, name, environ.get("OS_REGION_NAME", ""))
    auth = cloud.get("auth") or {}
    if not isinstance(auth, dict):
        raise Invalid(f"`auth` of the cloud `{name}` is no mapping")
    beside = {option: cloud[option] for option in _OPTIONS if option in cloud}
    both = {**_domains(auth), **beside, **auth, "region_name": cloud["region_name"]}
    return {key: str(value) for key, value in both.items() if value not in (None, "")}


def _vendor(own: _Cloud, name: str, environ: Mapping[str, str]) -> _Cloud:
    """Return what a vendor's profile says, if the cloud is one of a vendor."""
    profile = next((own[word] for word in _PROFILE if own.get(word)), None)
    if profile is None:
        return {}
    found = _entry(_document(_VENDORS, environ), "public-clouds", str(profile))
    if not found:
        raise Invalid(
            f"the cloud `{name}` has the profile `{profile}`, which no "
            "clouds-public.yaml knows: write auth_url and region_name into clouds.yaml"
        )
    if "region_name" in own:
        # The vendor's other regions are no longer the choice.
        return {key: value for key, value in found.items() if key != "regions"}
    return found


def _in_region(cloud: _Cloud, name: str, wanted: str) -> _Cloud:
    """Return the cloud with the values of one of its regions, and the region's name."""
    regions = dict(_regions(cloud, name))
    if not regions:
        return {**cloud, "region_name": wanted}
    chosen = wanted or next(iter(regions))
    if chosen not in regions:
        known = ", ".join(regions)
        raise Invalid(f"the cloud `{name}` has no region `{chosen}`, but {known}")
    return {**_above(cloud, regions[chosen]), "region_name": chosen}


def _regions(cloud: _Cloud, name: str) -> Iterator[tuple[str, _Cloud]]:
    """Yield the regions of a cloud, and what each says differently."""
    listed = cloud.get("regions") or cloud.get("region_name") or ()
    if isinstance(listed, str):
        listed = [each.strip() for each in listed.split(",")]
    for region in listed if isinstance(listed, list | tuple) else [listed]:
        both = region if isinstance(region, dict) else {"name": region}
        values = both.get("values") or {}
        if not isinstance(both.get("name"), str | int) or not isinstance(values, dict):
            raise Invalid(f"a region of the cloud `{name}` is neither name nor mapping")
        yield str(both["name"]), values


def _domains(auth: _Cloud) -> _Cloud:
    return {
        f"{whose}_{option}": auth[option]
        for option in _DOMAINS
        for whose in ("user", "project")
        if option in auth
    }


def _above(lower: _Cloud, upper: _Cloud) -> dict[str, Any]:
    """Return what both say, mappings name by name; ``upper`` goes above."""
    both = {**lower, **upper}
    for key in lower.keys() & upper.keys():
        if isinstance(lower[key], dict) and isinstance(upper[key], dict):
            both[key] = _above(lower[key], upper[key])
    return both


def _entry(document: object, section: str, name: str) -> dict[str, Any]:
    """Return what a document says of a cloud; older files have dashes in names."""
    entries = document.get(section) if isinstance(document, dict) else None
    entry = entries.get(name) if isinstance(entries, dict) else None
    found = _plain(entry)
    return found if isinstance(found, dict) else {}


def _plain(value: object) -> object:
    if isinstance(value, list):
        return [_plain(each) for each in value]
    if not isinstance(value, dict):
        return value
    return {str(key).replace("-", "_"): _plain(each) for key, each in value.items()}


def _document(kind: str, environ: Mapping[str, str]) -> object:
    """Return what the first file of a kind says, if there is any."""
    path = next((each for each in _places(kind, environ) if each.is_file()), None)
    if path is None:
        return None
    try:
        return yaml.safe_load(path.read_text())
    except (yaml.YAMLError, OSError, UnicodeDecodeError):
        # The parser's texts quote the lines around, which may hold passwords.
        raise Invalid(f"{path}: cannot be read as YAML") from None


def _places(kind: str, environ: Mapping[str, str]) -> Iterator[Path]:
    if named := environ.get(_VARIABLES.get(kind, "")):
        yield Path(named)
        return
    home = environ.get("HOME", "")
    settings = environ.get("XDG_CONFIG_HOME") or os.path.join(home, ".config")  # noqa: PTH118 - home may be empty
    for folder in (Path(), Path(settings) / "openstack", _SYSTEM):
        for ending in ("yaml", "yml", "json"):
            yield folder / f"{kind}.{ending}"
