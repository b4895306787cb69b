"""A release: the whole book in one file that always has the same bytes, and how a stranger verifies it."""
