"""From what was asked to arms, and what measuring them will take."""
