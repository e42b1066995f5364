"""The tables of the review in words: which columns, under which heads, how written, and what is said of them.

Pages and the report print the same: a column that is added here comes up in both. The pages of models and promotions
alone have columns of their own (`models.py`), since they lead on to cards and runs.

SECTIONS    by the names of the tables, as `serving.review.exporting.TABLES` has them
ORDER       in which a report has them
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import pandas as pd

from serving.languages.language import translatable
from serving.review.pages.cells import Column
from serving.review.pages.cuts import CUTS
from serving.review.tables import tenths_of


@dataclass(frozen=True)
class Section:
    """A table of the review in words; `rows` chooses which of its rows a report prints."""

    title: str
    says: str
    columns: tuple[Column, ...]
    rows: Callable[[pd.DataFrame], pd.DataFrame] = field(default=lambda rows: rows)


_AGAINST = (
    Column("accounts", translatable("Accounts"), link="behind", heard="behind_heard"),
    Column("balance", translatable("Balance"), "money"),
    Column(
        "predicted_payers", translatable("Payers, predicted"), low="predicted_payers_low", high="predicted_payers_high",
        below=Column("predicted_rate", "", "share"),
    ),
    Column("actual_payers", translatable("Payers, actual"), below=Column("pay_rate", "", "share")),
    Column(
        "payers_ratio", translatable("Payers, actual / predicted"), "ratio", "payers_low", "payers_high",
        "payers_beyond", apart="payers_apart",
    ),
    Column(
        "predicted_amount", translatable("Amount, predicted"), "money", "predicted_amount_low", "predicted_amount_high"
    ),
    Column("actual_amount", translatable("Amount, actual"), "money"),
    Column(
        "money_ratio", translatable("Amount, actual / predicted"), "ratio", "money_low", "money_high", "money_beyond"
    ),
)  # fmt: skip
#: Of what came of one moment's scores the balance is not known.
OF_BANDS = (Column("band", CUTS["band"], "cut"), *(column for column in _AGAINST if column.name != "balance"))
_OF_CUT = (
    *_AGAINST,
    Column("cumulative_share", translatable("Money so far"), "share"),
    Column("worked_share", translatable("Worked"), "share"),
    Column("contacts", translatable("Contacts")),
    Column("cost_per_unit", translatable("Cost per unit"), "ratio"),
)
_CUT_SAYS = translatable(
    "Ranges hold the true ratio 95 times in 100. ▲ and ▼ mark what is more or less than predicted beyond noise, by all "
    "rows of the table together. ◆ marks rows whose payers are off by another ratio than those of all other rows "
    "together, beyond noise: what is off everywhere is no matter of one row. Below payers is their share of the "
    "accounts."
)


def _judged(rows: pd.DataFrame) -> pd.DataFrame:
    """The scores and features that are judged, what moved first."""
    rank = rows["verdict"].map({"shifted": 0, "watch": 1, "chance": 2, "stable": 2})
    return rows.assign(rank=rank).dropna(subset=["rank"]).sort_values("rank", kind="stable")


_DRIFT: Mapping[str, Section] = {
    "drift": Section(
        translatable("Drift: which scores and features moved"),
        translatable(
            "By the last report of the month. Only what is beyond chance counts as moved; what follows the calendar, "
            "grows older or is hardly used is in the file."
        ),
        (
            Column("column", translatable("Score or feature"), "column", link="address"),
            Column("verdict", translatable("Verdict"), "verdict"),
            Column("psi", "PSI", "decimal"),
            Column("by_chance", translatable("By chance up to"), "decimal"),
            Column("gain", translatable("Share of gain"), "share"),
        ),
        _judged,
    ),
    "drift_performance": Section(
        translatable("Drift: what was expected, and what was reached"),
        translatable("Reached is by the latest scores whose outcomes were known by the report."),
        (
            Column("as_of", translatable("Report as of"), "moment"),
            Column("accounts", translatable("Accounts")),
            Column("expected_auc", translatable("AUC, expected"), "decimal"),
            Column("auc", translatable("AUC, reached"), "decimal"),
            Column("expected_brier", translatable("Brier score, expected"), "decimal"),
            Column("brier", translatable("Brier score, reached"), "decimal"),
            Column("scores_of", translatable("Scores of"), "day"),
            Column("payers_ratio", translatable("Payers, actual / predicted"), "ratio"),
            Column("money_ratio", translatable("Amount, actual / predicted"), "ratio"),
        ),
        lambda rows: rows.iloc[-15:],
    ),
    "drift_alerts": Section(
        translatable("Drift: alerts"),
        translatable(
            "An alert lasts for as long as each report passes the limit; it has ended as of the first that does not."
        ),
        (
            Column("of", translatable("Limit of"), "alert"),
            Column("level", translatable("Level"), "level"),
            Column("began", translatable("Began"), "moment"),
            Column("ended", translatable("Ended"), "moment", unknown=translatable("not ended")),
            Column("reports", translatable("Reports")),
            Column("worst_figure", translatable("Worst figure"), "limit"),
            Column("limit", translatable("Limit"), "limit"),
        ),
        lambda rows: rows.iloc[:15],
    ),
}


#: What the registry says, where it answers.
REGISTERED: Mapping[str, Section] = {
    "model_versions": Section(
        translatable("Versions of the model"),
        translatable(
            "Figures are of time that a version had not seen; two versions compare on the same time alone. In the file "
            "there are more of them."
        ),
        (
            Column("version", translatable("Version"), "text"),
            Column("aliases", translatable("Role"), "words"),
            Column("registered_at", translatable("Registered"), "day"),
            Column("trained_until", translatable("Learned until"), "day"),
            Column("accounts", translatable("Accounts seen")),
            Column("paying_accounts", translatable("Payers, actual")),
            Column("auc", "AUC", "decimal"),
            Column("brier", translatable("Brier score"), "decimal"),
            Column("calibration_error", translatable("Calibration error"), "decimal"),
            Column("predicted_to_actual", translatable("Money, predicted / actual"), "ratio"),
            Column("top_tenth_money_share", translatable("Money from the first tenth"), "share"),
            Column("known_limits", translatable("Known limits"), "text"),
        ),
    ),
    "model_promotions": Section(
        translatable("Promotions"),
        translatable("A first version and a former champion that comes back pass no gate."),
        (
            Column("at", translatable("When"), "moment"),
            Column("by", translatable("By"), "text"),
            Column("what", translatable("What"), "code"),
            Column("before", translatable("Champion before"), "text"),
            Column("after", translatable("Version"), "text"),
            Column("came_about", translatable("Result"), "code"),
            Column("checks_passed", translatable("Checks that held")),
            Column("checks_failed", translatable("Checks that failed"), "words"),
        ),
    ),
    "model_checks": Section(
        translatable("Checks of the last decision by the gate"),
        "",
        (
            Column("check", translatable("Check"), "word"),
            Column("passed", translatable("Result"), "held"),
            Column("found", translatable("Found"), "english"),
            Column("needed", translatable("Needed"), "english"),
        ),
        lambda rows: rows[rows["run_id"] == rows["run_id"].iloc[0]],
    ),
}
SECTIONS: Mapping[str, Section] = {
    "overview": Section(
        translatable("Payers and money"),
        translatable(
            "Below a prediction is what it would be within by chance, 95 times in 100, if it is right. Below a ratio "
            "is the range that holds the true one as often; ▲ and ▼ mark what is outside it."
        ),
        (Column("part", translatable("Part"), "part"), *_AGAINST),
    ),
    "key_figures": Section(
        translatable("Key figures"),
        translatable(
            "Of matured outcomes alone. A range below a figure, where one can be told, holds the true one 95 times in "
            "100. ▲ and ▼ mark what rose or fell since the month before beyond noise, by all figures together; green "
            "is better, red is worse. Accounts that no queue or score named are in none of this."
        ),
        (
            Column("figure", translatable("Key figure"), "word"),
            Column("value", translatable("this month"), "figure", "low", "high", "beyond", "value_before"),
            Column(
                "value_before", translatable("the month before"), "figure", "low_before", "high_before", optional=True
            ),
            Column("formula", translatable("Formula"), "word"),
        ),
    ),
    "unlike_the_rest": Section(
        translatable("Where it is off: parts whose payers are unlike the rest"),
        translatable(
            "Their ratio of actual to predicted payers is another than that of all others together, beyond noise. One "
            "part may come up under several cuts."
        ),
        (
            Column("value", translatable("Where"), "place", link="address"),
            Column("accounts", translatable("Accounts")),
            Column("predicted_payers", translatable("Payers, predicted")),
            Column("actual_payers", translatable("Payers, actual")),
            Column(
                "payers_ratio",
                translatable("Payers, actual / predicted"),
                "ratio",
                "payers_low",
                "payers_high",
                style="strong",
            ),
            Column("rest_ratio", translatable("of the rest"), "ratio"),
        ),
    ),
    "changes": Section(
        translatable("What changed since the month before, and where"),
        translatable(
            "Amounts that were paid: all together, then the largest change first. ▲ and ▼ mark where actual / "
            "predicted rose or fell beyond noise, by all rows together."
        ),
        (
            Column("value", translatable("Where"), "place", link="address"),
            Column("change", translatable("Change"), "change"),
            Column("actual_amount", translatable("this month"), "money"),
            Column("actual_amount_before", translatable("the month before"), "money"),
            Column(
                "money_ratio", translatable("Actual / predicted"), "ratio", beyond="beyond", par="money_ratio_before"
            ),
            Column("money_ratio_before", translatable("the month before"), "ratio"),
        ),
        lambda rows: rows.iloc[:15],
    ),
    **{
        f"by_{cut}": Section(
            name, _CUT_SAYS if cut == "band" else "", (Column(cut, name, "cut", link="bands"), *_OF_CUT)
        )
        for cut, name in CUTS.items()
    },
    "by_band_challenger": Section(
        translatable("Band, by the challenger"), "", (Column("band", CUTS["band"], "cut"), *_OF_CUT)
    ),
    "calibration": Section(
        translatable("Calibration"),
        translatable(
            "Each point is a group of accounts of like chance, its line the range of its true share. Squares are off "
            "beyond noise."
        ),
        (
            Column("accounts", translatable("Accounts")),
            Column("predicted", translatable("Predicted"), "share"),
            Column("actual", translatable("Actual"), "share", beyond="beyond", par="predicted"),
            Column("low", translatable("Range"), "range", "low", "high"),
        ),
    ),
    "gain": Section(
        translatable("Gain"),
        translatable("Full line: payers. Dashed line: money. The diagonal is a list in random order."),
        (
            Column("accounts", translatable("Accounts"), "share"),
            Column("payers", translatable("Payers"), "share"),
            Column("money", translatable("Money"), "share"),
        ),
        tenths_of,
    ),
    "swap_set": Section(
        translatable("Swap set: champion and challenger on the same accounts"),
        translatable(
            "The better model has the larger share that paid where it alone puts accounts at the top, the first fifth; "
            "ranges that overlap tell nothing yet."
        ),
        (
            Column("set", translatable("At the top"), "set"),
            Column("accounts", translatable("Accounts")),
            Column("payers", translatable("Payers, actual")),
            Column("pay_rate", translatable("Share that paid"), "share", "pay_rate_low", "pay_rate_high"),
            Column("predicted_by_champion", translatable("Payers, by the champion")),
            Column("predicted_by_challenger", translatable("Payers, by the challenger")),
            Column("paid", translatable("Amount, actual"), "money"),
        ),
    ),
    # What was paid in each month since, and the move to each stage after, have a column each.
    "liquidation": Section(
        translatable("Liquidation: what was paid so far of what was placed"),
        translatable(
            "Month 0 is that of the placement. The two columns before it compare with each other: what scores whose "
            "windows have matured expected, and what was paid in these windows, both of what was placed."
        ),
        (
            Column("vintage", translatable("Month of placement"), "cut"),
            Column("accounts", translatable("Accounts")),
            Column("placed", translatable("Amount placed"), "money"),
            Column("expected_rate", translatable("Expected by scores"), "share"),
            Column("scored_rate", translatable("Paid in their windows"), "share"),
        ),
    ),
    "roll_rates": Section(
        translatable("Roll rates: from a stage to that of the next month"),
        translatable(
            "Shares of the stage's accounts, and below them of its money. No longer scored are accounts that were paid "
            "off, closed, or not asked for."
        ),
        (
            Column("stage", translatable("Stage"), "cut"),
            Column("accounts", translatable("Accounts")),
            Column("balance", translatable("Balance"), "money"),
        ),
    ),
    **_DRIFT,
    **REGISTERED,
}
#: What a manager reads first: how it went, what changed, whom scores told apart, where; then models, then months.
ORDER: Mapping[str, int] = {
    name: place
    for place, name in enumerate(
        (
            *("overview", "unlike_the_rest", "key_figures", "changes", "by_band", "calibration", "gain", *_DRIFT),
            *(name for name in SECTIONS if name.startswith("by_") and name not in {"by_band", "by_band_challenger"}),
            *("by_band_challenger", "swap_set", "liquidation", "roll_rates"),
        )
    )
}
