"""Rewards by vision-language models: what is asked of images, how answers become values."""
