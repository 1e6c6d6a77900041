"""Joulegate's estimator: usage in, FLOPs, joules, grams, liters and dollars out."""
