"""What data scientists run: the simulated world, backtests, comparisons, policy evaluation, benchmarks."""
