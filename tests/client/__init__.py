"""The registry's own client."""
