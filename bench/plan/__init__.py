"""Turn what was asked into arms, and forecast what measuring them will take."""
