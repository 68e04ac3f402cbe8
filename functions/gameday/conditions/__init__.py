"""The conditions: one file for each kind, and the table in which each has its row."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field

from gameday.conditions import (
    appconfig,
    concurrency,
    configuration,
    parameter,
    policy,
    setting,
)
from gameday.conditions.kind import Change, Condition, Kind, Target

__all__ = ["KINDS", "AnyCondition", "Change", "Condition", "Kind", "Row", "Target", "row"]


@dataclass(frozen=True)
class Row:
    """A kind: its document, what is kept of a run, and its operations.

    `operations` are made of a function that makes a client of a service, and of the variables
    that the template gives.
    """

    condition: type[Condition]
    operations: Callable[[Callable[[str], Any], Mapping[str, str]], Kind]
    target: type[Target] = setting.Target
    change: type[Change] = setting.Change


def _appconfig(client: Callable[[str], Any], variables: Mapping[str, str]) -> Kind:
    return appconfig.AppConfig(
        control=client("appconfig"),
        data=client("appconfigdata"),
        strategy_id=variables["DEPLOYMENT_STRATEGY"],
        ramps={minutes: variables[f"RAMP_STRATEGY_{minutes}"] for minutes in appconfig.RAMPS},
    )


KINDS: Mapping[str, Row] = {
    "appconfig": Row(appconfig.AppConfigCondition, _appconfig, appconfig.Target, appconfig.Change),
    "flag": Row(appconfig.FlagCondition, _appconfig, appconfig.Target, appconfig.Change),
    "parameter": Row(
        parameter.ParameterCondition, lambda client, _: parameter.Parameter(client("ssm"))
    ),
    "policy": Row(policy.PolicyCondition, lambda client, _: policy.Policy(client("iam"))),
    "configuration": Row(
        configuration.ConfigurationCondition,
        lambda client, _: configuration.Configuration(client("lambda")),
    ),
    "concurrency": Row(
        concurrency.ConcurrencyCondition,
        lambda client, _: concurrency.Concurrency(client("lambda")),
    ),
}

AnyCondition = Annotated[
    appconfig.AppConfigCondition
    | appconfig.FlagCondition
    | parameter.ParameterCondition
    | policy.PolicyCondition
    | configuration.ConfigurationCondition
    | concurrency.ConcurrencyCondition,
    Field(discriminator="kind"),
]
"""Whatever a document's `condition` may be."""


def row(condition: Condition) -> Row:
    """The row of a condition's kind."""
    return KINDS[condition.kind]
