"""Grafana's dashboards as code; ``python -m dashboards.build`` writes them to ``grafana/``."""
