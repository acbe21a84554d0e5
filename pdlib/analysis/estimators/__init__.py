"""Estimators of the advantage, compared by hand, on a bandit, and in training."""
