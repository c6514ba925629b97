"""Rewards for others: what ``tts-bench serve`` answers, and how."""
