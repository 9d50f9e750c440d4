"""Apple's CSV without I/O: bytes to typed rows, and rows to the bytes of CSV, JSON Lines and Parquet."""
