"""Wire formats, sans-I/O: bytes in, usage out. Nothing here opens a socket or a file, or knows the gate."""
