"""Latents from outside: how often they fire, and what that tells of features and curves."""
