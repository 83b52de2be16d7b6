"""Tokens that lead to the next page of a list by name (AIP-158): the last name, in base64."""

from __future__ import annotations

import base64
import binascii

from streamlog.model.errors import Reason, StreamlogError


def encode_token(name: str) -> str:
    """The page after `name`."""
    return base64.urlsafe_b64encode(name.encode()).decode()


def decode_token(token: str, call: str) -> str | None:
    """The name after which to go on; None: from the beginning. Raises INVALID_REQUEST."""
    if not token:
        return None
    try:
        return base64.b64decode(token.encode(), b"-_", validate=True).decode()
    except (binascii.Error, ValueError) as error:
        raise StreamlogError(
            Reason.INVALID_REQUEST,
            f"page_token {token!r} is not one that {call} gave out",
        ) from error
