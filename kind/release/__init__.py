"""A release: images pushed by digest, and a folder with all that somebody needs to install them, to
use the client and the plugin, and to check where it all comes from."""
