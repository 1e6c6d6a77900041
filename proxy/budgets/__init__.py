"""Budgets and rate limits: what may be used in a window of time, reserved before a call and settled after it."""
