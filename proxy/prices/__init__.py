"""Importers of published price lists: they run when facts are refreshed, never in the service."""
