"""Scores and what they are worth: metrics, bootstrap and permutation, comparisons, floors."""
