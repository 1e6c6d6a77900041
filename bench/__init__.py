"""What a proxy costs, measured side by side on one machine."""
