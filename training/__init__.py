"""From histories to a bundle: moments, splits, fitting, calibrating, measuring; and the registry that keeps it."""
