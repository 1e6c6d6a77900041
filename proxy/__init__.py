"""Joulegate: the gate, its ledger and its console."""
