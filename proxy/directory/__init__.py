"""Teams and keys in the ledger's database: how they are changed, read, and told to the gates."""
