"""What is put together of a cloud: vendor, cloud, secrets, region."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from imagereg.errors import Invalid
from imagereg.fetch.clouds import read_cloud

CLOUDS = """
clouds:
  plain: {auth: {auth_url: http://k, username: u}, region_name: one, cert: none}
  list:
    auth: {auth_url: http://k, username: u}
    interface: internal
    regions:
    - one
    - name: two
      values: {interface: public, auth: {auth_url: http://two}}
    - 3
  commas: {region_name: "one, two"}
  names: {region_name: [two, one]}
  both: {regions: [two], region_name: one}
  sold: {profile: vendor, auth: {username: u, password: low}}
  older: {cloud: vendor, auth: {username: u}}
  own: {profile: vendor, region_name: mine, auth: {auth_url: http://own}}
  dashes: {auth: {auth-url: http://k, project-name: p}, region-name: one}
  domain: {auth: {domain_name: d, user_domain_name: mine}}
  nowhere: {profile: vexxhost, auth: {username: canary}}
  empty: {auth: {auth_url: http://k}, region_name: null, cacert: null}
"""
PUBLIC = """
public-clouds:
  vendor:
    auth: {auth_url: http://vendor, project_domain_id: default}
    interface: public
    regions: [north, {name: south, values: {auth: {auth_url: http://south}}}]
"""
SECURE = "clouds: {sold: {auth: {password: canary}}, hidden: {auth: {token: canary}}}"


@pytest.fixture(autouse=True)
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Write the files where programs look first."""
    for name, text in {
        "clouds.yaml": CLOUDS,
        "clouds-public.yaml": PUBLIC,
        "secure.yaml": SECURE,
    }.items():
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)


def read(name: str, region: str = "") -> Mapping[str, str]:
    return read_cloud(name, {"OS_REGION_NAME": region} if region else {})


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("plain", {"auth_url": "http://k", "username": "u", "region_name": "one"}),
        (
            "list",
            {
                "auth_url": "http://k",
                "username": "u",
                "interface": "internal",
                "region_name": "one",
            },
        ),
        ("commas", {"region_name": "one"}),
        ("names", {"region_name": "two"}),
        ("both", {"region_name": "two"}),
        (
            "sold",
            {
                "auth_url": "http://vendor",
                "project_domain_id": "default",
                "username": "u",
                "password": "canary",
                "interface": "public",
                "region_name": "north",
            },
        ),
        (
            "older",
            {
                "auth_url": "http://vendor",
                "project_domain_id": "default",
                "username": "u",
                "interface": "public",
                "region_name": "north",
            },
        ),
        (
            "own",
            {
                "auth_url": "http://own",
                "project_domain_id": "default",
                "interface": "public",
                "region_name": "mine",
            },
        ),
        (
            "dashes",
            {"auth_url": "http://k", "project_name": "p", "region_name": "one"},
        ),
        (
            "domain",
            {
                "domain_name": "d",
                "user_domain_name": "mine",
                "project_domain_name": "d",
            },
        ),
        ("hidden", {"token": "canary"}),
        ("empty", {"auth_url": "http://k"}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_all_that_is_said_is_put_together(name: str, said: dict[str, str]) -> None:
    assert read(name) == said


@pytest.mark.parametrize(
    ("name", "region", "auth_url"),
    [
        ("list", "two", "http://two"),
        ("list", "3", "http://k"),
        ("sold", "south", "http://south"),
        ("empty", "any", "http://k"),
    ],
)
def test_the_environment_chooses_a_region(
    name: str, region: str, auth_url: str
) -> None:
    said = read(name, region)

    assert (said["region_name"], said["auth_url"]) == (region, auth_url)
    assert said.get("interface", "public") == (
        "internal" if region == "3" else "public"
    )


@pytest.mark.parametrize(
    ("name", "region", "told"),
    [
        ("list", "four", "has no region `four`, but one, two, 3"),
        ("plain", "two", "has no region `two`, but one"),
        ("own", "north", "has no region `north`, but mine"),
        ("nowhere", "", "profile `vexxhost`, which no clouds-public.yaml knows"),
        ("nobody", "", "no clouds.yaml knows the cloud `nobody`"),
    ],
)
def test_what_is_missing_is_named(name: str, region: str, told: str) -> None:
    with pytest.raises(Invalid, match=told) as refused:
        read(name, region)

    assert "canary" not in refused.value.message


@pytest.mark.parametrize(
    "region", ["{values: {}}", "{name: [a]}", "{name: a, values: 5}", "[a]"]
)
def test_odd_regions_are_refused(tmp_path: Path, region: str) -> None:
    (tmp_path / "clouds.yaml").write_text(f"clouds: {{c: {{regions: [{region}]}}}}")

    with pytest.raises(Invalid, match="a region of the cloud `c`"):
        read("c")


def test_json_is_read_as_well(tmp_path: Path) -> None:
    (tmp_path / "clouds.yaml").unlink()
    (tmp_path / "clouds.json").write_text('{"clouds": {"j": {"auth": {"token": "t"}}}}')

    assert read("j") == {"token": "t"}
