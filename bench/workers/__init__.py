"""Who computes: pools of workers, search runners and what their trials share."""
