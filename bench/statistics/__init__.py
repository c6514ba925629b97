"""What a run's numbers allow one to say: intervals, comparisons at equal compute, diminishing returns."""
