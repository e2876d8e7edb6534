"""What is measured, never asserted: ``make bench``. Compare ratios within one run, not figures of two machines."""
