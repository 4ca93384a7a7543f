"""Settings of whole studies, as YAML."""
