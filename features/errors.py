"""Every error that a user can cause or mend, as one tree.

    RecoupError
    ├── PortfolioError      a table that cannot be used, or a portfolio that cannot be read
    ├── SettingsError       a setting with an unknown name or a value outside its range
    ├── HistoryError        too little history for what was asked
    ├── MomentError         an `as_of` for which nothing can be computed
    ├── BundleError         a model bundle that is damaged, or does not match what it is asked to score
    ├── GateError           a model that may not become the champion
    ├── StoreError          a store that cannot be reached, or did not do what it was asked
    │   └── NoPortfolioError    a store that holds no portfolio yet
    ├── ErasedError         what cannot be given any more, since a person was erased meanwhile
    ├── ReplayError         scores of the ledger that did not come out again
    └── LimitError          a limit of monitoring that was passed: the work was done, and found this

A message says the rule, what was got, and what to do next. The command line prints it as one line and exits with 1.
"""

from typing import ClassVar


class RecoupError(Exception):
    """A condition that the user can mend; its message is meant for her."""


class PortfolioError(RecoupError):
    """A table is missing, unreadable, or has nothing usable in it."""


class SettingsError(RecoupError):
    """A setting is unknown, or its value is outside its range."""


class HistoryError(RecoupError):
    """The history is too short, or holds too few payments, for what was asked."""


class MomentError(RecoupError):
    """Nothing can be computed as of the moment asked for."""


class BundleError(RecoupError):
    """A model bundle is missing, damaged, or does not match the data."""


class GateError(RecoupError):
    """A model may not become the champion, or there is nothing yet to decide that by."""


class StoreError(RecoupError):
    """The store cannot be reached, or did not do what it was asked."""


class NoPortfolioError(StoreError):
    """The store holds no portfolio yet."""

    #: The message: upkeep tells by it what waits for a portfolio from what failed.
    SAYS: ClassVar = "the store holds no portfolio yet: load it first, with recoup load"

    def __init__(self) -> None:
        super().__init__(self.SAYS)


class ErasedError(RecoupError):
    """A person was erased between what was read and what was to be given."""


class ReplayError(RecoupError):
    """Scores of the ledger did not come out again, or could not be computed again."""


class LimitError(RecoupError):
    """Monitoring did its work, and found that limits were passed."""
