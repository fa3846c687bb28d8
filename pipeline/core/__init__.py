"""Shared ground: what every room may know. Knows no room itself."""
