"""Amounts: decimal texts, compared as decimals. A binary float would round 0.1 and 12345678.000000000000000001."""

import re
from decimal import Decimal

_AMOUNT = re.compile(r"[0-9]{1,100}(\.[0-9]{1,100})?")


def parse(text: str) -> Decimal | None:
    """An amount such as `12.5`; `None` for signs, exponents, `NaN` and everything else."""
    return Decimal(text) if _AMOUNT.fullmatch(text) else None
