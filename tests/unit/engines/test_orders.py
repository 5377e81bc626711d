"""What a shepherd is told to run, and what it is known to have got."""

from __future__ import annotations

import pytest

from stoker.core.errors import StoreError
from stoker.engines.orders import Orders
from support.engine import unit


def test_an_environment_counts_as_sent_when_it_is_in_a_message() -> None:
    contents = {"first": b"A=1"}

    def content(key: str) -> bytes:
        if key not in contents:
            raise StoreError("the records are away")
        return contents[key]

    orders = Orders(content)
    units = [
        unit(f"{n}.0.batch", "true", environment_key=each)
        for n, each in enumerate(("first", "second"))
    ]
    with pytest.raises(StoreError):
        orders.environments(units)
    contents["second"] = b"B=2"
    message = orders.environments(units)
    assert message is not None
    assert b'"first"' in message
    assert b'"second"' in message
    assert orders.environments(units) is None
