"""One cloud of a ``clouds.yaml``, as operators have it for other programs.

Source: contract auth 5, compute-fetch C-14; the files and their places are those of
`openstack`.
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

#: What has to be asked of somebody else, and is not.
_UNSUPPORTED = ("profile", "cloud", "regions")

#: Options beside ``auth``; what else such files hold is none of our business.
_OPTIONS = (
    *("auth_type", "region_name", "interface", "endpoint_type", "verify", "cacert"),
    "image_endpoint_override",
)


def read_cloud(name: str, environ: Mapping[str, str]) -> Mapping[str, str]:
    """Return the options of a cloud: those of its ``auth``, and those beside it.

    What ``secure.yaml`` says goes above ``clouds.yaml``.

    Raises:
        Invalid: there is no such cloud, or it is described in a way that is not
            understood.
    """
    said = [_said(kind, name, environ) for kind in ("clouds", "secure")]
    if not any(said):
        raise Invalid(f"no clouds.yaml knows the cloud `{name}`")
    found: dict[str, str] = {}
    for cloud in said:
        for option in _UNSUPPORTED:
            if cloud.get(option):
                raise Invalid(f"the cloud `{name}` has `{option}`: not supported here")
        beside = {option: cloud[option] for option in _OPTIONS if option in cloud}
        auth = cloud.get("auth") or {}
        if not isinstance(auth, dict):
            raise Invalid(f"`auth` of the cloud `{name}` is no mapping")
        both = {**beside, **auth}
        found |= {key: str(value) for key, value in both.items() if value is not None}
    return found


def _said(kind: str, name: str, environ: Mapping[str, str]) -> Mapping[str, Any]:
    """Return what the first file of a kind says of a cloud, if there is any."""
    path = next((each for each in _places(kind, environ) if each.is_file()), None)
    if path is None:
        return {}
    try:
        document = yaml.safe_load(path.read_text())
    except (yaml.YAMLError, OSError, UnicodeDecodeError):
        # The parser's texts quote the lines around, which may hold passwords.
        raise Invalid(f"{path}: cannot be read as YAML") from None
    clouds = document.get("clouds") if isinstance(document, dict) else None
    cloud = clouds.get(name) if isinstance(clouds, dict) else None
    return cloud if isinstance(cloud, dict) else {}


def _places(kind: str, environ: Mapping[str, str]) -> Iterator[Path]:
    if named := environ.get(_VARIABLES[kind]):
        yield Path(named)
        return
    home = environ.get("HOME", "")
    settings = environ.get("XDG_CONFIG_HOME") or os.path.join(home, ".config")  # noqa: PTH118 - home may be empty
    for folder in (Path(), Path(settings) / "openstack", _SYSTEM):
        for ending in ("yaml", "yml"):
            yield folder / f"{kind}.{ending}"
