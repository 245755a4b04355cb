"""A real Keystone, and what only a real one can show."""
