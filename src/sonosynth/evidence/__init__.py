"""Scores, tests, contrasts and verdicts: pure functions on tables of predictions."""

from sonosynth.evidence.judging import judge as judge
