"""A portfolio larger than memory: split by account on disk, into partitions that are small portfolios of their own."""
