"""Shipped files of settings."""
