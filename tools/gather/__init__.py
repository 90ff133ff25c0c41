"""How the real servers of the tests are fetched, built and kept; ``tools/parts.py`` says which."""
