"""Password files: what is a user, what is a fault, what a change leaves alone."""

import bcrypt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagereg.identity.htpasswd import (
    hash_password,
    matches,
    parse_htpasswd,
    with_password,
)

HASH = hash_password("secret", cost=4)
OTHER = hash_password("other", cost=4)


def test_every_spelling_of_bcrypt_is_taken() -> None:
    for prefix in ("$2y$", "$2a$", "$2b$"):
        hashed = prefix + HASH[4:]
        assert parse_htpasswd(f"alice:{hashed}\n").hashes == {"alice": hashed}
        assert matches("secret", hashed)
        assert not matches("Secret", hashed)


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("alice:$apr1$abc$def", "line 2: not a bcrypt hash"),
        ("alice:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=", "line 2: not a bcrypt hash"),
        ("alice:plain", "line 2: not a bcrypt hash"),
        (f"alice:{HASH}x", "line 2: not a bcrypt hash"),
        (f"alice:$2y$99${HASH[7:]}", "line 2: not a bcrypt hash"),
        (f":{HASH}", "line 2: not `name:hash`"),
        ("alice", "line 2: not `name:hash`"),
        ("alice:", "line 2: not `name:hash`"),
    ],
    ids=["apr1", "sha", "plain", "long", "cost", "nameless", "no colon", "no hash"],
)
def test_other_lines_are_faults_that_name_no_hash(line: str, fault: str) -> None:
    found = parse_htpasswd(f"bob:{HASH}\n{line}\n")
    assert list(found.faults) == [fault]
    assert found.hashes == {"bob": HASH}


def test_the_first_line_of_a_name_decides() -> None:
    found = parse_htpasswd(f"a:{HASH}\na:{OTHER}\nb:plain\nb:{OTHER}\n")
    assert found.hashes == {"a": HASH}
    assert found.refused == {"b"}


def test_blank_lines_comments_and_further_fields_are_skipped() -> None:
    found = parse_htpasswd(f"\n# staff\n  \nalice:{HASH}:Alice, staff\n")
    assert (found.hashes, found.faults) == ({"alice": HASH}, [])


def test_a_long_password_is_compared_as_far_as_bcrypt_looks() -> None:
    hashed = bcrypt.hashpw(b"x" * 72, bcrypt.gensalt(4)).decode()
    assert matches("x" * 100, hashed)
    assert not matches("x" * 71, hashed)
    assert not matches("x\0" * 3, hashed)


@pytest.mark.parametrize("password", ["", "x" * 73, "a\0b", "é" * 37])
def test_no_new_password_is_cut_or_empty(password: str) -> None:
    with pytest.raises(ValueError, match="1 to 72 bytes"):
        hash_password(password, cost=4)


def test_new_hashes_are_spelt_as_apache_does() -> None:
    assert HASH.startswith("$2y$04$")
    assert hash_password("secret", cost=4) != HASH


NAMES = st.text("abcxyz.@-", min_size=1, max_size=5)


@given(
    users=st.dictionaries(NAMES, st.sampled_from([HASH, OTHER]), max_size=4),
    name=NAMES,
)
def test_a_change_touches_one_user(users: dict[str, str], name: str) -> None:
    text = "# staff\n" + "".join(f"{n}:{h}\n" for n, h in users.items())
    new = HASH.replace("$04$", "$05$")
    changed = with_password(text, name, new)
    assert parse_htpasswd(changed).hashes == {**users, name: new}
    assert changed.startswith("# staff\n")


def test_a_name_that_stood_twice_stands_once() -> None:
    changed = with_password(f"a:{HASH}\nb:{HASH}\na:{HASH}\n", "a", OTHER)
    assert changed == f"a:{OTHER}\nb:{HASH}\n"
