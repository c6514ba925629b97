"""Serve rewards to other programs: ``tts-bench serve``."""
