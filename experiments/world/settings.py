"""What a world is made from: its size, its seed and the few things about it that can be changed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from features.errors import SettingsError
from features.units import DAY, HOUR

#: Where the debtors live. It has had no daylight saving time since 1991, so a local day is always 24 hours.
TIMEZONE = "Asia/Shanghai"
_UTC_OFFSET = 8 * HOUR
_EARLIEST, _LATEST = date(1992, 1, 1), date(2100, 1, 1)


def _require(holds: bool, name: str, rule: str, got: object) -> None:
    if not holds:
        raise SettingsError(f"{name} must be {rule}, got {got}; choose another value")


@dataclass(frozen=True)
class WorldSettings:
    """What a world is made from; equal settings give the same world to the last bit.

    `accounts` are placed in the course of `days` days from `start` on. `truth_draws` futures are drawn per account
    and action (0 leaves `truth/actions` empty). `exploration` is the probability with which a decision is drawn at
    random among the cheap channels. `discretion` is the probability with which an agent sets a decision aside for
    what is known about the debtor beyond the data, while the log keeps the policy's propensity.

    Raises:
        SettingsError: a value is outside its range.
    """

    accounts: int
    days: int
    seed: int
    start: date = date(2024, 1, 1)
    horizon_days: int = 30
    truth_draws: int = 64
    exploration: float = 0.08
    discretion: float = 0.0

    def __post_init__(self) -> None:
        """Refuse values outside their range with `SettingsError`."""
        _require(1 <= self.accounts <= 9_999_999, "accounts", "from 1 to 9,999,999", self.accounts)
        _require(1 <= self.days <= 3650, "days", "from 1 to 3650", self.days)
        _require(0 <= self.seed < 2**63, "seed", "from 0 to 2^63 - 1", self.seed)
        _require(_EARLIEST <= self.start <= _LATEST, "start", f"from {_EARLIEST} to {_LATEST}", self.start)
        _require(1 <= self.horizon_days <= 365, "horizon_days", "from 1 to 365", self.horizon_days)
        _require(0 <= self.truth_draws <= 100_000, "truth_draws", "from 0 to 100,000", self.truth_draws)
        _require(0 < self.exploration <= 1, "exploration", "above 0 and up to 1", self.exploration)
        _require(0 <= self.discretion < 1, "discretion", "from 0 to below 1", self.discretion)

    @property
    def start_instant(self) -> int:
        """The first midnight of the world in the debtors' time, as an instant."""
        since_1970 = datetime.combine(self.start, datetime.min.time(), UTC) - datetime(1970, 1, 1, tzinfo=UTC)
        return since_1970 // timedelta(microseconds=1) - _UTC_OFFSET

    @property
    def as_of(self) -> int:
        """The moment the portfolio is as of: the local midnight that ends its last day, as an instant."""
        return self.start_instant + self.days * DAY

    @property
    def horizon_end(self) -> int:
        """The moment up to which the truth looks, as an instant (excluded)."""
        return self.as_of + self.horizon_days * DAY
