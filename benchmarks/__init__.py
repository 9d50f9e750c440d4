"""What a deployment pays for this provider and for its peers, measured side by side: ``make bench``."""
