"""Side-by-side speed, and the recorded measurements of accuracy."""
