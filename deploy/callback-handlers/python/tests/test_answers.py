"""The memory of answers."""

from handler.answers import MAX_ANSWERS, Answers, digest
from handler.policy import APPROVE, IGNORE, RETRY


def test_the_same_question_gets_the_same_answer_and_another_one_under_its_id_is_rejected() -> None:
    answers = Answers()
    assert answers.get_or_decide("a", b"1", lambda: APPROVE) == (APPROVE, False)
    assert answers.get_or_decide("a", b"1", lambda: IGNORE) == (APPROVE, True)
    assert answers.get_or_decide("a", b"2", lambda: APPROVE)[0].action == "REJECT"
    assert answers.get_or_decide("a", b"1", lambda: IGNORE) == (APPROVE, True)


def test_a_retry_is_decided_anew() -> None:
    answers = Answers()
    assert answers.get_or_decide("a", b"1", lambda: RETRY) == (RETRY, False)
    assert answers.get_or_decide("a", b"1", lambda: APPROVE) == (APPROVE, False)


def test_memory_is_bounded_and_the_oldest_goes_first() -> None:
    answers = Answers()
    for i in range(MAX_ANSWERS + 1):
        answers.get_or_decide(str(i), b"", lambda: APPROVE)
    assert answers.get_or_decide("1", b"", lambda: IGNORE) == (APPROVE, True)
    assert answers.get_or_decide("0", b"", lambda: IGNORE) == (IGNORE, False)


def test_the_content_is_everything_but_the_time_of_the_attempt() -> None:
    asked = {"requestId": "1", "asset": "ETH", "iat": 1, "jti": "a"}
    assert digest(asked) == digest({"jti": "b", "exp": 2, "nbf": 3, "asset": "ETH", "requestId": "1"})
    assert digest(asked) != digest({**asked, "asset": "BTC"})
