"""A month rehearsed in a simulated world: the same accounts, worked day by day by one policy after the other."""
