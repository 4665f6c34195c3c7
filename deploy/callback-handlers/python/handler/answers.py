"""Idempotency: the same request id gets the same answer, and never serves for other content.

A co-signer asks again after a time-out and after a restart. Here the answers live in memory; keep yours in a database,
so that a restart of the handler does not change its mind either.
"""

import hashlib
import json
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from .policy import Decision, reject

MAX_ANSWERS = 10_000

# In its strict mode a co-signer dates each attempt anew.
_OF_THE_ATTEMPT = ("exp", "iat", "jti", "nbf")


class Answers:
    """The answers given; the oldest are forgotten first."""

    def __init__(self) -> None:
        self._given: OrderedDict[str, tuple[bytes, Decision]] = OrderedDict()

    def get_or_decide(self, id: str, content: bytes, decide: Callable[[], Decision]) -> tuple[Decision, bool]:
        """The answer given before to this id with this content, or a new one; and whether it was given before.

        The same id with other content is rejected. `RETRY` is no answer yet: the next time is decided anew.
        """
        given = self._given.get(id)
        if given is not None:
            before, decision = given
            if before == content:
                return decision, True
            return reject("this request id was used for other content"), True
        decision = decide()
        if decision.action != "RETRY":
            self._given[id] = (content, decision)
            if len(self._given) > MAX_ANSWERS:
                self._given.popitem(last=False)
        return decision, False


def digest(payload: dict[str, Any]) -> bytes:
    """A hash over everything that was asked."""
    content = {name: value for name, value in payload.items() if name not in _OF_THE_ATTEMPT}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).digest()
