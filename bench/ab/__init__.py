"""Two commits, or two environments, timed against each other in one job.

What is timed runs in each side's own interpreter (`server`, one file that needs nothing of this
package); everything else runs here.
"""
