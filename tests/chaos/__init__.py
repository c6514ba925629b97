"""A thousand faults: drivers, engines, machines, stores and clocks fail, and every table equals an undisturbed run's.

Most befall simulated engines in this process (:mod:`chaos.simulated`); driver processes with a real engine are killed,
frozen and kept from writing (:mod:`chaos.processes`); last, engines and nodes of a real cluster (:mod:`chaos.cluster`).
"""
