"""Model adapters: what an engine needs to know about a diffusion model, one file for each family."""
