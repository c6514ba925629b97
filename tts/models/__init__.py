"""Model adapters: what an engine needs to know of a diffusion model, one file for each family."""
