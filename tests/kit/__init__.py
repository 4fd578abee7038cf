"""What tests share: a plane in memory, small builders, and ways to wait for what must become true."""
