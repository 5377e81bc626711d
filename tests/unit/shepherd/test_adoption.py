from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from stoker.shepherd.adoption import Adoption
from stoker.shepherd.units import Group


@pytest.mark.parametrize("nonsense", [{}, {"group": []}, {"group": "1.0", "notices": 7}])
def test_an_intent_of_which_nothing_can_be_made_is_damage_and_no_reason_not_to_start(
    nonsense: dict[str, Any],
) -> None:
    herd: Any = SimpleNamespace(groups={}, units={}, group_of=Group)
    adoption = Adoption(herd, SimpleNamespace(), SimpleNamespace(), "b")  # type: ignore[arg-type]
    intent = {"key": "1.0.batch", "token": "t", "lane": None, **nonsense}
    assert adoption.adopt([["journal", 1, "b", 0.0], ["intent", intent]]) == []
    (damage,) = adoption.damage
    assert "1.0.batch" in damage
