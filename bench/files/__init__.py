"""Files that are written whole or not at all, and strangers' files read without trusting them."""
