"""A release made for real, and installed by a stranger who has nothing but its folder."""
