"""Studies of how a model does: the search for its settings, backtests, ablation, learning curves."""
