"""Rewards by vision-language models: questions about images, and values from the answers."""
