"""The reference rule engine, asked the same questions; the only module that knows it.

It is untyped, so this is where its types end.
"""

import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import cast

from oslo_config import cfg
from oslo_policy import _checks, _parser, policy

from imagereg.policy.actions import DEFAULTS, Default

# It logs every text that it cannot parse, with a traceback.
logging.getLogger("oslo_policy").setLevel(logging.CRITICAL)


Values = Mapping[str, object]


class OracleFailed(Exception):
    """The reference raised, which a service answers with 500: refused."""


class Oracle:
    """The reference with a set of bare rules, or with a service's defaults and file."""

    def __init__(self, enforcer: policy.Enforcer) -> None:
        self._enforcer = enforcer

    @classmethod
    def of_texts(
        cls, texts: Mapping[str, object], default: str = "default"
    ) -> "Oracle":
        """Return the reference with these rules alone."""
        conf = cfg.ConfigOpts()
        conf([], default_config_files=[], default_config_dirs=[])
        rules = {name: _parse(text) for name, text in texts.items()}
        enforcer = policy.Enforcer(_conf(), use_conf=False, default_rule=default)
        enforcer.set_rules(policy.Rules(rules, default), use_conf=False)
        return cls(enforcer)

    @classmethod
    def of_service(
        cls,
        file: Path,
        registered: Mapping[str, Default] = DEFAULTS,
        *,
        enforce_new_defaults: bool = True,
    ) -> "Oracle":
        """Return the reference as a service with these defaults would use it."""
        conf = _conf()
        enforcer = policy.Enforcer(conf, policy_file=str(file))
        conf.set_override("enforce_new_defaults", enforce_new_defaults, "oslo_policy")
        enforcer.suppress_default_change_warnings = True
        enforcer.suppress_deprecation_warnings = True
        enforcer.register_defaults([_registered(one) for one in registered.values()])
        enforcer.load_rules()
        return cls(enforcer)

    def allows(self, name: str, target: Values, credentials: Values) -> bool:
        """Return the reference's answer, by way of its public entrance.

        Raises:
            OracleFailed: it raised.
        """
        try:
            return bool(self._enforcer.enforce(name, dict(target), dict(credentials)))
        except Exception as error:
            raise OracleFailed(repr(error)) from error

    def bare_check(self, name: str) -> Callable[[Values, dict[str, object]], bool]:
        """Return the check of a rule, to be called without the entrance."""
        check = self._enforcer.rules[name]

        def ask(target: Values, credentials: dict[str, object]) -> bool:
            return bool(
                _checks._check(check, target, credentials, self._enforcer, name)
            )

        return ask


def is_refused_text(text: str) -> bool:
    """Return whether the reference gives up on the whole text and refuses."""
    return text != "!" and isinstance(_parse(text), _checks.FalseCheck)


def is_broken(text: str) -> bool:
    """Return whether the reference chokes on a part of ``text``, whatever the data."""
    leaves = list(_leaves(_parse(text)))
    # What has no colon became a "!", so those that nobody wrote count.
    refused = sum(isinstance(leaf, _checks.FalseCheck) for leaf in leaves)
    written = sum(word.strip("()") == "!" for word in text.split())
    return refused > written or any(map(_is_broken, leaves))


def _is_broken(leaf: _checks.BaseCheck) -> bool:
    """Return whether a leaf fails for any target, or would render the whole of it."""
    if not isinstance(leaf, _checks.RoleCheck | _checks.GenericCheck):
        return False
    if "%s" in leaf.match.replace("%%", ""):
        return True
    enforcer = cast("policy.Enforcer", None)
    try:
        leaf(defaultdict(lambda: 1), {"roles": []}, enforcer)
    except Exception:  # noqa: BLE001 - it raises whatever Python does on its way
        return True
    return False


def _leaves(check: object) -> Iterator[_checks.BaseCheck]:
    if isinstance(check, _checks.AndCheck | _checks.OrCheck):
        for rule in check.rules:
            yield from _leaves(rule)
    elif isinstance(check, _checks.NotCheck):
        yield from _leaves(check.rule)
    else:
        yield cast("_checks.BaseCheck", check)


# A tree of ("and", ...), ("or", ...), ("not", ...) and the texts of leaves.
Shape = str | tuple["Shape", ...]


def shape(text: str) -> Shape:
    """Return the tree that the reference makes of ``text``.

    A group directly inside one of its own kind is dissolved, because the reference
    does so now and then: `a or (b and c) and d` is `a or (b and c and d)` to it.
    """
    return _shape(_parse(text))


def flat(kind: str, parts: Iterable[Shape]) -> Shape:
    """Return the group of ``parts``, those of the same kind dissolved."""
    spread: list[Shape] = [kind]
    for part in parts:
        spread.extend(part[1:] if part[0] == kind else [part])
    return tuple(spread)


def _shape(check: object) -> Shape:
    match check:
        case _checks.NotCheck():
            return ("not", _shape(check.rule))
        case _checks.AndCheck():
            return flat("and", map(_shape, check.rules))
        case _checks.OrCheck():
            return flat("or", map(_shape, check.rules))
    return str(check)


def _conf() -> cfg.ConfigOpts:
    conf = cfg.ConfigOpts()
    conf([], default_config_files=[], default_config_dirs=[])
    return conf


def _parse(text: object) -> _checks.BaseCheck:
    return _parser.parse_rule(cast("str | list[str | list[str]]", text))


def _registered(default: Default) -> policy.DocumentedRuleDefault:
    deprecated = None
    if default.old is not None:
        deprecated = policy.DeprecatedRule(
            default.old_name or default.name,
            default.old,
            deprecated_reason="-",
            deprecated_since="-",
        )
    return policy.DocumentedRuleDefault(
        default.name,
        default.check,
        default.guards,
        [{"path": "/", "method": "GET"}],
        deprecated_rule=deprecated,
        scope_types=[default.scope] if default.scope else None,
    )
