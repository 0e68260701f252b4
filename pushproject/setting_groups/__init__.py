"""Groups of settings: each stands alone, and `pushproject.environment` puts them together."""
