"""A provider's own statement of usage and cost, held against the ledger."""
