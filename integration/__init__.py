"""The outside world: files, the RocksDB store, config and list files, logs."""
