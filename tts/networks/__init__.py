"""Raw networks, without schedules, guidance or rewards."""
