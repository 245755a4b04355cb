"""What the service tells of itself while it runs: logs, and numbers."""
