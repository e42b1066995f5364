"""What if: what other capacities, rules or costs would bring, from the same solver, and how sure that is.

An alternative is solved as the plan is, by rule, of the same scores: the rules decide what is allowed, and a cost what
an action is worth. Capacities that it does not name are as planned.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from features.errors import SettingsError
from features.settings import MOST, PortfolioSettings
from serving.capacities import Capacities, parse_capacities, resolve_capacities
from serving.contact_rules.packs import rule_packs
from serving.day import Day, Scenario, in_scenario
from serving.planning import DayPlan, plan_of, used_of
from serving.uncertainty import errors_of

#: How a what-if names a rule pack, and begins the name of a cost.
RULES, COST = "rules", "cost."


@dataclass(frozen=True)
class Alternative:
    """What a scenario would bring, by rule alone, in what the order goes by: money, or what a label counts.

    `value` is what all rows add together and `difference` what they add to those of the plan. At 95 %, that is on
    average between `low` and `high`, and of a single day comes what lies between `day_low` and `day_high`
    (`serving.uncertainty`); None where effects are not known, or not how sure they are.

    `rows` is by channel, `used` how much is taken of each named capacity, and `prices` what one more of each capacity
    would add. `rules` and `costs` are those that the scenario changes.
    """

    capacities: Mapping[str, float]
    rules: str | None
    costs: Mapping[str, float]
    value: float
    difference: float
    low: float | None
    high: float | None
    day_low: float | None
    day_high: float | None
    rows: Mapping[str, int]
    used: Mapping[str, float]
    prices: Mapping[str, float]


def parse_what_if(text: str) -> dict[str, float | str]:
    """Read a what-if as it is written on the command line.

    >>> parse_what_if("call=500, rules=us-reg-f, cost.call=2.5")
    {'call': 500, 'cost.call': 2.5, 'rules': 'us-reg-f'}

    Raises:
        SettingsError: a part is not NAME=VALUE, or a name comes twice.
    """
    parts = [part.strip() for part in text.split(",")]
    packs = [part.partition("=")[2].strip() for part in parts if part.partition("=")[0].strip() == RULES]
    if len(packs) > 1:
        raise SettingsError(f"a what-if has one rule pack, got {', '.join(packs)}; name one")
    numbers = parse_capacities([part for part in parts if part.partition("=")[0].strip() != RULES])
    return {**numbers, **dict.fromkeys([RULES] * len(packs), "".join(packs))}


def scenarios_of(
    plan: Capacities, asked: Sequence[Mapping[str, float | str]], settings: PortfolioSettings
) -> list[Scenario]:
    """The scenario of each what-if: what it states, the rest as planned.

    Raises:
        SettingsError: one states what the portfolio does not have, or what cannot be.
    """
    return [_scenario(plan, stated, settings) for stated in asked]


def alternatives_of(day: Day, plan: DayPlan, scenarios: Sequence[Scenario]) -> tuple[Alternative, ...]:
    """What each scenario would bring, beside the plan of the day by rule."""
    return tuple(_alternative(day, plan, scenario) for scenario in scenarios)


def _scenario(plan: Capacities, stated: Mapping[str, float | str], settings: PortfolioSettings) -> Scenario:
    rules, costs, limits = None, {}, dict[str, float]()
    for name, value in stated.items():
        if name == RULES:
            rules = _pack(value)
        elif isinstance(value, str):
            raise SettingsError(f"a what-if states a number for all but rules, got {value[:100]!r} for {name}")
        elif name.startswith(COST):
            costs[_channel(name, settings)] = _cost(name, value)
        else:
            limits[name] = value
    return Scenario(resolve_capacities({**plan.limits, **limits}, settings).limits, rules, costs)


def _pack(value: float | str) -> str:
    if value not in rule_packs():
        raise SettingsError(f"a what-if of rules names a pack, {', '.join(rule_packs())}; got {str(value)[:100]!r}")
    return str(value)


def _channel(name: str, settings: PortfolioSettings) -> str:
    channel = name.removeprefix(COST)
    if channel not in settings.actions:
        raise SettingsError(
            f"a what-if of a cost names one of the portfolio's channels, {', '.join(settings.actions)}, like "
            f"{COST}{settings.actions[0]}; got {name!r}"
        )
    return channel


def _cost(name: str, value: float) -> float:
    if not 0 <= value <= MOST:
        raise SettingsError(f"a cost is an amount of at least 0, got {value} for {name}")
    return float(value)


def _alternative(day: Day, plan: DayPlan, scenario: Scenario) -> Alternative:
    other = in_scenario(day, scenario)
    solved = plan_of(other)
    taken = solved.choice[solved.choice >= 0]
    counts = np.bincount(other.options.channel[taken], minlength=other.actions.waiting).tolist()
    rows = {name: number for name, number in zip(other.actions.names, counts, strict=False)
            if name in scenario.capacities}  # fmt: skip
    errors = errors_of(day, plan.choice, other, solved.choice)
    difference = solved.value - plan.value
    low, high = (None, None) if errors is None else errors.on_average(difference)
    day_low, day_high = (None, None) if errors is None else errors.on_a_day(difference)
    return Alternative(
        capacities=scenario.capacities,
        rules=scenario.rules,
        costs=scenario.costs,
        value=solved.value,
        difference=difference,
        low=low,
        high=high,
        day_low=day_low,
        day_high=day_high,
        rows=rows,
        used=other.used(used_of(other, solved.choice)),
        prices=other.prices(solved.solved.prices),
    )
