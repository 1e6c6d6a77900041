"""A copy of the ledger in ClickHouse, fed from it and behind it; the ledger stays the source of truth."""
