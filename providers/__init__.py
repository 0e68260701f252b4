"""Who carries a push: one file per provider, of one shape (`base`). No Django, no database."""
