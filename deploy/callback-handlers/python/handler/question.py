"""What the co-signer asks, as far as the rules look at it.

The co-signer writes amounts, assets and addresses from the bytes that it will sign. What only the workspace claims is
listed in `extraParameters.countersign.unverified`, by member name. Here such a member is as good as missing: the rules
never see it. The note is the exception, as its rule can only reject.
"""

from dataclasses import dataclass
from typing import Any

MAX_TEXT_CHARACTERS = 256

Json = dict[str, Any]


class Malformed(Exception):
    """The payload is not a question that this handler knows."""


@dataclass(frozen=True)
class Transaction:
    """What a co-signer is about to sign. `None`: missing, or not verified."""

    request_id: str
    tx_id: str
    signer_id: str
    operation: str | None
    asset: str | None
    amount: str | None
    destinations: tuple[str, ...] | None
    note: str
    is_test: bool

    @classmethod
    def parse(cls, payload: Json) -> "Transaction":
        unverified = _unverified(payload)

        def verified(name: str) -> str | None:
            return None if name in unverified else _text(payload, name) or None

        operation = verified("operation")
        if operation is None and "operation" not in unverified:
            operation = "TRANSFER"  # what the protocol says of a missing one
        return cls(
            request_id=_request_id(payload),
            tx_id=_text(payload, "txId"),
            signer_id=_text(payload, "signerId"),
            operation=operation,
            asset=verified("asset"),
            amount=verified("amountStr"),
            destinations=_destinations(payload, unverified, verified("destAddress")),
            note=_text(payload, "note", limit=None),
            is_test=_countersign(payload).get("test") is True,
        )


@dataclass(frozen=True)
class ConfigChange:
    """A change of the workspace's configuration that asks for a word."""

    request_id: str
    type: str

    @classmethod
    def parse(cls, payload: Json) -> "ConfigChange":
        return cls(request_id=_request_id(payload), type=_text(payload, "type"))


def _destinations(payload: Json, unverified: frozenset[str], address: str | None) -> tuple[str, ...] | None:
    """Every address that something goes to, or `None` where one of them is missing or not verified."""
    entries = [] if "destinations" in unverified else payload.get("destinations") or []
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise Malformed("destinations is not a list of objects")
    claimed = not unverified.isdisjoint(("dstAddress", "destinations.dstAddress"))
    addresses = [None if claimed else _text(entry, "dstAddress") or None for entry in entries]
    if len(addresses) < 2:
        # The only entry may repeat the address, or leave it out.
        addresses = [a for a in addresses if a]
    if address:
        addresses.append(address)
    verified = tuple(a for a in addresses if a)
    return verified if verified and len(verified) == len(addresses) else None


def _countersign(payload: Json) -> Json:
    return _object(_object(payload, "extraParameters"), "countersign")


def _unverified(payload: Json) -> frozenset[str]:
    names = _countersign(payload).get("unverified")
    if names is None:
        return frozenset()
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise Malformed("extraParameters.countersign.unverified is not a list of names")
    # A member of each destination may be written `destinations[].name`.
    return frozenset(name.replace("[]", "") for name in names)


def _object(parent: Json, name: str) -> Json:
    value = parent.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise Malformed(f"{name} is not an object")
    return value


def _text(parent: Json, name: str, limit: int | None = MAX_TEXT_CHARACTERS) -> str:
    value = parent.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise Malformed(f"{name} is not a text")
    if limit is not None and len(value) > limit:
        raise Malformed(f"{name} is longer than {limit} characters")
    return value


def _request_id(payload: Json) -> str:
    request_id = _text(payload, "requestId")
    if not request_id:
        raise Malformed("requestId is missing")
    return request_id
