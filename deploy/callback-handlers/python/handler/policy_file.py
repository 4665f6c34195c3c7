"""The policy file. An unknown member is an error: a rule with a typing error must not be lost."""

import json
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from . import amount

# What holds where no policy file is given. Never use it for real keys.
DEMONSTRATION = """{
    "operations": "any", "assets": "any", "destinations": "any", "rejectNotes": ["reject-me"],
    "otherConfigChanges": "IGNORE"
}"""

_MEMBERS = ("operations", "assets", "destinations", "rejectNotes", "configChanges", "otherConfigChanges")


class InvalidPolicy(Exception):
    """The policy file is not as expected."""


class AllowList:
    """Names that are allowed; `None` is any."""

    def __init__(self, names: frozenset[str] | None) -> None:
        self._names = names

    @property
    def is_any(self) -> bool:
        return self._names is None

    def allows(self, name: str) -> bool:
        return self._names is None or name in self._names


@dataclass(frozen=True)
class Limits:
    """How much of an asset may leave at once."""

    max_amount: Decimal | None
    retry_above: Decimal | None


@dataclass(frozen=True)
class Rules:
    operations: AllowList
    # None is any.
    assets: dict[str, Limits] | None
    destinations: AllowList
    reject_notes: frozenset[str]
    config_changes: AllowList
    other_config_changes: str

    @classmethod
    def parse(cls, text: str) -> "Rules":
        try:
            file = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise InvalidPolicy(f"the policy is not JSON: {error}") from error
        rules = _object(file, "the policy", _MEMBERS)
        assets = rules.get("assets", {})
        destinations = _allow_list(rules, "destinations")
        other = rules.get("otherConfigChanges", "REJECT")
        if other not in ("REJECT", "IGNORE"):
            raise InvalidPolicy("otherConfigChanges is neither REJECT nor IGNORE")
        return cls(
            operations=AllowList(_allow_list(rules, "operations")),
            assets=None if assets == "any" else _limits(assets),
            destinations=AllowList(None if destinations is None else frozenset(map(comparable_address, destinations))),
            reject_notes=_names(rules.get("rejectNotes", []), "rejectNotes"),
            config_changes=AllowList(_allow_list(rules, "configChanges")),
            other_config_changes=other,
        )


def comparable_address(address: str) -> str:
    """Hexadecimal addresses differ in the case of letters only by their checksum; others by meaning."""
    return address.lower() if address[:2] in ("0x", "0X") else address


def _object(value: Any, what: str, known: tuple[str, ...]) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InvalidPolicy(f"{what} is not an object")
    for name in value:
        if name not in known:
            raise InvalidPolicy(f"{what} has an unknown member {name}")
    return value


def _names(value: Any, what: str) -> frozenset[str]:
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise InvalidPolicy(f"{what} is not a list of texts")
    return frozenset(value)


def _allow_list(rules: dict[str, Any], name: str) -> frozenset[str] | None:
    value = rules.get(name, [])
    return None if value == "any" else _names(value, name)


def _limits(assets: Any) -> dict[str, Limits]:
    if not isinstance(assets, dict):
        raise InvalidPolicy("assets is not an object")
    return {asset: _limits_of(asset, limits) for asset, limits in assets.items()}


def _limits_of(asset: str, value: Any) -> Limits:
    limits = _object(value, f"assets.{asset}", ("maxAmount", "retryAbove"))
    max_amount = _amount(limits, "maxAmount", asset)
    retry_above = _amount(limits, "retryAbove", asset)
    if retry_above is not None and (max_amount is None or retry_above > max_amount):
        raise InvalidPolicy(f"assets.{asset}.retryAbove is not below its maxAmount")
    return Limits(max_amount, retry_above)


def _amount(limits: dict[str, Any], name: str, asset: str) -> Decimal | None:
    if name not in limits:
        return None
    text = limits[name]
    parsed = amount.parse(text) if isinstance(text, str) else None
    if parsed is None:
        raise InvalidPolicy(f'assets.{asset}.{name} is not a decimal number in quotes, such as "12.5"')
    return parsed
