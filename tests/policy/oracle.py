"""The reference rule engine, asked the same questions; the only module that knows it.

It is untyped, so this is where its types end.
"""

import logging
from collections.abc import Callable, Mapping
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
        enforcer = policy.Enforcer(conf, use_conf=False, default_rule=default)
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
        conf = cfg.ConfigOpts()
        conf([], default_config_files=[], default_config_dirs=[])
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


def canonical(text: object) -> str:
    """Return how the reference writes the rule."""
    return str(_parse(text))


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
