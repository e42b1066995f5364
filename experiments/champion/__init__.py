"""Champion and challenger: compared on the same unseen time, and promoted through a gate."""
