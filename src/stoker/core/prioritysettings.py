"""The settings that say which jobs go first, under Slurm's names.

Source: slurm.conf(5), "Priority..."; defaults are Slurm's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from stoker.core.units import NotationError, parse_time_limit

_WEIGHT_MAX = 4_294_967_295

Weight = Annotated[int, Meta(ge=0, le=_WEIGHT_MAX)]


class PrioritySettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How priorities are worked out, with ``priority_type = "multifactor"``."""

    priority_type: Annotated[
        Literal["basic", "multifactor"],
        Meta(
            description="basic: first come, first served; multifactor: the sum of factors between "
            "0 and 1, each times its weight, less the job's nice value."
        ),
    ] = "basic"
    priority_weight_age: Annotated[
        Weight, Meta(description="What waiting is worth, in full after `priority_max_age`.")
    ] = 0
    priority_weight_assoc: Annotated[
        Weight, Meta(description="What the priority of the job's association is worth.")
    ] = 0
    priority_weight_fairshare: Annotated[
        Weight, Meta(description="What it is worth to have used less than one's share.")
    ] = 0
    priority_weight_job_size: Annotated[
        Weight, Meta(description="What asking for the whole machine is worth.")
    ] = 0
    priority_weight_partition: Annotated[
        Weight, Meta(description="What the partition with the highest job factor is worth.")
    ] = 0
    priority_weight_qos: Annotated[
        Weight, Meta(description="What the quality of service of the highest priority is worth.")
    ] = 0
    priority_weight_tres: Annotated[
        str,
        Meta(description="What all of a resource is worth, as in cpu=1000,mem=500,gres/gpu=2000."),
    ] = ""
    priority_max_age: Annotated[
        str, Meta(description="After how long waiting is worth no more.")
    ] = "7-0"
    priority_favor_small: Annotated[
        bool, Meta(description="Whether small jobs, not large ones, have the large size factor.")
    ] = False
    priority_decay_half_life: Annotated[
        str, Meta(description="After how long use counts half as much; 0: it never fades.")
    ] = "7-0"
    priority_usage_reset_period: Annotated[
        Literal["NONE", "NOW", "DAILY", "WEEKLY", "MONTHLY", "QUARTERLY", "YEARLY"],
        Meta(description="When use is forgotten; NOW: at each start."),
    ] = "NONE"
    priority_calc_period: Annotated[
        str, Meta(description="How often use, fair shares and priorities are worked out anew.")
    ] = "5"


class PriorityTimes(msgspec.Struct, frozen=True):
    """The spans of time in those settings, in seconds, and the weights of resources."""

    max_age_s: float
    half_life_s: float
    calc_period_s: float
    tres_weights: Mapping[str, int]

    @classmethod
    def of(cls, settings: PrioritySettings) -> PriorityTimes:
        """Read the notations.

        Raises:
            NotationError: One of them says nothing sensible.
        """
        return cls(
            max_age_s=parse_time_limit(settings.priority_max_age),
            half_life_s=parse_time_limit(settings.priority_decay_half_life),
            calc_period_s=parse_time_limit(settings.priority_calc_period),
            tres_weights=parse_weights(settings.priority_weight_tres),
        )


def parse_weights(text: str) -> Mapping[str, int]:
    """Read ``cpu=1000,mem=500``.

    Raises:
        NotationError: It says nothing sensible.
    """
    found: dict[str, int] = {}
    for word in filter(None, text.split(",")):
        name, equals, value = word.partition("=")
        if not (name and equals and value.isascii() and value.isdecimal()):
            raise NotationError("priority weights", text, "write cpu=1000,mem=500")
        found[name.lower()] = min(int(value[:11]), _WEIGHT_MAX)
    return found
