"""What is approved. The rules come from a JSON file; **put rules of your own into `decide`**.

What no rule allows is rejected. Decide on what the co-signer verified: see `question.py`.
"""

from dataclasses import dataclass

from . import amount
from .policy_file import Rules, comparable_address
from .question import ConfigChange, Transaction

# Operations that sign something handed over whole: no amount and no destination is shown for these.
WITHOUT_AMOUNT = ("RAW", "TYPED_MESSAGE")


@dataclass(frozen=True)
class Decision:
    """`APPROVE`, `REJECT`, `RETRY` (ask again later) or `IGNORE` (no opinion; for changes of configuration only)."""

    action: str
    reason: str = ""


APPROVE = Decision("APPROVE")
RETRY = Decision("RETRY")
IGNORE = Decision("IGNORE")


def reject(reason: str) -> Decision:
    return Decision("REJECT", reason)


def decide(rules: Rules, transaction: Transaction) -> Decision:
    """Decides on a transaction."""
    # A claim may make you reject, never approve: so this rule may look at a note that is not verified.
    if transaction.note in rules.reject_notes:
        return reject(f'the note is "{transaction.note}"')
    if not rules.operations.is_any:
        if transaction.operation is None:
            return reject("the operation is missing or not verified")
        if not rules.operations.allows(transaction.operation):
            return reject(f"the operation {transaction.operation} is not allowed")
    if rules.assets is not None:
        if transaction.asset is None:
            return reject("the asset is missing or not verified")
        if transaction.asset not in rules.assets:
            return reject(f"the asset {transaction.asset} is not allowed")
    if transaction.operation in WITHOUT_AMOUNT:
        return APPROVE
    return _decide_on_destinations(rules, transaction) or _decide_on_amount(rules, transaction)


def _decide_on_destinations(rules: Rules, transaction: Transaction) -> Decision | None:
    if rules.destinations.is_any:
        return None
    if transaction.destinations is None:
        return reject("a destination address is missing or not verified")
    for address in transaction.destinations:
        if not rules.destinations.allows(comparable_address(address)):
            return reject(f"the destination {address} is not allowed")
    return None


def _decide_on_amount(rules: Rules, transaction: Transaction) -> Decision:
    if rules.assets is None:
        return APPROVE
    limits = rules.assets.get(transaction.asset or "")
    if limits is None or limits.max_amount is None:
        return reject(f"no maximum is set for the asset {transaction.asset}")
    if transaction.amount is None:
        return reject("the amount is missing or not verified")
    wanted = amount.parse(transaction.amount)
    if wanted is None:
        return reject("the amount is not a decimal number")
    if wanted > limits.max_amount:
        return reject(f"the amount {transaction.amount} is over the maximum of {transaction.asset}")
    if limits.retry_above is not None and wanted > limits.retry_above:
        # Here somebody would be asked. The co-signer asks again, under the same request id.
        return RETRY
    return APPROVE


def decide_on_change(rules: Rules, change: ConfigChange) -> Decision:
    """Decides on a change of configuration."""
    if rules.config_changes.allows(change.type):
        return APPROVE
    if rules.other_config_changes == "IGNORE":
        return IGNORE
    return reject(f"the configuration change {change.type} is not allowed")
