"""What a registry may have been seen to hold, made up for tests: good versions, odd ones, every kind of promotion."""

from __future__ import annotations

from pathlib import Path

from features.units import DAY
from serving.models.seen import SEEN, Seen, write_seen
from training.promotions import Check, Promotion
from training.registered import Facts, Registered, Registry

#: As `training.holdout` has it.
HOLDOUT = {
    "accounts": 1900.0, "paying_accounts": 310.0, "auc": 0.7312, "auc_error": 0.0151, "auc_days_past_due": 0.64,
    "brier": 0.12345, "calibration_error": 0.0163, "predicted_payers": 330.0, "payers": 310.0,
    "predicted_amount": 51_000.0, "actual_amount": 50_000.0, "predicted_to_actual": 1.02,
    "predicted_to_actual_error": 0.11, "top_tenth_money_share": 0.417,
}  # fmt: skip
CARD = """# Model of small

The probability of a payment within 30 days.

## What it is for

It orders accounts in collections by `p_pay`.

## On unseen time

| figure | value |
| --- | --- |
| AUC | 0.731  (sampling error 0.015) |

## Known limits

- 310 payments were seen: totals are known to no better than 11%.
- The effect of visit cannot be told from this history.

## How it was made

|  |  |
| --- | --- |
| seed | 1 |
"""
#: A card by somebody who means no good.
HOSTILE = """# <script>alert(1)</script>

<img src=x onerror=alert(1)> [click](javascript:alert(1)) ![x](https://elsewhere.example/x.png)
<javascript:alert(1)> [data](data:text/html;base64,PHNjcmlwdD4=) https://elsewhere.example

<iframe src="https://elsewhere.example"></iframe>

| a | b |
| :--- | ---: |
| <b onclick="alert(1)">1</b> | 2 |

## Known limits

- <script>alert(2)</script>
"""
CHECKS = (
    Check("accounts on unseen time", True, "310 paid, 1,590 did not", "at least 100 of either"),
    Check("AUC no worse", True, "+0.0102 (-0.0012 to +0.0216)", "lower end -0.0200 at least"),
    Check("a check of another day", True, "found", "needed"),
)
FAILED = (
    CHECKS[0],
    Check("AUC no worse", False, "-0.0500 (-0.0700 to -0.0300)", "lower end -0.0200 at least"),
    Check("calibration error", False, "0.0800 (champion 0.0100)", "0.0300 at most, of it 0.0100 by chance"),
)


def registry_at(now: int) -> Registry:
    """Four versions: a plain first, the champion, a challenger that was refused, and one whose words mean no good."""
    good = Facts("2026-06-01T00:00:00Z", "2026-08-01T00:00:00Z", 30, "payment", 480, HOLDOUT, (), CARD, experiment="7")
    good = Facts(**{**vars(good), "limits": ("310 payments were seen.", "The effect of visit cannot be told.")})
    odd = Facts(
        card=HOSTILE, limits=("<script>alert(2)</script>",), suspects=("<i>balance</i>",), experiment="7/../8",
        trouble="its <b>manifest</b> is not the one that was registered",
    )  # fmt: skip
    versions = (
        Registered("4", (), now - DAY, "", "../run?<x>", "<u>folder</u>", odd),
        Registered("3", ("challenger",), now - 5 * DAY, "c" * 64, "run3", "my-folder", good),
        Registered("2", ("champion", "<canary>"), now - 40 * DAY, "b" * 64, "run2", "my-folder", good),
        Registered("1", (), now - 90 * DAY, "a" * 64, "run1", "my-folder"),
    )
    promotions = (
        Promotion("refused", "2", "3", "<b>eve</b>", now - 2 * DAY, "compare2", FAILED, "kept5", came_about=False),
        Promotion("promoted", "2", "9", "bo", now - 3 * DAY, "compare9", CHECKS, "kept4", came_about=False),
        Promotion("rolled_back", "1", "2", "ann", now - 10 * DAY, run_id="kept3"),
        Promotion("promoted", "1", "2", "ann", now - 30 * DAY, "compare1", CHECKS, "kept2"),
        Promotion("first", "", "1", "ann", now - 90 * DAY, run_id="kept1"),
    )
    return Registry("small", versions, promotions, "7")


def written(folder: Path, now: int, registry: Registry | None = None, mlflow_url: str = "") -> Path:
    """The file with it, as the watcher writes it."""
    path = folder / SEEN
    write_seen(Seen(now, registry or registry_at(now), mlflow_url), path)
    return path
