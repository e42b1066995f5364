"""A simulated world of debtors and collectors, with known truth: what would follow each action on each account."""

from experiments.world.settings import WorldSettings
from experiments.world.simulation import World, simulate

__all__ = ["World", "WorldSettings", "simulate"]
