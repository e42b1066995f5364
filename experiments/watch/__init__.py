"""A model that is in use is watched: fairness, drift, and what followed its scores."""
