"""The steps of an upload in pieces, against an oracle of a few lines."""

import base64
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.digests import sha256
from protocol.errors import ServiceUnavailable
from protocol.resumable import Answer, Step, upload_steps


@dataclass(slots=True)
class Receiver:
    """What has arrived. `lost`: numbers of requests whose answer never comes, though the request did."""

    lost: set[int] = field(default_factory=set[int])
    data: bytes = b""
    asked: int = 0

    def answer(self, step: Step) -> Answer | None:
        self.asked += 1
        if step.method == "PATCH":
            assert int(step.headers["Upload-Offset"]) == len(self.data)
            self.data += step.body
        headers = {"upload-offset": str(len(self.data)), "location": "/v1/uploads/x"}
        return None if self.asked in self.lost else Answer(204, headers)


def run(receiver: Receiver, data: bytes, piece_bytes: int) -> bool:
    """False: an answer was lost on the way."""
    steps = upload_steps(
        sha256(data), len(data), lambda offset, count: data[offset : offset + count], piece_bytes
    )
    step = next(steps)
    while True:
        answer = receiver.answer(step)
        if answer is None:
            return False
        try:
            step = steps.send(answer)
        except StopIteration:
            return True


@given(st.binary(max_size=60), st.integers(1, 20), st.sets(st.integers(1, 12), max_size=6))
def test_upload__answers_lost_anywhere__each_byte_arrives_once(
    data: bytes, piece_bytes: int, lost: set[int]
) -> None:
    receiver = Receiver(lost)
    while not run(receiver, data, piece_bytes):
        pass
    assert receiver.data == data


def test_upload__first_step__names_digest_and_length() -> None:
    step = next(upload_steps(sha256(b"abc"), 3, lambda offset, count: b"abc"))
    name, _, value = step.headers["Upload-Metadata"].partition(" ")
    assert (step.method, step.target, step.headers["Upload-Length"], name) == (
        "POST",
        "/v1/uploads",
        "3",
        "sha256",
    )
    assert base64.b64decode(value).decode() == sha256(b"abc").hex()


@pytest.mark.parametrize(
    "answers",
    [
        [Answer(201, {"upload-offset": "0"})],
        [Answer(201, {"location": "https://elsewhere/x", "upload-offset": "0"})],
        [Answer(201, {"location": "/v1/uploads/x", "upload-offset": "-1"})],
        [
            Answer(201, {"location": "/v1/uploads/x", "upload-offset": "0"}),
            Answer(409, {"upload-offset": "2"}),
        ],
        [Answer(201, {"location": "/v1/uploads/x", "upload-offset": "0"}), Answer(404)],
        [
            Answer(201, {"location": "/v1/uploads/x", "upload-offset": "1"}),
            Answer(204, {"upload-offset": "1"}),
        ],
        [
            Answer(201, {"location": "/v1/uploads/x", "upload-offset": "1"}),
            Answer(204, {"upload-offset": "9"}),
        ],
    ],
)
def test_upload__answer_makes_no_sense__is_begun_anew(answers: list[Answer]) -> None:
    steps = upload_steps(sha256(b"abc"), 3, lambda offset, count: b"abc"[offset : offset + count])
    next(steps)
    with pytest.raises(ServiceUnavailable):
        for answer in answers:
            steps.send(answer)
