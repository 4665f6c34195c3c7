"""The rules, by the cases that all samples share."""

import json
from pathlib import Path
from typing import Any

import pytest

from handler.policy import decide, decide_on_change
from handler.policy_file import DEMONSTRATION, InvalidPolicy, Rules
from handler.question import ConfigChange, Malformed, Transaction

SAMPLES = Path(__file__).parent.parent.parent
EXAMPLE = (SAMPLES / "policy.example.json").read_text("utf-8")
TRANSACTIONS = json.loads((SAMPLES / "cases/transactions.json").read_text("utf-8"))
POLICIES = json.loads((SAMPLES / "cases/policies.json").read_text("utf-8"))


def by_name(case: dict[str, Any]) -> str:
    return str(case.get("name") or case["type"])


@pytest.mark.parametrize("case", TRANSACTIONS["cases"], ids=by_name)
def test_the_example_policy_decides(case: dict[str, Any]) -> None:
    payload = {k: v for k, v in {**TRANSACTIONS["transaction"], **case["change"]}.items() if v is not None}
    if "error" in case:
        with pytest.raises(Malformed) as error:
            Transaction.parse(payload)
        assert str(error.value) == case["error"]
        return
    decision = decide(Rules.parse(EXAMPLE), Transaction.parse(payload))
    assert (decision.action, decision.reason) == (case["action"], case.get("reason", ""))


@pytest.mark.parametrize("case", POLICIES["decisions"], ids=by_name)
def test_other_policies_decide(case: dict[str, Any]) -> None:
    decision = decide(Rules.parse(json.dumps(case["policy"])), Transaction.parse(case["transaction"]))
    assert (decision.action, decision.reason) == (case["action"], case.get("reason", ""))


@pytest.mark.parametrize("case", POLICIES["configChanges"], ids=by_name)
def test_changes_of_configuration_are_decided(case: dict[str, Any]) -> None:
    change = ConfigChange.parse({"requestId": "1", "type": case["type"]})
    decision = decide_on_change(Rules.parse(json.dumps(case["policy"])), change)
    assert (decision.action, decision.reason) == (case["action"], case.get("reason", ""))


@pytest.mark.parametrize("text", POLICIES["refused"])
def test_a_policy_that_is_not_as_expected_is_refused(text: str) -> None:
    with pytest.raises(InvalidPolicy):
        Rules.parse(text)


def test_the_demonstration_rejects_one_note_only() -> None:
    rules = Rules.parse(DEMONSTRATION)
    for payload in [{"requestId": "1"}, {"requestId": "1", "operation": "RAW", "asset": "X", "note": "rent"}]:
        assert decide(rules, Transaction.parse(payload)).action == "APPROVE"
    rejected = decide(rules, Transaction.parse({"requestId": "1", "note": "reject-me"}))
    assert rejected.reason == 'the note is "reject-me"'
