"""The configuration: its keys and their defaults, what values may be, and what together can not work."""
