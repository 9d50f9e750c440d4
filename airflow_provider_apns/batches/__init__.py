"""Many exports at once: requested, waited for, downloaded and written by one task."""
