"""What each part costs, against the plainest thing that does the same; written to `var/bench/`."""
