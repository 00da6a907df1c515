"""Predictions against references: every measure with its interval, its convention and what it cannot see."""
