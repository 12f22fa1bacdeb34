"""Commands about packs: write, check and pool them."""
