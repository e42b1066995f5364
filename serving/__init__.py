"""From a bundle and histories to decisions: scores, reasons, the queue under capacities and contact rules, the API."""
