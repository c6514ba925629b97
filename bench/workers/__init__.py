"""Workers: pools, search runners, and the trajectory tree that trials share."""
