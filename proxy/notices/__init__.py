"""Telling people and programs what should not wait for somebody to look: off until ``[[notify]]`` says whom."""
