"""Who runs the jobs of a study."""
