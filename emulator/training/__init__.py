"""Training around the machine: data sets, their preparation, and the loop that feeds the machine."""
