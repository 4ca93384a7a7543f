"""What a run shows: its tables in words, the figures, the page, and the table in the terminal."""
