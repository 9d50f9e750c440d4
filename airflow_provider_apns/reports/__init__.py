"""Apple's CSV without I/O: bytes to typed rows, and rows to CSV, JSON Lines or Parquet bytes."""
