"""``make demo``: everything on one machine, and a tour of what it does."""
