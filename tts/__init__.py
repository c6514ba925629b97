"""Test-time scaling of diffusion models: noise recipes, samplers, models, rewards, searches and the engine.

This package knows one device and no cluster; ``bench`` builds the distributed harness on top of it.
"""
