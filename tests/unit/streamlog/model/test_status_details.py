from __future__ import annotations

import pytest

from streamlog.model import status_details
from streamlog.model.errors import Reason


def test_what_was_encoded_is_decoded() -> None:
    """Reason, message, values and the wait survive the trip; the same input gives equal bytes."""
    metadata = {"leader_address": "10.0.0.1:9092", "a": "b"}
    encoded = status_details.encode(Reason.NOT_LEADER, "node 2 leads t/0", metadata, 1_250)

    assert encoded == status_details.encode(
        Reason.NOT_LEADER, "node 2 leads t/0", dict(reversed(metadata.items())), 1_250
    )
    decoded = status_details.decode(encoded)
    assert decoded == status_details.StatusDetails(
        Reason.NOT_LEADER.info.code, "node 2 leads t/0", "NOT_LEADER", metadata, 1_250
    )


def test_the_bytes_are_the_public_wire_format() -> None:
    """The layout is that of google.rpc.Status, written here by hand, not by the module itself."""
    reason, domain = b"\x0a\x0dUNKNOWN_TOPIC", b"\x12\x09streamlog"
    info = reason + domain
    url = b"type.googleapis.com/google.rpc.ErrorInfo"
    any_ = b"\x0a" + bytes([len(url)]) + url + b"\x12" + bytes([len(info)]) + info
    expected = b"\x08\x05" + b"\x12\x02no" + b"\x1a" + bytes([len(any_)]) + any_

    assert status_details.encode(Reason.UNKNOWN_TOPIC, "no") == expected


@pytest.mark.parametrize("details", [b"", b"\xff\xff\xff", b"\x12\x05ab"])
def test_bytes_that_are_no_status_are_none(details: bytes) -> None:
    """A proxy may put anything into the trailer; that must not hide the status code."""
    assert status_details.decode(details) is None


def test_a_reason_of_another_domain_is_not_ours() -> None:
    """Only reasons of our own domain have our meaning."""
    encoded = status_details.encode(Reason.UNKNOWN_TOPIC, "no")
    decoded = status_details.decode(encoded.replace(b"streamlog", b"elsewhere"))
    assert decoded is not None
    assert decoded.reason == ""
