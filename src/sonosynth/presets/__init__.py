"""Shipped settings files."""
