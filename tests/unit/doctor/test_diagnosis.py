"""What answers and errors mean that no server at hand gives."""

from __future__ import annotations

import pytest

from ws4redis.doctor.client import Answer, Target
from ws4redis.doctor.diagnosis import explain, explain_error
from ws4redis.doctor.report import Level

TARGET = Target.parse("http://example.com", "/ws/", "foo")
OURS = {"x-ws4redis-refused": "handshake"}


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (Answer(101, {}), "accepts another handshake than ours"),
        (Answer(500, OURS, "Internal error."), "The loop failed: Internal error."),
        (Answer(426, OURS, "Version."), "The loop refuses with 426: Version."),
        (Answer(504, {"server": "nginx"}), "The web server (nginx) does not reach the loop (504)."),
        (Answer(401, {}), "The web server or Django forbids it (401)."),
        (Answer(400, {}, "plain HTTP request was sent to HTTPS port"), "expects TLS there"),
        (Answer(418, {}), "/ws/foo reaches Django or files, not the loop (418)."),
    ],
)
def test_an_answer_is_explained(answer: Answer, message: str) -> None:
    finding = explain(answer, TARGET)
    assert finding.level is Level.PROBLEM
    assert message in finding.message
    assert finding.hint


def test_only_the_first_line_of_a_body_is_shown() -> None:
    answer = Answer(500, OURS, "one\n" + "two" * 1000)
    assert explain(answer, TARGET).message == "The loop failed: one"


def test_any_other_error_is_named() -> None:
    finding = explain_error(OSError("Network is unreachable"), TARGET, 5)
    assert finding.message == "example.com:80 can't be reached: Network is unreachable."
