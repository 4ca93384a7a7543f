"""Scores, tests, contrasts and verdicts: pure functions on tables of predictions."""
